#!/usr/bin/env python3
"""Has a real Prometheus scrape a real router under a little load, with the rules as they are, and looks at what it has.

    scrape.py POSTHASTE PROMETHEUS

Shows that what the rules ask for comes to be: each indicator that is loaded has a value, nothing fires while all is well, a
scrape is small and fast; and that PosthasteReplicaDown is on its way as soon as the router is gone. Everything is in a temporary
folder and on free ports, and ended by its process id. Left to alarms.py and the rules' own tests: every other alert.
"""

import contextlib
import http.server
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

PROMETHEUS = Path(__file__).parent.parent / "prometheus"
# Longest that any one thing may take, in seconds: a busy machine, and ten scrapes.
SOON = 90
EVENTS = 200


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes everything, but every tenth request first with an error."""

    seen = 0

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        Receiver.seen += 1
        self.send_response(500 if Receiver.seen % 10 == 0 else 204)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Says nothing."""


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def until(what, holds):
    """Waits for something; its value."""
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            if (value := holds()):
                return value
        time.sleep(0.5)
    sys.exit(f"not within {SOON} s: {what}")


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


@contextlib.contextmanager
def running(command, **more):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=SOON)


def main():
    posthaste, prometheus = sys.argv[1:]
    api, admin, scraper = free_port(), free_port(), free_port()
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("POSTHASTE_")} | {
            "POSTHASTE_DATA_DIR": f"{folder}/data", "POSTHASTE_DEV": "true",
            "POSTHASTE_API__LISTEN": f"127.0.0.1:{api}", "POSTHASTE_ADMIN__LISTEN": f"127.0.0.1:{admin}",
        }

        def say(*words):
            subprocess.run([posthaste, *words], env=environment, check=True, stdout=subprocess.DEVNULL)

        config = Path(folder, "prometheus.yml")
        config.write_text(f"""
global: {{scrape_interval: 2s, evaluation_interval: 2s}}
rule_files: [{PROMETHEUS}/posthaste.rules.yml]
scrape_configs:
- job_name: posthaste
  sample_limit: 2500
  static_configs: [{{targets: ["127.0.0.1:{admin}"]}}]
""", encoding="utf-8")
        scraping = [
            prometheus, f"--config.file={config}", f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address=127.0.0.1:{scraper}",
        ]

        def ask(query):
            found = json.loads(get(f"http://127.0.0.1:{scraper}/api/v1/query?" + urllib.parse.urlencode({"query": query})))
            return [(one["metric"], float(one["value"][1])) for one in found["data"]["result"]]

        with running(scraping):
            with running([posthaste, "serve"], env=environment):
                until("the router is ready", lambda: get(f"http://127.0.0.1:{admin}/readyz"))
                say("app", "create", "Acme", "--uid", "acme")
                url = f"http://127.0.0.1:{receiver.server_port}/"
                say("endpoint", "create", "--app", "acme", "--url", url, "--retry", "1s,1s")
                # In several breaths, so that there is a rate.
                for _ in range(5):
                    say("publish", "--app", "acme", "--type", "job.completed", "--count", str(EVENTS // 5))
                    time.sleep(2)
                delivered = 'posthaste_ledger_deliveries{state="delivered"}'
                until("all is delivered", lambda: ask(f"{delivered} == {EVENTS}"))
                slis = 'count by (sli) (posthaste:sli_bad:ratio_rate5m{sli=~"queue_wait|end_to_end|internal_errors"} >= 0)'
                until("each indicator has a value", lambda: len(ask(slis)) == 3)
                firing = ask('ALERTS{alertstate="firing"}')
                if firing:
                    sys.exit(f"while all is well, this fires: {[labels['alertname'] for labels, _ in firing]}")
                errors = json.loads(get(f"http://127.0.0.1:{scraper}/api/v1/rules"))["data"]["groups"]
                errors = [(rule["name"], rule["lastError"]) for group in errors for rule in group["rules"] if rule.get("lastError")]
                if errors:
                    sys.exit(f"rules that cannot be reckoned: {errors}")
                samples = ask("max_over_time(scrape_samples_scraped[5m])")[0][1]
                took = ask("quantile_over_time(0.5, scrape_duration_seconds[5m])")[0][1]
            until("the loss of the router is noticed", lambda: ask('ALERTS{alertname="PosthasteReplicaDown"}'))
            until("the loss of all of them wakes somebody", lambda: ask('ALERTS{alertname="PosthasteDown", alertstate="firing"}'))
    print(f"{EVENTS} deliveries, {samples:.0f} samples a scrape, {took * 1000:.0f} ms each; nothing fired, then PosthasteDown")


if __name__ == "__main__":
    main()

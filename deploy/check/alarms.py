#!/usr/bin/env python3
"""Breaks a real router and its real broker, one way after the other, and sees the right alert fire in a real Prometheus, and end.

    alarms.py POSTHASTE PROMETHEUS

The rules are the ones that are shipped, but for their patience: what has to last minutes there has to last two seconds here. It
wants RabbitMQ, of which it starts a private node. Everything is in a temporary folder and on free ports, and ended by its process
id. Left to the rules' own tests: alerts for what cannot be brought about in a minute.
"""

import contextlib
import http.server
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from scrape import PROMETHEUS, free_port, get, running, until

ROOT = PROMETHEUS.parent.parent
# Dead letters that are to be made: PosthasteDeadLettersGrowing wants more than fifty within the hour.
BROKEN = 60
# Requests that are to find nobody: most of all there were.
LOST = 400


class Receiver(http.server.BaseHTTPRequestHandler):
    """Answers as its path says."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(int(self.path[1:]))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Says nothing."""


def impatient(rules):
    """The same rules, for somebody who cannot wait."""
    rules = re.sub(r"^(\s+for:) \d+[mh]$", r"\1 2s", rules, flags=re.M)
    return re.sub(r"^\s+interval: \d+s\n", "", rules, flags=re.M)


def lasting_port(among, beside=0):
    """A free port, not among those that the system gives to whoever asks for any: it is let go of and taken again."""
    while True:
        port = random.choice(among)
        with contextlib.suppress(OSError), socket.socket() as it, socket.socket() as other:
            it.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + beside if beside else 0))
            return str(port)


class Broker:
    """A private node."""

    def __init__(self, folder):
        # As in tests/support/broker.rs; a node listens 4,000 above its port as well.
        self.port = lasting_port(range(20_000, 24_000), beside=4_000)
        self.environment = os.environ | {
            "DATA": f"{folder}/node", "PORT": self.port, "EPMD": lasting_port(range(28_000, 30_000)), "OWNER": str(os.getpid()),
        }

    def say(self, command, *words):
        script = ROOT / "tests/support/rabbitmq.sh"
        subprocess.run([script, command, "alarms", *words], env=self.environment, check=True, stdout=subprocess.DEVNULL)


def main():
    posthaste, prometheus = sys.argv[1:]
    api, admin, scraper = free_port(), free_port(), free_port()
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    seen = []
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(folder)
        broker.say("start")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("POSTHASTE_")} | {
            "POSTHASTE_DATA_DIR": f"{folder}/data", "POSTHASTE_DEV": "true",
            "POSTHASTE_API__LISTEN": f"127.0.0.1:{api}", "POSTHASTE_ADMIN__LISTEN": f"127.0.0.1:{admin}",
            "POSTHASTE_RABBITMQ__URLS": f"amqp://guest:guest@127.0.0.1:{broker.port}",
        }

        def say(*words):
            ran = subprocess.run([posthaste, *words], env=environment, check=True, capture_output=True, text=True)
            return ran.stdout.strip()

        rules = Path(folder, "rules.yml")
        rules.write_text(impatient((PROMETHEUS / "posthaste.rules.yml").read_text(encoding="utf-8")), encoding="utf-8")
        config = Path(folder, "prometheus.yml")
        config.write_text(f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
- job_name: posthaste
  static_configs: [{{targets: ["127.0.0.1:{admin}"]}}]
""", encoding="utf-8")

        def firing():
            query = urllib.parse.urlencode({"query": 'ALERTS{alertstate="firing"}'})
            found = json.loads(get(f"http://127.0.0.1:{scraper}/api/v1/query?{query}"))["data"]["result"]
            return {one["metric"]["alertname"] for one in found}

        def fires(alert):
            until(f"{alert} fires", lambda: alert in firing())
            seen.append(alert)

        def ends(alert):
            until(f"{alert} ends", lambda: alert not in firing())

        scraping = [
            prometheus, f"--config.file={config}", f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address=127.0.0.1:{scraper}",
        ]
        with running(scraping), running([posthaste, "serve"], env=environment):
            until("the router is ready", lambda: get(f"http://127.0.0.1:{admin}/readyz"))
            say("app", "create", "Acme", "--uid", "acme")
            url = f"http://127.0.0.1:{receiver.server_port}"
            say("endpoint", "create", "--app", "acme", "--uid", "well", "--events", "well", "--url", f"{url}/204")
            for uid, target in (("broken", f"{url}/500"), ("lost", f"http://127.0.0.1:{free_port()}/")):
                say("endpoint", "create", "--app", "acme", "--uid", uid, "--events", uid, "--url", target, "--retry", "none", "--circuit-breaker", "false")
            say("publish", "--app", "acme", "--type", "well", "--count", "50")
            until("nothing fires while all is well", lambda: not firing() and "posthaste_ledger_deliveries{state=\"delivered\"} 50" in get(f"http://127.0.0.1:{admin}/metrics"))

            # An endpoint fails everything that it is owed.
            say("publish", "--app", "acme", "--type", "broken", "--count", str(BROKEN))
            fires("PosthasteDeadLettersGrowing")

            # The broker is out of memory: it says so to who publishes, and not before.
            broker.say("ctl", "set_vm_memory_high_watermark", "absolute", "1000000")
            token = say("token", "create")

            def publish():
                event = {"eventType": "well", "payload": {"type": "well"}}
                request = urllib.request.Request(
                    f"http://127.0.0.1:{api}/api/v1/app/acme/msg", data=json.dumps(event).encode(),
                    headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
                )
                with contextlib.suppress(urllib.error.URLError, TimeoutError):
                    urllib.request.urlopen(request, timeout=5).close()
                return "PosthasteBrokerBlocked" in firing()

            until("PosthasteBrokerBlocked fires", publish)
            seen.append("PosthasteBrokerBlocked")
            broker.say("ctl", "set_vm_memory_high_watermark", "0.8")
            ends("PosthasteBrokerBlocked")

            # It is gone.
            broker.say("stop")
            fires("PosthasteNotReady")
            broker.say("start")
            ends("PosthasteNotReady")

            # Nobody can be reached any more.
            say("publish", "--app", "acme", "--type", "lost", "--count", str(LOST))
            fires("PosthasteEgressBroken")
        broker.say("stop")
    print(f"fired, each for what was done: {', '.join(seen)}")


if __name__ == "__main__":
    main()

"""A receiver of the script's own: answers as it is told, keeps what came, verifies with the SDK."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from svix.webhooks import Webhook

PATIENCE_S = 120


class Arrived:
    """One request as it came."""

    def __init__(self, headers, body):
        self.headers = headers
        self.body = body

    @property
    def id(self):
        return self.headers["webhook-id"]

    def json(self):
        return json.loads(self.body)

    def verified(self, *secrets):
        """Its signature holds for each of these secrets, and not for another body."""
        for secret in secrets:
            webhook = Webhook(secret)
            webhook.verify(self.body, self.headers)
            try:
                webhook.verify(self.body + b" ", self.headers)
            except Exception:
                continue
            raise AssertionError("another body verifies too")
        return self


class Receiver:
    """Listens on this port of loopback until the process ends. `/<name>` answers 200, or as told."""

    def __init__(self, port):
        self.changed = threading.Condition()
        self.arrivals = {}
        self.statuses = {}
        self.port = port
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body in one packet: else each answer waits for the other side's delayed ACK.
            wbufsize = -1

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                name = self.path.strip("/")
                with receiver.changed:
                    receiver.arrivals.setdefault(name, []).append(Arrived(headers, body))
                    status = receiver.statuses.get(name, 200)
                    receiver.changed.notify_all()
                answer = f"answer of {name}".encode()
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def url(self, name):
        return f"http://127.0.0.1:{self.port}/{name}"

    def answers(self, name, status):
        with self.changed:
            self.statuses[name] = status

    def arrived(self, name, count=0, id=None):
        """What has come to `/<name>` (about this message), once it is this much at least."""
        end = time.monotonic() + PATIENCE_S
        with self.changed:
            while True:
                here = [one for one in self.arrivals.get(name, []) if id in (None, one.id)]
                if len(here) >= count:
                    return here
                if time.monotonic() > end:
                    raise AssertionError(f"{len(here)} of {count} have come to /{name}")
                self.changed.wait(0.1)

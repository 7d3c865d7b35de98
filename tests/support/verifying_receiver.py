"""A receiver that verifies every request with the official Standard Webhooks library.

usage: verifying_receiver.py SECRETS BOOK

SECRETS is a JSON file, endpoint name to `whsec_…`; an endpoint's URL ends in its name. BOOK gets one
JSON line for each request: to, id, verified, error, sha256. Prints its port when it listens, and
stops when its standard input ends.
"""

import hashlib
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SECRETS, BOOK = sys.argv[1:]
LOCK = threading.Lock()


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one packet: else each answer waits for the other side's delayed ACK.
    wbufsize = -1

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        name = self.path.rsplit("/", 1)[-1]
        entry = {
            "to": name,
            "id": self.headers.get("webhook-id", ""),
            "sha256": hashlib.sha256(body).hexdigest(),
            "verified": True,
            "error": "",
        }
        try:
            with open(SECRETS) as file:
                secret = json.load(file)[name]
            Webhook(secret).verify(body, dict(self.headers.items()))
        except (KeyError, WebhookVerificationError, ValueError) as error:
            entry.update(verified=False, error=repr(error))
        with LOCK, open(BOOK, "a") as book:
            book.write(json.dumps(entry) + "\n")
        self.send_response(200 if entry["verified"] else 401)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()

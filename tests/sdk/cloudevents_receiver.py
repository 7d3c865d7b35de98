"""A receiver of CloudEvents over HTTP, by the official SDK, in either mode.

usage: cloudevents_receiver.py BOOK

BOOK gets one JSON line for each request: to (the last part of its path), headers, body (as text),
attributes and data as the SDK reads them, and the same by the API that the SDK had before its second
major version ("older"); or error, the SDK's complaint. Prints its port when it listens, and stops when
its standard input ends.
"""

import json
import sys
import threading
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.v1.http import from_http as older_from_http

(BOOK,) = sys.argv[1:]
LOCK = threading.Lock()


def told(value):
    """What JSON has no word for, as text."""
    return value.isoformat() if isinstance(value, datetime) else repr(value)


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one packet: else each answer waits for the other side's delayed ACK.
    wbufsize = -1

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = dict(self.headers.items())
        entry = {"to": self.path.rsplit("/", 1)[-1], "headers": headers, "body": body.decode()}
        try:
            event = from_http_event(HTTPMessage(headers, body))
            older = older_from_http(headers, body)
            entry.update(
                attributes=dict(event.get_attributes()),
                data=event.get_data(),
                older={"attributes": dict(older.get_attributes()), "data": older.data},
            )
        except Exception as error:  # whatever it complains of is what the test wants to know
            entry["error"] = repr(error)
        with LOCK, open(BOOK, "a") as book:
            book.write(json.dumps(entry, default=told) + "\n")
        self.send_response(400 if "error" in entry else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()

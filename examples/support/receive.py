"""Runs a customer's Flask receiver as it is, and writes down every request before the receiver sees it.

usage: receive.py RECEIVER

RECEIVER is a Python file with a Flask application `app`. Environment:

PORT          where it listens, on 127.0.0.1
RECEIVED      one JSON line for each request: at_ms, method, path, headers, body (base64)      (optional)
TROUBLE       a file; while it has lines, its first one answers in the receiver's place         (optional)
TLS_CERT      with TLS_KEY: PEM files; the receiver speaks https with them                      (optional)

A line of TROUBLE is a status (`500`), or `hang` for no answer at all. It is used up by one request, or
by none when it ends in `always` (`500 always`).
"""

import base64
import io
import json
import os
import runpy
import sys
import threading
import time

from werkzeug.serving import WSGIRequestHandler, make_server

RECEIVED, TROUBLE = os.environ.get("RECEIVED"), os.environ.get("TROUBLE")
LOCK = threading.Lock()


class Watched:
    """A WSGI application in front of the customer's."""

    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        at_ms = time.time_ns() // 1_000_000
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        with LOCK:
            write_down(at_ms, environ, body)
            trouble = next_trouble()
        if trouble is None:
            return self.app(environ, start_response)
        if trouble == "hang":
            threading.Event().wait()
        start_response(f"{trouble} Trouble", [("content-length", "0")])
        return []


def write_down(at_ms, environ, body):
    if not RECEIVED:
        return
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
    }
    entry = {
        "at_ms": at_ms,
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"],
        "headers": headers,
        "body": base64.b64encode(body).decode(),
    }
    with open(RECEIVED, "a") as book:
        book.write(json.dumps(entry) + "\n")


def next_trouble():
    if not TROUBLE or not os.path.exists(TROUBLE):
        return None
    with open(TROUBLE) as file:
        lines = file.read().split("\n")
    lines = [line.strip() for line in lines if line.strip()]
    if not lines:
        return None
    if not lines[0].endswith("always"):
        with open(TROUBLE, "w") as file:
            file.write("\n".join(lines[1:]))
    return lines[0].split()[0]


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, *_):
        pass


tls = None
if os.environ.get("TLS_CERT"):
    tls = (os.environ["TLS_CERT"], os.environ["TLS_KEY"])
app = runpy.run_path(sys.argv[1])["app"]
port = int(os.environ["PORT"])
make_server(
    "127.0.0.1", port, Watched(app), threaded=True, request_handler=Handler, ssl_context=tls
).serve_forever()

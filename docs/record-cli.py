#!/usr/bin/env python3
"""Records the session of docs/cli.md anew: a real router, a receiver that is broken and then mended, and the
commands typed on a real terminal of 110 columns.

    cargo build --release && python3 docs/record-cli.py target/release/posthaste

What stands between the two marks of docs/cli.md is replaced by what the terminal showed. Where a line was drawn
several times (a bar), its last state is kept. Needs nothing but Python; everything it starts it stops.
"""

import http.server
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import fcntl
import urllib.request

PAGE = pathlib.Path(__file__).with_name("cli.md")
BEGIN, END = "<!-- the session begins -->", "<!-- the session ends -->"
COLUMNS = 110
PATIENCE_S = 60

# What each page of the receiver answers.
answers = {"/shop": 500, "/audit": 422}


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        status = answers[self.path]
        body = b'{"ok":true}' if status == 200 else b"the shop is closed for stocktaking"
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def shown(raw):
    """What a person would see in the end: each line in its last state."""
    lines = []
    for line in raw.replace("\r\n", "\n").split("\n"):
        state = ""
        for part in line.split("\r"):
            state = part if part.startswith("\x1b[K") or part else state
        lines.append(re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", state).rstrip().replace("^C", ""))
    return "\n".join(lines).strip("\n")


class Session:
    def __init__(self, binary, environment):
        self.binary, self.environment, self.text = binary, environment, []

    def say(self, text):
        self.text.append(f"# {text}")

    def quiet(self, *words):
        done = subprocess.run([self.binary, "--json", *words], env=self.environment, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def type(self, *words, keys=(), environment=None):
        """Types a command; `keys` are (the pattern that is waited for, what is typed then)."""
        line = " ".join(w if re.fullmatch(r"[\w./:,=@-]+", w) else f"'{w}'" for w in words)
        child, terminal = pty.fork()
        if child == 0:
            os.execve(self.binary, ["posthaste", *words], {**self.environment, **(environment or {})})
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
        raw, keys, end = "", list(keys), time.monotonic() + PATIENCE_S
        while True:
            ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
            if not ready:
                os.kill(child, signal.SIGKILL)
                sys.exit(f"no end of `{line}` within {PATIENCE_S} s; it has shown:\n{raw}")
            try:
                part = os.read(terminal, 4096)
            except OSError:  # the other end is gone
                break
            if not part:
                break
            raw += part.decode()
            if keys and re.search(keys[0][0], raw):
                os.write(terminal, keys.pop(0)[1].encode())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.close(terminal)
        code = 128 - code if code < 0 else code
        screen = shown(raw)
        end = f"\n(exit {code})" if code else ""
        self.text.append(f"$ posthaste {line}\n{screen}{end}\n")
        return code, screen


def until(what, ask, wanted):
    end = time.monotonic() + PATIENCE_S
    while (now := ask()) != wanted:
        if time.monotonic() > end:
            sys.exit(f"not within {PATIENCE_S} s: {what}: {now} instead of {wanted}")
        time.sleep(0.05)


def record(binary, folder):
    http.server.ThreadingHTTPServer.request_queue_size = 128
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{receiver.server_port}"
    admin = f"127.0.0.1:{free_port()}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POSTHASTE_")}
    environment |= {
        "POSTHASTE_DATA_DIR": str(folder / "data"), "POSTHASTE_DEV": "true", "POSTHASTE_ADMIN__LISTEN": admin,
        "POSTHASTE_API__LISTEN": f"127.0.0.1:{free_port()}", "TERM": "xterm",
    }
    session = Session(binary, environment)
    session.quiet("app", "create", "Acme", "--uid", "acme")
    for uid, events in (("shop", "job.*"), ("audit", "job.failed")):
        session.quiet("endpoint", "create", "--app", "acme", "--uid", uid, "--url", f"{url}/{uid}",
                      "--events", events, "--retry", "100,200")
    log = open(folder / "log", "w")
    router = subprocess.Popen([binary, "serve"], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def metric(name):
        try:
            text = urllib.request.urlopen(f"http://{admin}/metrics", timeout=5).read().decode()
        except OSError:
            return None
        found = re.search(rf"^posthaste_{re.escape(name)} (\d+)$", text, re.M)
        return int(found[1]) if found else None

    try:
        until("the router is ready", lambda: metric("dead_letters"), 0)
        session.quiet("publish", "--app", "acme", "--type", "job.completed", "--subject", "job-17", "--count", "1200",
                      "--data", '{"job": 17}')
        session.quiet("publish", "--app", "acme", "--type", "job.failed", "--subject", "job-18", "--count", "40",
                      "--data", '{"job": 18, "why": "no video track"}')
        until("all is given up", lambda: metric("dead_letters"), 1280)
        play(session)
    finally:
        router.terminate()
        router.wait(PATIENCE_S)
        receiver.shutdown()
    session.say("The router has been stopped.")
    session.type("dead-letters", "list")
    return "\n".join(session.text)


def play(session):
    letter = session.quiet("dead-letters", "list", "--subject", "job-18", "--app", "acme", "--endpoint", "shop")[0]
    session.say("Something has gone wrong. What, how much, since when?")
    session.type("dead-letters", "groups", "--app", "acme")
    session.type("dead-letters", "list", "--app", "acme", "--endpoint", "shop", "--subject", "job-18", "--limit", "3")
    session.say("One of them, to the byte.")
    session.type("dead-letters", "show", letter["id"])
    session.type("deliveries", "show", letter["msgId"], "shop", "--app", "acme")
    session.type("events", "get", letter["msgId"], "--app", "acme", "--trail")
    session.type("endpoint", "top", "--by", "failures")
    session.say("The shop is open again. What would a replay do?")
    answers["/shop"] = 200
    shop = ["--app", "acme", "--endpoint", "shop", "--rate", "100/s", "--why", "the shop was closed"]
    session.type("replay", "start", *shop, "--dry-run")
    session.say("Do it. (Ctrl-C after a moment.)")
    session.type("replay", "start", *shop, keys=[("to confirm", "1240\n"), (r"ok [1-9]\d\d", "\x03")])
    replay = session.quiet("replay", "list")[0]["id"]
    session.say("It goes on, and the same again is refused meanwhile.")
    session.type("replay", "start", *shop, "--yes")
    session.type("replay", "set-rate", replay, "1000/s")
    session.type("replay", "status", replay, "--watch")
    session.say("The other receiver is broken still: a replay that makes things worse pauses itself.")
    session.type("replay", "start", "--app", "acme", "--endpoint", "audit", "--rate", "20/s",
                 keys=[("to confirm", "y\n")])
    session.say("Nobody needs these.")
    session.quiet("replay", "cancel", session.quiet("replay", "list")[0]["id"])
    session.type("dead-letters", "discard", "--app", "acme", "--endpoint", "audit", "--why", "audit has them elsewhere",
                 keys=[("to confirm", "y\n")])
    session.type("replay", "list")
    session.say("What is wrong, is not there, or may not be.")
    session.type("dead-letters", "list", "--status", "6000")
    session.type("dead-letters", "show", letter["id"])
    session.say("With POSTHASTE_TOKEN of the application acme:")
    token = session.quiet("token", "create", "--app", "acme")[0]["token"]
    session.type("dead-letters", "groups", environment={"POSTHASTE_TOKEN": token})


def main():
    binary = str(pathlib.Path(sys.argv[1]).resolve())
    page = PAGE.read_text()
    head, rest = page.split(BEGIN)
    tail = rest.split(END)[1]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="posthaste-cli."))
    try:
        text = record(binary, folder)
    finally:
        shutil.rmtree(folder)
    text = text.replace(str(folder), "/tmp/posthaste")
    PAGE.write_text(f"{head}{BEGIN}\n\n```text\n{text.strip()}\n```\n\n{END}{tail}")


main()

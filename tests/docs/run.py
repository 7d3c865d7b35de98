#!/usr/bin/env python3
"""Runs a page of the documentation: its commands in order, in a folder of its own, as somebody would who reads it.

    run.py PAGE…     run these
    run.py --list    the pages that can be run, a line each
    run.py --links   look at no command, but at where every link of every page leads

What is run, and how a page says otherwise:

    ```sh                      is run; all such blocks of a page are one script, which ends at the first command that fails
    ```sh needs=go             is run where these are (with commas between them); otherwise it is told as left out
    ```python file=publish.py  is written to that file before anything is run
    <!-- run: rabbitmq -->     the page has a RabbitMQ node of its own
    <!-- run: not, because … -->   none of the page's commands is run here

Any other block is for reading (```console is a command that nobody runs here, as for Docker). The ports that pages have are
replaced by free ones. TEST_BINARY is the posthaste that they run; DOCS_SLOW=1 runs what is marked needs=slow, too.
"""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Everything that has links, and is ours.
LINKED = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "schemas/README.md", ROOT / "deploy/README.md", *(ROOT / "examples").rglob("README.md")]
# What pages listen on; and what they call a broker's port.
PORTS, BROKER = ["8071", "9464", "8765", "8766", "8767", "8768", "8769"], "5672"
# Where each may listen: as in tests/support/broker.rs, and never among those that the system gives to whoever asks for any.
PAGES_PORTS, NODES, EPMDS = range(10_000, 20_000), range(20_000, 24_000), range(28_000, 30_000)
# Longest that a page may take, in seconds: it installs a library or two.
LONGEST = 600

BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.M | re.S)


def free_ports(count, among):
    """So many, and what keeps them from being given to another page: hold it until this one has ended.

    The same number over UDP, which nobody here speaks, is the word that it is taken.
    """
    ports, words = [], []
    for port in random.sample(among, 1_000):
        word, trial = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
        try:
            word.bind(("127.0.0.1", port))
            trial.bind(("127.0.0.1", port))
        except OSError:
            word.close()
            continue
        finally:
            trial.close()
        ports.append(str(port))
        words.append(word)
        if len(ports) == count:
            return ports, words
    raise OSError("no port is free")


def is_run(text):
    return "<!-- run: not" not in text and re.search(r"^```sh\b", text, re.M) is not None


def missing(needs):
    for need in needs:
        if need == "slow":
            if not os.environ.get("DOCS_SLOW"):
                return need
        elif not shutil.which(need):
            return need
    return None


def blocks(page, text):
    """The files of a page, its script, and what is left out."""
    files, script, left = {}, ["set -euo pipefail"], []
    for block in BLOCK.finditer(text):
        language, said, body = block.groups()
        about = dict(word.split("=", 1) for word in said.split())
        line = text.count("\n", 0, block.start()) + 1
        lacks = missing(about.get("needs", "").split(",") if "needs" in about else [])
        if "file" in about:
            files[about["file"]] = body
        elif language == "sh" and lacks:
            left.append(f"{page.name}:{line} (needs {lacks})")
        elif language == "sh":
            script += [f"echo '── {page.name}:{line}'", body]
    return files, "\n".join(script), left


class Broker:
    """A private node, where a page asks for one."""

    def __init__(self, folder, port, epmd):
        self.environment = os.environ | {"DATA": folder, "PORT": port, "EPMD": epmd, "OWNER": str(os.getpid())}

    def say(self, command):
        script = ROOT / "tests/support/rabbitmq.sh"
        subprocess.run([script, command, "docs"], env=self.environment, check=True, stdout=subprocess.DEVNULL)


def environment(folder, binary, api, admin):
    """Nothing of ours but what a page's reader would have: and an address that is free."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POSTHASTE_")}
    return kept | {
        "HOME": folder, "PATH": f"{binary.parent}:{kept['PATH']}",
        # Caches of what is installed are the machine's: a second run fetches nothing.
        **{name: os.environ.get(name, str(Path.home() / below)) for name, below in (
            ("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup"), ("PIP_CACHE_DIR", ".cache/pip"), ("npm_config_cache", ".npm"),
            ("PYENV_ROOT", ".pyenv"),
        )},
        **({"npm_config_userconfig": str(Path.home() / ".npmrc")} if (Path.home() / ".npmrc").exists() else {}),
        "POSTHASTE_API__LISTEN": f"127.0.0.1:{api}", "POSTHASTE_ADMIN__LISTEN": f"127.0.0.1:{admin}",
    }


def run(page, binary):
    text = page.read_text(encoding="utf-8")
    files, script, left = blocks(page, text)
    ports, held = {}, []
    for names, among in ((PORTS, PAGES_PORTS), ([BROKER], NODES), (["epmd"], EPMDS)):
        given, words = free_ports(len(names), among)
        ports |= dict(zip(names, given))
        held += words

    def with_ports(body):
        return re.sub(r"(?<![\d.])(" + "|".join([*PORTS, BROKER]) + r")(?!\d)", lambda found: ports[found.group(1)], body)

    with tempfile.TemporaryDirectory(prefix="posthaste-docs-") as folder:
        for name, body in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(with_ports(body), encoding="utf-8")
        broker = None
        if "<!-- run: rabbitmq -->" in text:
            broker = Broker(f"{folder}/.node", ports[BROKER], ports["epmd"])
            broker.say("start")
        ran = subprocess.Popen(
            ["bash", "-c", with_ports(script)], cwd=folder, env=environment(folder, binary, ports["8071"], ports["9464"]),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, errors="replace",
        )
        try:
            # What a page leaves running holds its output open: its end is the script's, not that of its output.
            said, late = listened(ran)
        finally:
            # What it has started, and that alone: it is a session of its own.
            try:
                os.killpg(ran.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            if broker:
                broker.say("stop")
            for word in held:
                word.close()
    if late or ran.returncode:
        why = f"took more than {LONGEST} s" if late else f"ended with {ran.returncode}"
        print("\n".join(said.splitlines()[-60:]))
        sys.exit(f"{page.relative_to(ROOT)} {why}")
    print(f"{page.relative_to(ROOT)}: ran{'; left out ' + ', '.join(left) if left else ''}")
    if os.environ.get("DOCS_SHOW"):
        print(said)


def listened(ran):
    """What a script said until it ended, and whether it took too long."""
    said = []

    def listen():
        for line in ran.stdout:
            said.append(line)

    threading.Thread(target=listen, daemon=True).start()
    try:
        ran.wait(timeout=LONGEST)
        late = False
    except subprocess.TimeoutExpired:
        late = True
    return "".join(said), late


def slug(heading):
    """What GitHub calls a heading's place."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def places(page):
    without = BLOCK.sub("", page.read_text(encoding="utf-8"))
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", without, re.M)}


def links():
    wrong, count = [], 0
    for page in LINKED:
        text = BLOCK.sub("", page.read_text(encoding="utf-8"))
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            count += 1
            path, _, place = target.partition("#")
            found = (page.parent / path).resolve() if path else page
            if not found.exists():
                wrong.append(f"{page.relative_to(ROOT)}: {target} leads nowhere")
            elif place and found.suffix == ".md" and place not in places(found):
                wrong.append(f"{page.relative_to(ROOT)}: {target}: there is no such heading")
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{count} links of {len(LINKED)} pages")


def main():
    asked = sys.argv[1:]
    if asked == ["--links"]:
        links()
    elif asked == ["--list"]:
        for page in PAGES:
            if is_run(page.read_text(encoding="utf-8")):
                print(page.relative_to(ROOT))
    elif asked and not asked[0].startswith("-"):
        binary = Path(os.environ["TEST_BINARY"]).resolve()
        if binary.name != "posthaste" or not os.access(binary, os.X_OK):
            sys.exit(f"TEST_BINARY: {binary}: a program called posthaste is wanted, as pages call it")
        for name in asked:
            run((ROOT / name).resolve(), binary)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()

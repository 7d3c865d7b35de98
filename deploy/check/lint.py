#!/usr/bin/env python3
"""Holds rules, dashboard and runbooks to the program: every metric they name exists, with the label and value they ask for.

    lint.py --promtool PATH [--posthaste PATH]

With --posthaste the commands in the runbooks are held to the program's own command line, too. Prints what is wrong, a line
each, and exits 1; or one line of what was looked at.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

DEPLOY = Path(__file__).parent.parent
ROOT = DEPLOY.parent
PROMETHEUS = DEPLOY / "prometheus"
RUNBOOKS = ROOT / "docs/runbooks"

# What a runbook has, in this order.
SECTIONS = ["What fired", "What users feel", "First look", "Decide", "Act", "Verify"]
# What Prometheus and rabbitmq_prometheus add or have, beside ours.
OTHERS = ("rabbitmq_",)
# What only a label of a target can be, and of no metric.
OF_TARGETS = {"job", "instance"}

wrong = []


def metrics(name):
    with open(PROMETHEUS / name, encoding="utf-8") as lines:
        return {found["name"]: found for found in map(json.loads, lines)}


def selectors(expr):
    """Every metric of ours in an expression with what is asked of its labels: (name, [(label, operator, value)])."""
    for name, labels in re.findall(r"\b(posthaste_[a-z0-9_]+)\s*(?:\{([^}]*)\})?", expr):
        asked = re.findall(r'([a-z_]+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"', labels)
        yield name, asked


def family(name, known):
    """The metric that a series is of: a histogram's have something behind its name."""
    if name in known:
        return known[name]
    base = re.sub(r"_(bucket|count|sum)$", "", name)
    found = known.get(base)
    return found if found and found["kind"] == "histogram" else None


def look_at(expr, where, known):
    for name, asked in selectors(expr):
        found = family(name, known)
        if not found:
            wrong.append(f"{where}: there is no metric {name}")
            continue
        for label, operator, value in asked:
            if label in OF_TARGETS or label == "version":
                continue
            if label == "le":
                bound = re.sub(r"\(.*", "", value)
                if float(bound) not in found.get("buckets", []):
                    wrong.append(f"{where}: {name} has no bucket with the bound {bound}")
            elif label not in found["labels"]:
                wrong.append(f"{where}: {name} has no label {label}")
            else:
                values = value.split("|") if operator in ("=~", "!~") else [value]
                for one in values:
                    if one not in found["labels"][label] and not re.search(r"[.*+?]", one):
                        wrong.append(f"{where}: {name} is never {label}={one!r}")
        if found["shared"] and re.search(r"\bsum\b[^()]*\(\s*" + name + r"\b", expr):
            wrong.append(f"{where}: {name} is said by every router: max(), not sum()")
        if found["kind"] == "counter" and not re.search(r"(rate|increase)\(\s*" + name + r"\b", expr):
            wrong.append(f"{where}: {name} is a counter: rate() or increase()")


def rules(promtool):
    here, to_come = metrics("metrics.jsonl"), metrics("wanted.jsonl")
    for name in here.keys() & to_come.keys():
        wrong.append(f"wanted.jsonl: {name} is there now: take it out and run rules.py and dashboard.py")
    for name, found in to_come.items():
        if (found["kind"] == "counter") != name.endswith("_total"):
            wrong.append(f"wanted.jsonl: {name} is a {found['kind']}")
        if not found["question"] or not found["measured"]:
            wrong.append(f"wanted.jsonl: {name} answers no question, or is measured nowhere")
    pages = []
    for file, known in (("posthaste.rules.yml", here), ("posthaste-next.rules.yml", here | to_come)):
        for group in yaml.safe_load((PROMETHEUS / file).read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                look_at(rule["expr"], f"{file}: {rule.get('alert') or rule['record']}", known)
                if "alert" not in rule:
                    continue
                if not rule["annotations"].get("summary"):
                    wrong.append(f"{file}: {rule['alert']} has no summary")
                if rule["labels"]["severity"] == "page":
                    pages.append(rule["alert"])
    ran = subprocess.run(
        [promtool, "check", "rules", "--lint=all", PROMETHEUS / "posthaste.rules.yml", PROMETHEUS / "posthaste-next.rules.yml"],
        capture_output=True, text=True, check=False,
    )
    if ran.returncode:
        wrong.append(ran.stdout + ran.stderr)
    tests = (PROMETHEUS / "posthaste.tests.yml").read_text(encoding="utf-8")
    fired = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:", tests)) | set(re.findall(r'alertname="(\w+)"', tests))
    wrong.extend(f"posthaste.tests.yml: no test in which {page} fires" for page in pages if page not in fired)
    return here, pages


def dashboard(here, promtool):
    board = json.loads((DEPLOY / "grafana/posthaste.json").read_text(encoding="utf-8"))
    numbers = [panel["id"] for panel in board["panels"]]
    if len(numbers) != len(set(numbers)):
        wrong.append("posthaste.json: two panels have one id")
    queries = []
    for panel in board["panels"]:
        if panel["type"] == "row":
            continue
        where = f"posthaste.json: {panel['title']}"
        if not panel["description"] or not panel["fieldConfig"]["defaults"]["unit"]:
            wrong.append(f"{where} has no description or no unit")
        for target in panel["targets"]:
            look_at(target["expr"], where, here)
            queries.append(target["expr"].replace("$__rate_interval", "5m"))
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        rows = [{"record": "panel:query", "expr": query, "labels": {"n": str(n)}} for n, query in enumerate(queries)]
        yaml.safe_dump({"groups": [{"name": "panels", "rules": rows}]}, file)
        file.flush()
        ran = subprocess.run([promtool, "check", "rules", "--lint=none", file.name], capture_output=True, text=True, check=False)
        if ran.returncode:
            wrong.append("posthaste.json: " + ran.stdout + ran.stderr)
    return len(queries)


def commands(text):
    """The lines that call our program in a page's blocks for a shell."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.S):
        for line in block.replace("\\\n", " ").splitlines():
            line = line.split("  #")[0].strip()
            if line.startswith("posthaste "):
                yield line.split(" | ")[0].split(" > ")[0]


def runbooks(pages, posthaste):
    there = {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"}
    wrong.extend(f"{page} has no runbook" for page in set(pages) - there)
    wrong.extend(f"docs/runbooks/{page}.md: there is no such alert that wakes somebody" for page in there - set(pages))
    index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    console = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src/console").rglob("*.rs"))
    asked = 0
    for name in sorted(there):
        text = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
        where = f"docs/runbooks/{name}.md"
        if f"({name}.md)" not in index:
            wrong.append(f"docs/runbooks/README.md does not list {name}")
        found = re.findall(r"^## (.*)$", text, re.M)
        if [section for section in found if section in SECTIONS] != SECTIONS:
            wrong.append(f"{where}: the sections are {SECTIONS}, in this order")
        if len(text.splitlines()) > 75:
            wrong.append(f"{where} is longer than a page")
        for path in set(re.findall(r"`(/console[a-z/-]*)", text)):
            if f'"{path}"' not in console:
                wrong.append(f"{where}: there is no page {path}")
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            if not (RUNBOOKS / link).exists():
                wrong.append(f"{where}: {link} leads nowhere")
        for line in commands(text):
            asked += 1
            if posthaste:
                # Its own reader of flags reads up to --help, and refuses what it does not know before it.
                ran = subprocess.run(
                    ["bash", "-c", f'posthaste() {{ "{posthaste}" "$@" --help >/dev/null; }}; {line}'],
                    capture_output=True, text=True, check=False,
                )
                if ran.returncode:
                    wrong.append(f"{where}: {line}: {ran.stderr.strip()}")
    return asked


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promtool", required=True)
    parser.add_argument("--posthaste")
    arguments = parser.parse_args()
    here, pages = rules(arguments.promtool)
    queries = dashboard(here, arguments.promtool)
    asked = runbooks(pages, arguments.posthaste)
    if wrong:
        sys.exit("\n".join(wrong))
    held = "held to the command line" if arguments.posthaste else "not held to a program: give --posthaste"
    print(f"{len(here)} metrics, {queries} queries of the dashboard, {len(pages)} alerts that wake somebody, {asked} commands in runbooks ({held})")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes the pages that the program itself knows best: metrics.md and configuration.md.

    reference.py POSTHASTE            write them
    reference.py POSTHASTE --check    write nothing; exit 1 when one is not what would be written
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def lines(posthaste, *words):
    ran = subprocess.run([posthaste, *words, "--json"], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in ran.stdout.splitlines()]


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def metrics(posthaste):
    found = lines(posthaste, "metrics", "--list")
    series = sum(family["series"] for family in found)
    rows = []
    for family in found:
        labels = "; ".join(f"`{label}`: {', '.join(values)}" for label, values in family["labels"].items() if label != "version")
        if "version" in family["labels"]:
            labels = "`version`"
        about = [word for word, holds in (("installation", family["shared"]), ("broker", family["broker"])) if holds]
        rows.append(f"| `{family['name']}` | {family['kind']} | {cell(labels)} | {family['series']} | {', '.join(about)} | {cell(family['question'])} |")
    return f"""# Metrics

Written by `docs/reference.py` from `posthaste metrics --list --json`. `admin.listen` serves them at `/metrics`, in the text format of Prometheus: {len(found)} metrics, {series} series
for each router, whatever the number of endpoints. Every series is there from the start, at 0. *installation*: every router says the same, so read it with `max()`; everything else
is a router's own, to be summed. *broker*: a router without a broker has none of it. What they are asked for: [operate](operate.md#watch-it), [rules](../deploy/prometheus/rules.py).

| metric | kind | labels | series | | what it answers |
|---|---|---|---|---|---|
""" + "\n".join(rows) + "\n"


def configuration(posthaste):
    rows = [
        f"| `{one['key']}` | {'`' + cell(one['default']) + '`' if one['default'] else ''} | {cell(one['accepted'])} | {cell(one['doc'])} |"
        for one in lines(posthaste, "config", "settings")
    ]
    # The version is part of one default.
    version = subprocess.run([posthaste, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    text = "\n".join(rows).replace(f"posthaste/{version}", "posthaste/VERSION")
    return f"""# Settings

Written by `docs/reference.py` from `posthaste config settings --json`. Defaults < `posthaste.toml` < environment < flags (`--set KEY=VALUE`). In the environment `rabbitmq.prefetch` is
`POSTHASTE_RABBITMQ__PREFETCH`. `posthaste config check` tells every mistake at once, and what holds and where it comes from when there is none.

| setting | default | accepted | what it decides |
|---|---|---|---|
{text}
"""


def main():
    posthaste, check = sys.argv[1], "--check" in sys.argv[2:]
    for name, text in (("metrics.md", metrics(posthaste)), ("configuration.md", configuration(posthaste))):
        if not check:
            (HERE / name).write_text(text, encoding="utf-8")
        elif (HERE / name).read_text(encoding="utf-8") != text:
            sys.exit(f"docs/{name} is not what docs/reference.py writes; run it: make reference")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Holds every setting that Docker, Compose, Kubernetes and systemd give to the program's own list of settings.

    settings.py POSTHASTE RENDERED…
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

DEPLOY = Path(__file__).parent.parent
# What is no setting: where the file of settings lies, and how a command finds its router.
NO_SETTINGS = {"POSTHASTE_CONFIG", "POSTHASTE_SERVER", "POSTHASTE_TOKEN"}
# What Compose itself is told by.
OF_COMPOSE = {"POSTHASTE_IMAGE", "POSTHASTE_PUBLIC_URL"}


def main():
    posthaste, rendered = sys.argv[1], sys.argv[2:]
    listed = subprocess.run([posthaste, "config", "settings", "--json"], capture_output=True, text=True, check=True).stdout
    known = {json.loads(line)["variable"] for line in listed.splitlines()}
    files = [DEPLOY / "Dockerfile", *DEPLOY.glob("compose*.yaml"), *DEPLOY.glob("systemd/*.service"), *map(Path, rendered)]
    wrong, count = [], 0
    for file in files:
        for name in set(re.findall(r"\bPOSTHASTE_[A-Z_]+[A-Z]", file.read_text(encoding="utf-8"))) - NO_SETTINGS - OF_COMPOSE:
            count += 1
            if name not in known:
                wrong.append(f"{file.name}: {name} is no setting")
    for file in map(Path, rendered):
        for found in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            for name, text in ((found or {}).get("data") or {}).items() if (found or {}).get("kind") == "ConfigMap" else ():
                count += 1
                settings = file.with_suffix(".toml")
                settings.write_text(text, encoding="utf-8")
                ran = subprocess.run([posthaste, "--config", settings, "config", "check"], capture_output=True, text=True, check=False)
                if ran.returncode:
                    wrong.append(f"{name}: {ran.stderr}")
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{count} settings")


if __name__ == "__main__":
    main()

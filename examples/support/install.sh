#!/usr/bin/env bash
# Installs what the examples borrow, at the pinned versions: from Python into a virtual environment
# (first argument), from JavaScript into a folder (second argument). Does nothing when all is there.
# Python 3 with venv, Node.js with npm and openssl have to be on the machine: `make test-tools` sees to it.
set -euo pipefail
examples=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$1 node=$2

if ! cmp -s "$examples/requirements.txt" "$venv/requirements.txt"; then
  echo "installing the Python libraries of the examples"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$examples/requirements.txt"
  cp "$examples/requirements.txt" "$venv/requirements.txt"
fi

if ! cmp -s "$examples/package-lock.json" "$node/installed.json"; then
  echo "installing the JavaScript libraries of the examples"
  mkdir -p "$node"
  cp "$examples/package.json" "$examples/package-lock.json" "$node"
  npm ci --prefix "$node" --silent --no-audit --no-fund --ignore-scripts
  cp "$node/package-lock.json" "$node/installed.json"
fi

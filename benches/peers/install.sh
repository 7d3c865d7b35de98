#!/usr/bin/env bash
# Installs the peers that the router is measured beside: a Node.js worker's libraries and a Celery, each in a folder
# of its own under the first argument, in the versions that are written down here. Does nothing when they are there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
into=$1

if ! cmp -s "$here/package-lock.json" "$into/node/installed.json"; then
  echo "installing the Node.js worker's libraries" >&2
  mkdir -p "$into/node"
  cp "$here/package.json" "$here/package-lock.json" "$into/node"
  npm ci --prefix "$into/node" --silent --no-audit --no-fund --ignore-scripts >&2
  cp "$into/node/package-lock.json" "$into/node/installed.json"
fi
# A module finds its libraries beside itself.
cp "$here/worker.mjs" "$into/node/worker.mjs"

if ! cmp -s "$here/requirements.txt" "$into/celery/requirements.txt"; then
  echo "installing Celery" >&2
  rm -rf "$into/celery"
  python3 -m venv "$into/celery"
  "$into/celery/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2
  cp "$here/requirements.txt" "$into/celery/requirements.txt"
fi
cp "$here/celery_worker.py" "$into/celery/celery_worker.py"

#!/usr/bin/env bash
# Installs what the tests need and is not there: Debian's RabbitMQ, PostgreSQL, amqp-tools, Node.js, openssl and Chromium; in a
# virtual environment of the project's own (first argument) what they borrow from Python; in a folder of
# its own (second argument) what they borrow from JavaScript; and beside the two what the examples borrow.
# Does nothing when all is there. Broker and database are started by the tests, as
# private ones.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$1 node=$2

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else
    echo "missing: ${packages[*]}. Install them as root: apt-get install ${packages[*]}" >&2
    exit 1
  fi
}

packages=()
compgen -G '/usr/lib/rabbitmq/lib/rabbitmq_server-*' >/dev/null || packages+=(rabbitmq-server)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || packages+=(postgresql)
command -v amqp-publish >/dev/null || packages+=(amqp-tools)
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)
command -v openssl >/dev/null || packages+=(openssl)
command -v chromium >/dev/null || packages+=(chromium)
command -v chromedriver >/dev/null || packages+=(chromium-driver)
if [ ${#packages[@]} -gt 0 ]; then
  if ! command -v apt-get >/dev/null; then
    echo "missing: ${packages[*]}, and this is not a Debian to install them on" >&2
    exit 1
  fi
  echo "installing ${packages[*]}"
  # A machine that has just started looks for updates by itself: its locks are waited for.
  patient=(-o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  as_root apt-get update -qq "${patient[@]}"
  # The packages would start a broker and a database for the whole machine; the tests start their own. npm recommends
  # a compiler and more, which nothing here wants.
  if [[ " ${packages[*]} " == *" postgresql "* ]]; then
    as_root mkdir -p /etc/postgresql-common # without a cluster of the machine's own there is nothing to start
    echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
  fi
  as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install -y -qq "${patient[@]}" --no-install-recommends "${packages[@]}" >/dev/null
fi

if ! cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then
  echo "installing the Python libraries of the tests"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$venv/requirements.txt"
fi

if ! cmp -s "$here/../sdk/package-lock.json" "$node/installed.json"; then
  echo "installing the JavaScript library of the tests"
  mkdir -p "$node"
  cp "$here/../sdk/package.json" "$here/../sdk/package-lock.json" "$node"
  npm ci --prefix "$node" --silent --no-audit --no-fund --ignore-scripts
  cp "$node/package-lock.json" "$node/installed.json"
fi

"$here/../../examples/support/install.sh" "$(dirname "$venv")/examples/venv" "$(dirname "$node")/examples/node"

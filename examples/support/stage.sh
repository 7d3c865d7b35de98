# What the examples' run.sh have in common; each of them reads this in and then tells its story.
#
# Everything is in a temporary folder and on free ports: a private RabbitMQ node unless AMQP_URL names a
# broker, a posthaste of its own, the platform's application. What is started here is stopped here, by its
# process id, however the script ends.
#
#   AMQP_URL          a broker that is there already
#   EXAMPLES_BINARY   a posthaste that is already built
set -euo pipefail
examples=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
root=$(dirname "$examples")
platform=$(basename "$(cd "$(dirname "$0")" && pwd)")
here=$examples/$platform
cd "$here"

for name in ${!POSTHASTE_@}; do unset "$name"; done # no settings but those of this example

heading() { printf '\n── %s\n' "$*"; }
fail() { printf '%s: %s\n' "$platform" "$*" >&2; exit 1; }

declare -a pids=()
node="" folder=$(mktemp -d)
chmod 700 "$folder"

broker() { # start or stop, of the private node; out of reach of a Ctrl-C: half a start could not be stopped
  DATA=$folder PORT=${amqp_port:-} EPMD=${epmd_port:-} OWNER=$$ \
    setsid --wait "$root/tests/support/rabbitmq.sh" "$1" example
}

clean_up() {
  local status=$? id
  set +e # what is gone already need not be stopped
  trap - EXIT
  trap '' INT TERM HUP
  for id in "${pids[@]}"; do kill "$id" 2>/dev/null; done
  for id in "${pids[@]}"; do wait "$id" 2>/dev/null; done
  if [ -n "$node" ]; then broker stop >/dev/null 2>&1; fi
  if [ "$status" -ne 0 ] && [ -s "$folder/router.log" ]; then tail -n 20 "$folder/router.log" >&2; fi
  rm -rf "$folder"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Waits for a condition: what it is, and the command that tells.
await() {
  local what=$1
  shift
  for _ in $(seq 300); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  fail "waited 30 s in vain until $what"
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() { # among the 10,000 from $1 on; with $2, one whose port $2 higher is free as well
  local port
  for _ in $(seq 100); do
    port=$(($1 + RANDOM % 10000))
    if ! listens "$port" && ! listens $((port + ${2:-0})); then echo "$port"; return 0; fi
  done
  fail "no free port was found from $1 on"
}

# ── What it needs ──────────────────────────────────────────────────────────────────────────────

# Beside a copy of the examples there is no source to build, and no script that starts a node.
if [ -z "${EXAMPLES_BINARY:-}" ] && [ ! -f "$root/Cargo.toml" ]; then
  fail "$root has no posthaste to build: set EXAMPLES_BINARY to a posthaste that is built, or run this from the repository"
fi
if [ -z "${AMQP_URL:-}" ] && [ ! -x "$root/tests/support/rabbitmq.sh" ]; then
  fail "$root/tests/support/rabbitmq.sh is missing, which starts a RabbitMQ node: set AMQP_URL to a broker (amqp://user:password@host:5672/%2f), or run this from the repository"
fi

"$examples/support/install.sh" "$root/target/examples/venv" "$root/target/examples/node"
python=$root/target/examples/venv/bin/python
export NODE_PATH=$root/target/examples/node/node_modules PYTHONDONTWRITEBYTECODE=1
if [ -z "${EXAMPLES_BINARY:-}" ]; then
  cargo build --quiet --manifest-path "$root/Cargo.toml"
  EXAMPLES_BINARY=${CARGO_TARGET_DIR:-$root/target}/debug/posthaste
fi
posthaste() { "$EXAMPLES_BINARY" "$@"; }

# A certificate of this run alone, for receivers that take https only: it vouches for itself.
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=example -addext subjectAltName=IP:127.0.0.1 \
  -addext basicConstraints=critical,CA:FALSE -keyout "$folder/key.pem" -out "$folder/cert.pem" 2>/dev/null

# ── What all of them start ─────────────────────────────────────────────────────────────────────

if [ -z "${AMQP_URL:-}" ]; then
  node=yes
  for try in 1 2 3; do # between our look at a port and the node's use of it, somebody else may take it
    amqp_port=$(free_port 20000 20000) epmd_port=$(free_port 30000)
    if broker start >/dev/null; then break; fi
    if [ "$try" = 3 ] || ! broker stop >/dev/null; then
      fail "no RabbitMQ node has started, as is said above: set AMQP_URL to a broker that is there already"
    fi
  done
  AMQP_URL=amqp://guest:guest@127.0.0.1:$amqp_port/%2f
fi
export AMQP_URL PREFIX=example$$ APPLICATION JOBS=$folder/jobs.sqlite
api=127.0.0.1:$(free_port 10000)
export POSTHASTE_DEV=true POSTHASTE_DATA_DIR=$folder/data POSTHASTE_API__LISTEN=$api \
  POSTHASTE_ADMIN__LISTEN=127.0.0.1:$(free_port 10000) POSTHASTE_RABBITMQ__URLS=$AMQP_URL \
  POSTHASTE_RABBITMQ__PREFIX=$PREFIX POSTHASTE_RABBITMQ__RESULTS=true \
  POSTHASTE_DELIVERY__ALLOW_UNSIGNED=true
export SSL_CERT_FILE=$folder/cert.pem API_URL=http://$api
APPLICATION=$(posthaste --json app create "$platform" --uid "$platform" \
  | "$python" -c 'import json, sys; print(json.load(sys.stdin)["id"])')
"$EXAMPLES_BINARY" serve >"$folder/router.out" 2>"$folder/router.log" & # itself, and not a shell around it: what is killed is it
pids+=($!)
await "posthaste is ready" curl -sf "http://$POSTHASTE_ADMIN__LISTEN/readyz"
API_TOKEN=$(posthaste token create 2>>"$folder/router.log")
export API_TOKEN

# ── What they do ───────────────────────────────────────────────────────────────────────────────

# One call of posthaste's API: method, path below /api/v1, and the file of its body if it has one.
call() {
  local method=$1 path=$2 body=()
  [ $# -lt 3 ] || body=(-H 'content-type: application/json' --data-binary "@$3")
  curl -sS --fail-with-body -X "$method" "$API_URL/api/v1$path" \
    -H "authorization: Bearer $API_TOKEN" "${body[@]}"
}

# A preset or a part of it, with the receiver's real address in place of the example's.
filled() { sed "s|https://receiver.example|$receiver|" "$1"; }

# Starts a receiver (receiver.py or receiver.js) on http or https, and on a port if it is given one; from
# then on it is $receiver.
receive() {
  local file=$1 scheme=${2:-http} port=${3:-}
  [ -n "$port" ] || port=$(free_port 10000)
  local with=("$python" "$examples/support/receive.py")
  [ "${file##*.}" = py ] || with=(node "$examples/support/receive.js")
  local tls=()
  [ "$scheme" = http ] || tls=(TLS_CERT="$folder/cert.pem" TLS_KEY="$folder/key.pem")
  env PORT="$port" RECEIVED="$folder/received" TROUBLE="$folder/trouble" PYTHONUNBUFFERED=1 \
    "${tls[@]}" "${with[@]}" "$file" >>"$folder/receiver.log" 2>&1 &
  pids+=($!)
  await "$file listens" listens "$port"
  receiver=$scheme://127.0.0.1:$port
}

# What the receiver had to say, once it has said so many lines.
has_said() { [ "$(wc -l <"$folder/receiver.log")" -ge "$1" ]; }
shows() { await "the receiver has said $1 lines" has_said "$1"; sed 's/^/   /' "$folder/receiver.log"; }
has_received() { [ -f "$folder/received" ] && [ "$(wc -l <"$folder/received")" -ge "$1" ]; }

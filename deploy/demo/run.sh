#!/usr/bin/env bash
# Shows the main job from end to end, on this machine, and leaves nothing behind: a router in a
# temporary folder on free ports, receivers that check signatures, events of every type, a retry, a
# dead letter and its replay.
#
#   deploy/demo/run.sh [--rabbitmq] [--stay]
#
#   --rabbitmq   over a private RabbitMQ node, instead of everything in one SQLite file
#   --stay       keep all of it running at the end, until Enter is pressed
#
# DEMO_BINARY names a posthaste that is already built. Needs no root and no service (with --rabbitmq:
# when RabbitMQ is installed); whatever is started here is stopped here, by its process id.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
rabbitmq=$PWD/tests/support/rabbitmq.sh

stay=no rabbitmq_wanted=no
for argument in "$@"; do
  case $argument in
    --stay) stay=yes ;;
    --rabbitmq) rabbitmq_wanted=yes ;;
    *) echo "demo: \`$argument\` is not accepted: --rabbitmq and --stay are" >&2; exit 2 ;;
  esac
done

# The settings of this demo alone: none from the shell that it was started from.
for name in ${!POSTHASTE_@}; do unset "$name"; done

# ── How it speaks ──────────────────────────────────────────────────────────────────────────────

if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; else bold="" dim="" plain=""; fi
step=0
heading() { step=$((step + 1)); printf '\n%s%d. %s%s\n' "$bold" "$step" "$1" "$plain"; }
say() { printf '   %s\n' "$*"; }
indent() { sed "s/^/   ${1:-}/"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

# Shows a command as it would be typed, and runs it.
run() {
  printf '   %s$ posthaste' "$dim"
  local word
  for word in "$@"; do
    case $word in
      *[!A-Za-z0-9_./:,=@-]*) printf " '%s'" "$word" ;;
      *) printf ' %s' "$word" ;;
    esac
  done
  printf '%s\n' "$plain"
  posthaste "$@" 2>&1 | indent
}

# ── What it starts, and how all of it ends ─────────────────────────────────────────────────────

folder=""
node=""
declare -A pid=()

# Stops one process that we started: politely, and after ten seconds not.
stop() {
  local id=${pid[$1]:-}
  [ -n "$id" ] || return 0
  unset "pid[$1]"
  kill "$id" 2>/dev/null || true
  for _ in $(seq 100); do
    kill -0 "$id" 2>/dev/null || break
    sleep 0.1
  done
  kill -9 "$id" 2>/dev/null || true
  wait "$id" 2>/dev/null || true
}

broker() { # start, stop or ctl, of the private node
  local command=$1
  shift
  # In a session of its own, out of reach of a Ctrl-C: half a start could not be stopped.
  DATA=$folder PORT=${port:-} EPMD=${epmd:-} OWNER=$$ \
    setsid --wait "$rabbitmq" "$command" "$node" "$@"
}

clean_up() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP # cleaning up is not interrupted: it would leave a broker behind
  if [ "$status" -ne 0 ] && [ "$status" -lt 128 ] && [ -s "$folder/router.log" ]; then
    echo "demo: the end of the router's log:" >&2
    tail -n 20 "$folder/router.log" >&2
  fi
  for name in "${!pid[@]}"; do stop "$name"; done
  [ -z "$node" ] || broker stop >/dev/null 2>&1 || true
  [ -z "$folder" ] || rm -rf "$folder"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Waits for a condition: what it is, the seconds it may take, and the command that tells.
await() {
  local what=$1 seconds=$2
  shift 2
  for _ in $(seq $((seconds * 10))); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  fail "waited $seconds s in vain until $what"
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A free port among the 4,000 from $1 on; with $2, one whose port $2 higher is free as well.
free_port() {
  local low=$1 beside=${2:-0} candidate
  for _ in $(seq 100); do
    candidate=$((low + RANDOM % 4000))
    if ! listens "$candidate" && ! listens $((candidate + beside)); then
      echo "$candidate"
      return 0
    fi
  done
  fail "no free port was found from $low on"
}

# ── What it needs ──────────────────────────────────────────────────────────────────────────────

install_rabbitmq() {
  compgen -G '/usr/lib/rabbitmq/lib/rabbitmq_server-*' >/dev/null && return 0
  [ -z "${RMQ:-}" ] || return 0
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo)
    command -v sudo >/dev/null || fail "RabbitMQ is not installed: as root, apt-get install rabbitmq-server"
  fi
  command -v apt-get >/dev/null \
    || fail "RabbitMQ is not installed: install it, and set RMQ to the folder that has sbin/rabbitmq-server"
  echo "RabbitMQ is not installed: installing Debian's package (rabbitmq-server)"
  "${as_root[@]}" apt-get update -qq
  # The package would start a broker for the whole machine; the demo starts its own.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install -y -qq rabbitmq-server >/dev/null
}

build() {
  [ -z "${DEMO_BINARY:-}" ] || return 0
  "${CARGO:-cargo}" build --locked --quiet
  # Where cargo put it, whatever its configuration says.
  DEMO_BINARY=$("${CARGO:-cargo}" metadata --locked --no-deps --format-version 1 \
    | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/debug/posthaste
}

[ "$rabbitmq_wanted" = no ] || install_rabbitmq
if [ -z "${DEMO_BINARY:-}" ]; then echo "Building posthaste (a few minutes the first time)"; fi
build
[ -x "$DEMO_BINARY" ] || fail "there is no program at $DEMO_BINARY"
posthaste() { "$DEMO_BINARY" "$@"; }

# Something from a line of JSON that a command printed: the field's name; the line is on stdin.
field() { sed -n "s/.*\"$1\":\"\\([^\"]*\\)\".*/\\1/p" | head -n 1; }

# The admin port, without any other program: the path.
admin() {
  exec 3<>"/dev/tcp/127.0.0.1/$admin_port"
  printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&3
  cat <&3
  exec 3>&-
}
metric() { admin /metrics | sed -n "s/^posthaste_$1 //p"; }
shows() { [ "$(metric "$1")" = "$2" ]; } # whether a metric has this value
is_ready() { admin /readyz | grep -q '^ready'; }

# ── The demo ───────────────────────────────────────────────────────────────────────────────────

folder=$(mktemp -d "${TMPDIR:-/tmp}/posthaste-demo.XXXXXX")

start_rabbitmq() {
  heading "A RabbitMQ of its own"
  for attempt in 1 2 3; do # another program may take a port between our looking and the node's start
    node=demo-$$-$attempt
    port=$(free_port 20000 4000)
    epmd=$(free_port 28000)
    if broker start >/dev/null 2>"$folder/broker.log"; then break; fi
    broker stop >/dev/null 2>&1 || true
    [ "$attempt" -lt 3 ] || { cat "$folder/broker.log" >&2; fail "RabbitMQ did not start"; }
  done
  say "listens on 127.0.0.1:$port, its data is in $folder"
  export POSTHASTE_RABBITMQ__URLS=amqp://guest:guest@127.0.0.1:$port/%2f
}
[ "$rabbitmq_wanted" = no ] || start_rabbitmq

admin_port=$(free_port 10000)
api_port=$(free_port 10000)
export POSTHASTE_DATA_DIR=$folder/data
export POSTHASTE_ADMIN__LISTEN=127.0.0.1:$admin_port
export POSTHASTE_API__LISTEN=127.0.0.1:$api_port
export POSTHASTE_DEV=true # endpoints on this machine, over http

heading "An application with three endpoints"
run app create 'Acme Studio' --uid acme
declare -A endpoint=() secret=() address=()
make_endpoint() { # name, port, flags
  local name=$1 made
  address[$name]=$2
  shift 2
  made=$(posthaste --json endpoint create --app acme --uid "$name" \
    --url "http://127.0.0.1:${address[$name]}/" "$@")
  endpoint[$name]=$(field id <<<"$made")
  secret[$name]=$(field secret <<<"$made")
}
make_endpoint all "$(free_port 10000)"
make_endpoint endings "$(free_port 10000)" --retry 500ms,1s \
  --events job.completed,job.failed,job.rejected,job.cancelled,process.completed
make_endpoint documents "$(free_port 10000)" --retry 300ms,600ms --events 'document.*'
run endpoint list --app acme

heading "Their receivers, each with its endpoint's secret"
start_receiver() { # name, flags
  local name=$1
  shift
  "$DEMO_BINARY" listen --port "${address[$name]}" --secret "${secret[$name]}" "$@" \
    >>"$folder/$name.log" 2>"$folder/$name.notes" &
  pid[$name]=$!
  await "the receiver \`$name\` listens" 10 listens "${address[$name]}"
}
start_receiver all
say "all         takes everything"
start_receiver endings --fail-first 1
say "endings     fails the first time it sees an id: posthaste has to try again"
start_receiver documents --status 503
say "documents   is broken: it answers 503, always"

if [ "$rabbitmq_wanted" = yes ]; then heading "The router"; else heading "The router, without a broker"; fi
"$DEMO_BINARY" serve >"$folder/router.log" 2>&1 &
pid[router]=$!
await "the router is ready" 30 is_ready
say "is ready; metrics and probes on http://127.0.0.1:$admin_port/"
if [ "$rabbitmq_wanted" = no ]; then
  say "events come in on http://127.0.0.1:$api_port/; all that is kept lies in one SQLite file:"
  (cd "$folder" && ls -l data/posthaste.db) | indent "  "
fi

publish() { # event type, subject, data
  local id=$2.${1#*.} body
  body="{\"id\":\"$id\",\"type\":\"$1\",\"timestamp\":\"$(date -u +%FT%TZ)\",\"subject\":\"$2\",\"data\":$3}"
  if [ "$rabbitmq_wanted" = yes ]; then
    posthaste publish --app acme --type "$1" --subject "$2" --id "$id" --data "$body"
  else
    post "{\"eventType\":\"$1\",\"subject\":\"$2\",\"eventId\":\"$id\",\"payload\":$body}"
  fi | indent "$(printf '%-18s' "$1")"
}

# Publishes over HTTP, without any other program: the request's body.
post() {
  exec 3<>"/dev/tcp/127.0.0.1/$api_port"
  printf 'POST /api/v1/app/acme/msg?with_content=false HTTP/1.1\r\nhost: demo\r\nconnection: close\r\n' >&3
  printf 'authorization: Bearer %s\r\ncontent-type: application/json\r\n' "$token" >&3
  printf 'content-length: %d\r\n\r\n%s' "${#1}" "$1" >&3
  local answer
  answer=$(cat <&3)
  exec 3>&-
  printf '%s  %s\n' "$(head -n 1 <<<"$answer" | cut -d ' ' -f 2- | tr -d '\r')" "$(field id <<<"$answer")"
}

heading "Events of every type, published as a producer would"
if [ "$rabbitmq_wanted" = yes ]; then
  say "${dim}\$ posthaste publish --app acme --type job.created --subject job-17 --id job-17.created --data …$plain"
else
  token=$(posthaste --json token create | field token)
  say "${dim}POST http://127.0.0.1:$api_port/api/v1/app/acme/msg, with a token of \`posthaste token create\`$plain"
fi
job() { printf '{"job_id":"%s","status":"%s"%s}' "$1" "$2" "${3:-}"; }
now=$(date -u +%FT%TZ)
error=',"error":{"message":"the input has no video track"}'
publish job.created job-17 "$(job job-17 created)"
publish job.processing job-17 "$(job job-17 processing ',"progress":12.5')"
publish job.completed job-17 "$(job job-17 completed ",\"completed_at\":\"$now\"")"
publish job.failed job-18 "$(job job-18 failed "$error")"
publish job.rejected job-19 "$(job job-19 rejected "$error")"
publish job.cancelled job-20 "$(job job-20 cancelled)"
publish process.completed run-7 '{"run_id":"run-7","outcome":"done"}'
publish document.ready doc-5 '{"document_id":"doc-5","page_count":12}'

heading "What came: 8 events for \`all\`, 5 for \`endings\`, 1 for \`documents\`"
await "13 deliveries are delivered" 30 shows 'ledger_deliveries{state="delivered"}' 13
await "the fourteenth is given up" 30 shows dead_letters 1
say "all (each once)"
indent "  " <"$folder/all.log"
say "endings (each twice, with the same id: the first time it said 500)"
indent "  " <"$folder/endings.log"
say "documents (three times in vain)"
indent "  " <"$folder/documents.log"

heading "The dead letter"
run dead-letters list
delivery=$(posthaste --json dead-letters list | field id)
event=$(posthaste --json dead-letters list | field msgId)
run dead-letters show "$delivery"

heading "The receiver is mended, and the dead letter replayed: counted first"
stop documents
: >"$folder/documents.log"
start_receiver documents
run replay start --endpoint "${endpoint[documents]}" --dry-run
run replay start --endpoint "${endpoint[documents]}" --yes
await "the replay is delivered" 30 shows 'ledger_deliveries{state="delivered"}' 14
await "no dead letter is left" 10 shows dead_letters 0
indent "  " <"$folder/documents.log"
grep -q "$event .*verified" "$folder/documents.log" || fail "the replay came with another webhook-id"
say "the webhook-id is the one of the three failed attempts: a receiver can tell that it knows it"

heading "The books"
admin /metrics | grep -E '^posthaste_(ledger_[^ ]*|dead_letters|events_accepted_total|delivery_retries_scheduled_total|delivery_attempts_total\{[^ ]*"(success|server_error)"[^ ]*|broker_publishes_total[^ ]*|store_bytes[^ ]*) ' \
  | indent "  "
! grep -q '✗' "$folder"/{all,endings,documents}.log || fail "a signature was not verified"
[ "$(metric ledger_unaccounted_deliveries)" = 0 ] || fail "a delivery is unaccounted for"
say "8 events, 14 deliveries owed, 14 delivered, none unaccounted for;"
say "5 were retried once, 1 was given up, kept and replayed; every signature was verified"

if [ "$stay" = yes ]; then
  heading "All of it still runs. To look closer, from another shell:"
  for name in ${!POSTHASTE_@}; do say "export $name='${!name}'"; done
  say "PATH=$(dirname "$DEMO_BINARY"):\$PATH"
  say "posthaste endpoint list"
  say "posthaste publish --app acme --type job.created"
  say "curl http://127.0.0.1:$admin_port/metrics"
  if [ "$rabbitmq_wanted" = no ]; then
    say "curl -H \"authorization: Bearer \$(posthaste token create)\" -H 'content-type: application/json' \\"
    say "  -d '{\"eventType\":\"job.created\",\"payload\":{\"type\":\"job.created\"}}' http://127.0.0.1:$api_port/api/v1/app/acme/msg"
  fi
  say "tail -f $folder/*.log"
  printf '\nPress Enter to stop and delete all of it. '
  read -r _ || true
else
  printf '\nTo look closer: deploy/demo/run.sh --stay keeps all of it running; README.md has the tour.\n'
fi

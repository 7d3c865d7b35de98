#!/bin/bash
# A private PostgreSQL server for tests: nothing of the system's own server touched.
#
#   postgres.sh start|stop|kill9|restart
#
#   DATA   folder for everything that the server writes                        (required)
#   PORT   where it listens, on 127.0.0.1                                      (start, restart)
#   FSYNC  on, as it comes; off for suites that kill no server                 (start, restart)
#   PG     folder of the server's programs; default: the newest of Debian's packages
#   OWNER  process id; when it is gone, the server is stopped and its data deleted    (start)
#
# The server refuses to run as root, so for root everything is done as the package's user. `start` returns once it accepts
# connections. `stop` ends exactly this server, by its process id.
set -euo pipefail
SELF=$(realpath "$0")

say() { echo "postgres.sh: $*" >&2; }
[ $# -eq 1 ] || { say "a command (start, stop, kill9, restart) is wanted"; exit 2; }
: "${DATA:?a folder for the data of the server is wanted}"
if [ -z "${PG:-}" ]; then PG=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1); fi
if [ -z "$PG" ] || [ ! -x "$PG/postgres" ]; then
  say "PostgreSQL is not installed: apt-get install postgresql, or set PG to a folder with initdb and postgres"
  exit 3
fi
D=$(realpath -m "$DATA")/server
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$D"; chmod 711 "$(dirname "$D")"; chown postgres "$D"
  own() { setpriv --reuid postgres --regid postgres --clear-groups env HOME="$D" "$@"; }
else
  mkdir -p "$D"
  own() { env HOME="$D" "$@"; }
fi
cd "$D"

server() { head -n 1 "$D/data/postmaster.pid" 2>/dev/null; }
alive() { local pid; pid=$(server) && [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; }

start() {
  : "${PORT:?a port is wanted}"
  if [ ! -s "$D/data/PG_VERSION" ]; then
    own "$PG/initdb" -D "$D/data" -U posthaste -A trust -E UTF8 --locale=C.UTF-8 --no-sync > "$D/initdb.log" 2>&1 \
      || { cat "$D/initdb.log" >&2; return 1; }
  fi
  # A session of its own: a signal to the test's terminal must not reach the server.
  own setsid "$PG/postgres" -D "$D/data" -p "$PORT" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
    -c fsync="${FSYNC:-on}" -c max_connections=300 -c shared_buffers=64MB -c autovacuum_naptime=10s \
    -c max_pred_locks_per_transaction=256 >> "$D/server.log" 2>&1 < /dev/null &
  for _ in $(seq 1200); do
    if own "$PG/pg_isready" -q -h 127.0.0.1 -p "$PORT"; then return 0; fi
    sleep 0.05
  done
  say "the server did not start within a minute:"
  tail -n 20 "$D/server.log" >&2
  return 1
}

# Ends the server politely (SIGINT is its fast shutdown), and after ten seconds not.
end() {
  local pid; pid=$(server) || return 0
  [ -n "$pid" ] || return 0
  kill -INT "$pid" 2>/dev/null || return 0
  for _ in $(seq 200); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.05; done
  kill -9 "$pid" 2>/dev/null || return 0
}

# Outlives us and waits for the end of a test that may not have the time to stop its server.
watch_owner() {
  [ -n "${OWNER:-}" ] || return 0
  setsid "$SELF" watch > /dev/null 2>&1 < /dev/null &
}

case $1 in
  start)   start; watch_owner ;;
  watch)   while kill -0 "$OWNER" 2>/dev/null && [ -d "$D/data" ]; do sleep 0.5; done
           end; cd /; rm -rf "$D"; rmdir "$(dirname "$D")" 2>/dev/null || exit 0 ;;
  stop)    end ;;
  # As a power cut would: the server and all of its processes at once.
  kill9)   pid=$(server); children=$(ps -o pid= --ppid "$pid"); kill -9 "$pid" $children 2>/dev/null
           for _ in $(seq 200); do kill -0 "$pid" 2>/dev/null || break; sleep 0.02; done ;;
  restart) end; start ;;
  *)       say "unknown command \`$1\`: start, stop, kill9 or restart is wanted"; exit 2 ;;
esac

#!/bin/bash
# A private RabbitMQ node for tests: no systemd, no root, nothing of the system's own node touched.
#
#   rabbitmq.sh start|stop|kill9|restart|ctl NAME [arguments of rabbitmqctl]
#
#   DATA   folder for everything that the node writes                    (required)
#   PORT   AMQP port; PORT+4000 is taken too, for the node's own talk   (start, restart)
#   EPMD   port of the node's own epmd                                   (required)
#   RMQ    server folder (has sbin/); default: the newest that Debian's packages have installed
#   ERL    folder that holds `erl`; default: the system's
#   MEM    memory above which publishers are blocked; default 1GB
#   OWNER  process id; when it is gone, the node is stopped and its data deleted    (start)
#
# `start` prints the port once the node accepts connections. `stop` ends exactly this node and its
# epmd, by their process ids.
set -euo pipefail
SELF=$(realpath "$0")

say() { echo "rabbitmq.sh: $*" >&2; }
[ $# -ge 2 ] || { say "a command (start, stop, kill9, restart, ctl) and a node name are wanted"; exit 2; }
cmd=$1 name=$2; shift 2
: "${DATA:?a folder for the data of the node is wanted}" "${EPMD:?a port for epmd is wanted}"
if [ -z "${RMQ:-}" ]; then
  RMQ=$(ls -d /usr/lib/rabbitmq/lib/rabbitmq_server-* 2>/dev/null | sort -V | tail -n 1)
fi
if [ -z "$RMQ" ] || [ ! -x "$RMQ/sbin/rabbitmq-server" ]; then
  say "RabbitMQ is not installed: apt-get install rabbitmq-server, or set RMQ to a folder with sbin/rabbitmq-server"
  exit 3
fi

D=$(realpath -m "$DATA")/$name
mkdir -p "$D"/{mnesia,log,conf,home}
export PATH=${ERL:+$ERL:}/usr/local/bin:/usr/bin:/bin HOME=$D/home LANG=C.UTF-8
export RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_NODENAME=$name@localhost
export RABBITMQ_MNESIA_BASE=$D/mnesia RABBITMQ_LOG_BASE=$D/log RABBITMQ_LOGS=$D/log/node.log
export RABBITMQ_PID_FILE=$D/pid RABBITMQ_GENERATED_CONFIG_DIR=$D/conf
export RABBITMQ_CONFIG_FILE=$D/conf/rabbitmq RABBITMQ_ADVANCED_CONFIG_FILE=$D/conf/advanced.config
export RABBITMQ_ENABLED_PLUGINS_FILE=$D/conf/enabled_plugins
export RABBITMQ_FEATURE_FLAGS_FILE=$D/mnesia/feature_flags
export ERL_EPMD_PORT=$EPMD ERL_EPMD_ADDRESS=127.0.0.1 ERL_CRASH_DUMP=$D/log/erl_crash.dump
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"

alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }
accepts() { (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; }

# Kills a process by its id and waits until it is gone, be it by our doing or by its own. Not for ever: where nobody
# reaps, a dead process keeps its id.
kill_now() {
  local pid; pid=$(cat "$1")
  for _ in $(seq 100); do kill -9 "$pid" 2>/dev/null || break; sleep 0.05; done
  rm -f "$1"
}

# Ends a process by its id: politely, and after ten seconds not.
end() {
  alive "$1" || { rm -f "$1"; return 0; }
  local pid; pid=$(cat "$1")
  kill "$pid" 2>/dev/null || { rm -f "$1"; return 0; } # it has just ended by itself
  for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || { rm -f "$1"; return 0; }; sleep 0.1; done
  kill_now "$1"
}

start() {
  : "${PORT:?an AMQP port is wanted}"
  export RABBITMQ_DIST_PORT=$((PORT + 4000))
  if [ ! -f "$HOME/.erlang.cookie" ]; then
    (umask 077; printf 'private-test-node' > "$HOME/.erlang.cookie")
  fi
  chmod 400 "$HOME/.erlang.cookie" # with any other mode the node does not boot
  cat > "$D/conf/rabbitmq.conf" <<CONF
listeners.tcp.default = 127.0.0.1:$PORT
loopback_users = none
log.console = false
log.file.level = info
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.absolute = ${MEM:-1GB}
raft.wal_max_size_bytes = 64000000
CONF
  # Dead-lettering that fails while the node boots is tried again after this: 3 minutes by default.
  echo '[{rabbit,[{dead_letter_worker_publisher_confirm_timeout,2000},{dead_letter_worker_consumer_prefetch,256}]}].' \
    > "$D/conf/advanced.config"
  echo '[].' > "$D/conf/enabled_plugins"
  rm -f "$D/pid"
  cd "$D"
  # An epmd of our own, in the foreground and with its process id, so that `stop` can end it.
  # Erlang's own start of it would leave one behind.
  if ! alive "$D/epmd.pid"; then
    setsid epmd > "$D/log/epmd.log" 2>&1 < /dev/null &
    echo $! > "$D/epmd.pid"
  fi
  # A session of its own: a signal to the test's terminal must not reach the node.
  setsid nohup "$RMQ/sbin/rabbitmq-server" > "$D/log/stdout.log" 2>&1 < /dev/null &
  for _ in $(seq 1200); do
    if alive "$D/pid" && accepts; then echo "$PORT"; return 0; fi
    sleep 0.1
  done
  say "$name did not start within two minutes: see $D/log"
  if [ -f "$D/log/stdout.log" ]; then tail -n 20 "$D/log/stdout.log" >&2; fi
  return 1
}

# Outlives us and waits for the end of a test that may not have the time to stop its node.
watch_owner() {
  [ -n "${OWNER:-}" ] || return 0
  setsid "$SELF" watch "$name" > /dev/null 2>&1 < /dev/null &
  echo $! > "$D/watch.pid"
}

case $cmd in
  start)   start; watch_owner ;;
  watch)   while kill -0 "$OWNER" 2>/dev/null && [ -d "$D" ]; do sleep 0.5; done
           end "$D/pid"; end "$D/epmd.pid"; rm -rf "$D"; rmdir "$(dirname "$D")" 2>/dev/null || true ;;
  stop)    end "$D/watch.pid"; end "$D/pid"; end "$D/epmd.pid" ;;
  kill9)   if [ -s "$D/pid" ]; then kill_now "$D/pid"; fi ;;
  restart) end "$D/pid"; start ;;
  ctl)     cd "$D"; exec "$RMQ/sbin/rabbitmqctl" "$@" ;;
  *)       say "unknown command \`$cmd\`: start, stop, kill9, restart or ctl is wanted"; exit 2 ;;
esac

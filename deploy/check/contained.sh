#!/usr/bin/env bash
# Holds the program to what its image has: no library but those of a distroless `cc` image, no root, a root that is
# read-only, and one folder to write to. What an engine would do is done with namespaces, where this is root.
#
#   contained.sh POSTHASTE
set -euo pipefail
binary=$1

# glibc, its loader, and libgcc: what gcr.io/distroless/cc has.
strange=$(ldd "$binary" | awk '{print $1}' | grep -vE '^(linux-vdso\.so\.1|libc\.so\.6|libm\.so\.6|libgcc_s\.so\.1|/lib64/ld-linux-x86-64\.so\.2|/lib/ld-linux-aarch64\.so\.1)$' || [ $? = 1 ])
if [ -n "$strange" ]; then echo "it wants libraries that the image does not have: $strange"; exit 1; fi

if [ "$(id -u)" != 0 ]; then echo "its libraries alone were looked at: the rest wants root"; exit 0; fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$binary" "$folder/posthaste"
chmod 755 "$folder" "$folder/posthaste"
# Free ports are taken by asking for port 0; where they are stands in what it prints.
FOLDER=$folder unshare --mount --fork --pid --mount-proc --kill-child bash -euo pipefail -c '
  mount --make-rprivate /
  mkdir "$FOLDER/data"
  mount -t tmpfs -o "mode=0700,uid=65532,gid=65532,noexec" tmpfs "$FOLDER/data"
  mount --bind / /
  mount -o remount,bind,ro /
  cd "$FOLDER/data"
  setpriv --reuid=65532 --regid=65532 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
    env -i POSTHASTE_DATA_DIR="$FOLDER/data" POSTHASTE_API__LISTEN=127.0.0.1:0 POSTHASTE_ADMIN__LISTEN=127.0.0.1:0 \
    "$FOLDER/posthaste" serve > "$FOLDER/data/said" 2>&1 &
  router=$!
  for _ in $(seq 150); do
    admin=$(sed -n "s#^ *metrics *\(http://[^/]*\)/metrics.*#\1#p" "$FOLDER/data/said")
    if [ -n "$admin" ] && curl -fsS "$admin/readyz" 2>/dev/null; then break; fi
    if ! kill -0 "$router" 2>/dev/null; then cat "$FOLDER/data/said"; exit 1; fi
    sleep 0.2
  done
  curl -fsS "$admin/livez" >/dev/null
  if setpriv --reuid=65532 --regid=65532 --clear-groups touch /var/lib/elsewhere 2>/dev/null; then
    echo "the root was not read-only: nothing is shown by this"; exit 1
  fi
  kill -TERM "$router"
  wait "$router"
'
echo "ready on a root that is read-only, as nobody in particular; ended well"

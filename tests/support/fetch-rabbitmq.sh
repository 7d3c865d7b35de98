#!/usr/bin/env bash
# Unpacks another RabbitMQ than this Debian's, with its Erlang, into a folder of its own: no root, no
# change to the system. For trying the tests on several versions (`make test-brokers`).
#
#   fetch-rabbitmq.sh SUITE FOLDER      SUITE: trixie (RabbitMQ 4.0), forky or sid (4.3)
#
# The packages come through apt from the mirrors that this machine uses, with their signatures checked.
# The folder's path is written into the binaries: unpack it where it will stay. Wants `patchelf`.
set -euo pipefail

suite=$1 folder=$(realpath -m "$2")
command -v patchelf >/dev/null || { echo "patchelf is wanted: apt-get install patchelf" >&2; exit 1; }
if [ -x "$folder/server/sbin/rabbitmq-server" ]; then echo "$folder is there"; exit 0; fi

apt=$folder/.apt
mkdir -p "$apt"/{lists/partial,cache/archives/partial,debs,unpacked} "$folder/lib"
: > "$apt/status"
key=/usr/share/keyrings/debian-archive-keyring.gpg
mirror() { # the address of the first index whose suite matches
  apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | awk "$1 {print \$1; exit}"
}
main=$(mirror '$2 !~ /security|updates|nodistro|cloud/')
security=$(mirror '$2 ~ /-security$/')
{
  echo "deb [signed-by=$key] $main $suite main"
  if [ "$suite" != sid ] && [ -n "$security" ]; then
    echo "deb [signed-by=$key] $security $suite-security main"
  fi
} > "$apt/sources.list"
options=(
  -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
  -o "Dir::State=$apt" -o "Dir::State::lists=$apt/lists" -o "Dir::State::status=$apt/status"
  -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User= -o Acquire::Check-Valid-Until=false
  -o APT::Get::List-Cleanup=false
)
apt-get -qq "${options[@]}" update
cd "$apt/debs"
apt-get -qq "${options[@]}" download rabbitmq-server \
  erlang-{base,asn1,crypto,eldap,inets,mnesia,os-mon,parsetools,public-key,runtime-tools,ssl,syntax-tools,tools,xmerl} \
  libc6 libstdc++6 libgcc-s1 libtinfo6 zlib1g libssl3t64 libzstd1 libsystemd0 libcap2
for package in *.deb; do dpkg -x "$package" "$apt/unpacked"; done

cd "$apt/unpacked"
cp -a usr/lib/erlang "$folder/erlang"
cp -a usr/lib/rabbitmq/lib/rabbitmq_server-* "$folder/server"
for library in usr/lib/x86_64-linux-gnu/*.so* lib/x86_64-linux-gnu/*.so* lib64/* usr/lib64/*; do
  if [ -f "$library" ]; then cp -L "$library" "$folder/lib/$(basename "$library")"; fi
done
loader=$folder/lib/ld-linux-x86-64.so.2
chmod +x "$loader"
# Erlang of a newer Debian wants a newer libc than this one's: it gets its own.
find "$folder/erlang" -type f | while read -r binary; do
  case $(file -b "$binary") in
    *ELF*interpreter*) patchelf --set-interpreter "$loader" --set-rpath "$folder/lib" "$binary" ;;
    *ELF*shared*) patchelf --set-rpath "$folder/lib" "$binary" ;;
  esac
done
for library in libstdc++.so.6 libssl.so.3 libcrypto.so.3; do
  patchelf --set-rpath "$folder/lib" "$folder/lib/$library"
done
sed -i "s#/usr/lib/erlang#$folder/erlang#g" "$folder"/erlang/bin/erl "$folder"/erlang/erts-*/bin/erl
rm -rf "$apt"
ls "$folder/server/plugins" | sed -n 's/^rabbit-\(.*\)/RabbitMQ \1 is in '"${folder//\//\\/}"'/p'

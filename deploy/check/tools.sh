# What check.sh needs and may not be there, put below target/check-deploy: nothing of the system is changed, and no root is
# wanted. Read in by check.sh.
#
# Debian's packages are unpacked and not installed, from the suites that have them: promtool and Prometheus from this Debian's,
# docker-compose from trixie, whose is the first that knows today's files (its binary runs on older ones, too).

tools=$root/target/check-deploy
mkdir -p "$tools"

# The address that this machine's own apt has Debian from.
mirror() {
  apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
    awk '$2 !~ /security|updates|backports|nodistro|cloud/ {print $1; exit}'
}

# unpack SUITE PACKAGE: a package of another suite, below $tools/PACKAGE, with its signature checked.
unpack() {
  local suite=$1 package=$2 apt=$tools/apt-$1 key=/usr/share/keyrings/debian-archive-keyring.gpg
  if [ ! -d "$apt/lists" ]; then
    mkdir -p "$apt"/{lists/partial,cache/archives/partial}
    : > "$apt/status"
    echo "deb [signed-by=$key] $(mirror) $suite main" > "$apt/sources.list"
  fi
  local options=(
    -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State=$apt" -o "Dir::State::lists=$apt/lists" -o "Dir::State::status=$apt/status"
    -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User= -o Acquire::Retries=3 -o APT::Get::List-Cleanup=false
  )
  echo "unpacking $package of $suite"
  apt-get -qq "${options[@]}" update
  (cd "$apt" && apt-get -qq "${options[@]}" download "$package")
  rm -rf "${tools:?}/$package"
  dpkg -x "$apt/$package"_*.deb "$tools/$package"
  rm "$apt/$package"_*.deb
}

if ! cmp -s "$here/requirements.txt" "$tools/venv/requirements.txt"; then
  echo "installing the Python tools of this check"
  rm -rf "$tools/venv"
  python3 -m venv "$tools/venv"
  "$tools/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$tools/venv/requirements.txt"
fi
python=$tools/venv/bin/python

promtool=$(command -v promtool) || promtool=$tools/prometheus/usr/bin/promtool
if [ ! -x "$promtool" ]; then unpack "$(. /etc/os-release && echo "$VERSION_CODENAME")" prometheus; fi
prometheus=$(dirname "$promtool")/prometheus

compose=$tools/docker-compose/usr/libexec/docker/cli-plugins/docker-compose
if [ ! -x "$compose" ]; then unpack trixie docker-compose; fi

if command -v kubectl >/dev/null; then kustomize=(kubectl kustomize)
else
  kustomize=("$tools/kustomize/usr/bin/kustomize" build)
  if [ ! -x "${kustomize[0]}" ]; then unpack trixie kustomize; fi
fi

#!/usr/bin/env bash
# Holds what is said to Prometheus, Grafana, Docker, Kubernetes and systemd to their own rules, and to the program. No
# Docker engine, no cluster and no root are wanted; what the check needs is unpacked below target/check-deploy.
#
#   deploy/check/check.sh             what files alone can tell
#   CHECK_BINARY=… check.sh           also: settings, commands and metrics held to this posthaste; that it runs on a root
#                                     that is read-only (where this is root); and a real Prometheus that scrapes it, and
#                                     fires the right alert when its broker or its receivers are broken
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cd "$root"
. "$here/tools.sh"
binary=${CHECK_BINARY:+$(realpath "$CHECK_BINARY")}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

failed=0
# check WHAT COMMAND…: runs it, and tells what it said where it fails.
check() {
  local what=$1
  shift
  if "$@" > "$scratch/said" 2>&1; then
    printf 'ok      %s%s\n' "$what" "$(tail -n 1 "$scratch/said" | sed -n 's/^\(.\{1,140\}\)$/: \1/p')"
  else
    printf 'FAILED  %s\n' "$what"
    sed 's/^/        /' "$scratch/said"
    failed=1
  fi
}

# ── Prometheus and Grafana ─────────────────────────────────────────────────────────────────────

check "rules are what rules.py writes" "$python" deploy/prometheus/rules.py --check
check "the dashboard is what dashboard.py writes" "$python" deploy/grafana/dashboard.py --check
check "rules, as promtool has them" "$promtool" check rules --lint=all deploy/prometheus/posthaste.rules.yml deploy/prometheus/posthaste-next.rules.yml
check "alerts fire, and do not" "$promtool" test rules deploy/prometheus/posthaste.tests.yml
check "prometheus.yml" "$promtool" check config --lint=all deploy/prometheus/prometheus.yml
check "metrics, dashboard and runbooks" "$python" deploy/check/lint.py --promtool "$promtool" ${binary:+--posthaste "$binary"}

# ── Files ──────────────────────────────────────────────────────────────────────────────────────

check "YAML" "$tools/venv/bin/yamllint" --strict -c deploy/check/yamllint.yaml deploy
check "Dockerfile" "$tools/venv/bin/hadolint" deploy/Dockerfile

# A password that is missing has to be told of.
compose() { RABBITMQ_PASSWORD=x POSTGRES_PASSWORD=y "$compose" --env-file /dev/null "$@"; }
not() { if "$@"; then echo "it should have failed"; return 1; fi; }
check "compose.yaml" compose -f deploy/compose.yaml --profile monitoring config --quiet
check "compose.postgres.yaml" compose -f deploy/compose.yaml -f deploy/compose.postgres.yaml config --quiet
check "compose.yaml without a password is refused" not "$compose" --env-file /dev/null -f deploy/compose.yaml config --quiet

# ── Kubernetes ─────────────────────────────────────────────────────────────────────────────────

for overlay in single several; do
  if "${kustomize[@]}" "deploy/kubernetes/overlays/$overlay" > "$scratch/$overlay.yaml"; then
    check "kubernetes/overlays/$overlay" "$python" deploy/check/kubernetes.py "$scratch/$overlay.yaml"
  else failed=1; fi
done
mkdir "$scratch/keda"
cat > "$scratch/keda/kustomization.yaml" <<END
resources: [$(realpath --relative-to "$scratch/keda" deploy/kubernetes/overlays/several)]
components: [$(realpath --relative-to "$scratch/keda" deploy/kubernetes/components/keda)]
END
if "${kustomize[@]}" "$scratch/keda" > "$scratch/keda.yaml"; then
  check "kubernetes/components/keda" "$python" deploy/check/kubernetes.py "$scratch/keda.yaml"
else failed=1; fi

# ── systemd ────────────────────────────────────────────────────────────────────────────────────

# The units as they are, with a program that is there.
mkdir "$scratch/units"
for unit in deploy/systemd/*.service deploy/systemd/*.timer; do
  sed 's#/usr/local/bin/posthaste#/usr/bin/true#' "$unit" > "$scratch/units/$(basename "$unit")"
done
if command -v systemd-analyze >/dev/null; then
  # A key that it does not know is told of, and no error.
  silently() { local said; said=$("$@" 2>&1) && [ -z "$said" ] || { echo "$said"; return 1; }; }
  check "systemd units" silently systemd-analyze verify "$scratch"/units/*
  for unit in posthaste posthaste-backup; do
    check "what $unit.service may do" systemd-analyze security --offline=yes --threshold=15 "$scratch/units/$unit.service"
  done
else echo "left    systemd units: there is no systemd-analyze here"; fi

# ── With the program ───────────────────────────────────────────────────────────────────────────

if [ -n "$binary" ]; then
  check "settings are the program's" "$python" deploy/check/settings.py "$binary" "$scratch"/{single,several}.yaml
  check "what the image has is enough" deploy/check/contained.sh "$binary"
  check "a Prometheus that scrapes it" "$python" deploy/check/scrape.py "$binary" "$prometheus"
  if compgen -G '/usr/lib/rabbitmq/lib/rabbitmq_server-*' >/dev/null; then
    check "what is broken fires its alert" "$python" deploy/check/alarms.py "$binary" "$prometheus"
  else echo "left    what is broken fires its alert: RabbitMQ is not installed"; fi
else echo "left    what is held to the program: CHECK_BINARY names none"; fi
exit "$failed"

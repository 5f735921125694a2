# The front door: every target is what people, CI and the documentation use.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Everything that is built lives outside the checkout, so that clones share it; it can be deleted at any time.
export DATASTREAM_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/datastream
key := $(shell cat Cargo.lock rust-toolchain.toml | sha256sum | cut -c1-12)
export CARGO_TARGET_DIR ?= $(DATASTREAM_CACHE)/target-$(key)
export PATH := $(DATASTREAM_CACHE)/tools/bin:$(PATH)
# Where the sources of dependencies are differs from machine to machine; what is released does not.
release := RUSTFLAGS="--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo"
# One after the other, whether they keep their bars or not.
benches = @failed=; for bench in $(1); do \
	$(release) cargo bench --locked --workspace --bench $$bench || failed+=" $$bench"; \
	done; [[ -z $$failed ]] || { echo "missed a bar, or did not run:$$failed" >&2; exit 1; }

.PHONY: help demo test e2e soak fuzz autobahn instructions bench bench-control lint advisories fmt build images release release-check tilt tilt-ci tilt-programs tilt-e2e install clean

help: ## Show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | column -t -s $$'\t'

demo: ## Run everything in one process on made-up devices, and print stream URLs to open
	cargo run --locked -p datastream-cli -- dev --manifests crds/examples --simulate

test: install ## Run every test, from units to a real Kubernetes control plane
	@assets=$$(e2e/cluster/build.sh); echo "control plane: $$assets"
	@e2e/cluster/build.sh helm >/dev/null && e2e/cluster/apis.sh >/dev/null
	cargo build --locked --workspace --bins
	cargo test --locked --workspace
	DATASTREAM_BIN=$(CARGO_TARGET_DIR)/debug/datastream clients/typescript/test.sh
	DATASTREAM_BIN=$(CARGO_TARGET_DIR)/debug/datastream clients/python/test.sh

e2e: images ## Run the chart and the images on a cluster with pods: a single node of its own, or that of KUBECONFIG
	@e2e/cluster/run.sh

soak: install ## Make faults for CHAOS_SECONDS (default 3600) from CHAOS_SEED (default random), round after round
	@assets=$$(e2e/cluster/build.sh); echo "control plane: $$assets"
	cargo build --locked --workspace --bins
	CHAOS_SEED=$${CHAOS_SEED:-random} CHAOS_SECONDS=$${CHAOS_SECONDS:-3600} \
		cargo test --locked -p datastream-e2e --test chaos -- --nocapture

fuzz: ## Run each fuzz target, or those of FUZZ_TARGETS, for FUZZ_SECONDS (default 60), on inputs that libFuzzer makes
	@scripts/install.sh fuzz
	@scripts/fuzz.sh $(FUZZ_TARGETS)

hostile: ## Attack a gateway in every way, and measure honest clients and probes meanwhile, in a release build
	$(release) cargo build --locked --release --workspace --bins
	$(release) cargo bench --locked --workspace --bench hostile

autobahn: ## Run Autobahn's test suite, or the cases of AUTOBAHN_CASES, against the WebSocket code of streams; needs Python 2.7
	@scripts/autobahn.sh

instructions: install ## Count the instructions of the hot path, and compare them with docs/instructions.tsv
	@scripts/instructions.sh

bench: ## Measure speed and memory against fixed bars, in a release build; fails at the end if one is missed
	$(release) cargo build --locked --release --workspace --bins
	$(call benches,index routing fanout peers scale crowd replay)

bench-control: install ## Measure the control plane with 10,000 subscriptions, and the operator with 100,000 in a simulation, against fixed bars, in a release build
	@assets=$$(e2e/cluster/build.sh); echo "control plane: $$assets"
	$(release) cargo build --locked --release --workspace --bins
	$(call benches,control control-sim)

lint: install ## Check the format, the lints, the contracts, and what the project depends on
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --workspace --test cluster --test images -- -D warnings
	cargo clippy --locked --workspace --example echo --features datastream-gateway/test-util -- -D warnings
	cargo deny --locked check bans licenses sources
	scripts/contracts.sh

advisories: ## Check what the project depends on against known vulnerabilities; needs the internet
	@scripts/install.sh advisories
	cargo deny --locked check advisories

fmt: ## Format the code
	cargo fmt --all

build: ## Build the programs for release
	$(release) cargo build --locked --release --workspace --bins
	@echo "datastream, datastream-operator, datastream-gateway, datastream-collector, datastream-broker: in $(CARGO_TARGET_DIR)/release"

images: install build ## Build the images as OCI archives, without a Docker engine
	images/build.sh

release: ## Make the images, the chart and the programs of a release in dist/; publishes nothing
	@scripts/release.sh

release-check: ## Check that a release could be made of this checkout: nothing uncommitted, one version everywhere
	@scripts/release.sh --check

tilt: ## Develop on a kind cluster, with everything replaced as you save; FLUVIO=chart for Fluvio itself
	ctlptl apply -f tilt/cluster.yaml && tilt up $(if $(FLUVIO),-- --fluvio=$(FLUVIO))

tilt-ci: ## Bring the same up once, run the end-to-end tests, and end
	ctlptl apply -f tilt/cluster.yaml && tilt ci $(if $(FLUVIO),-- --fluvio=$(FLUVIO))

tilt-programs: # for the Tiltfile
	cargo build --locked --workspace --bins
	tilt/programs.sh

tilt-e2e: # for the Tiltfile
	tilt/e2e.sh

install: ## Install what the tests need and the machine lacks
	@scripts/install.sh

clean: ## Delete what was built, the control plane included
	rm -rf "$(DATASTREAM_CACHE)"

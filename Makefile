# The front door: every target is what people, CI and the documentation use.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Everything that is built lives outside the checkout, so that clones share it; it can be deleted at any time.
export DATASTREAM_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/datastream
key := $(shell cat Cargo.lock rust-toolchain.toml | sha256sum | cut -c1-12)
export CARGO_TARGET_DIR ?= $(DATASTREAM_CACHE)/target-$(key)
export PATH := $(DATASTREAM_CACHE)/tools/bin:$(PATH)

.PHONY: help demo test soak bench lint fmt build install clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | column -t -s $$'\t'

demo: ## Run everything in one process on made-up devices, and print stream URLs to open
	cargo run --locked -p datastream-cli -- dev --manifests crds/examples --simulate

test: install ## Run every test, from units to a real Kubernetes control plane
	@assets=$$(e2e/cluster/build.sh); echo "control plane: $$assets"
	cargo build --locked --workspace --bins
	cargo test --locked --workspace

soak: install ## Make faults for CHAOS_SECONDS (default 3600) from CHAOS_SEED (default random), round after round
	@assets=$$(e2e/cluster/build.sh); echo "control plane: $$assets"
	cargo build --locked --workspace --bins
	CHAOS_SEED=$${CHAOS_SEED:-random} CHAOS_SECONDS=$${CHAOS_SECONDS:-3600} \
		cargo test --locked -p datastream-e2e --test chaos -- --nocapture

bench: ## Measure speed and memory against fixed bars, in a release build
	cargo build --locked --release -p datastream-gateway --bins
	cargo bench --locked -p datastream-gateway --bench routing
	cargo bench --locked -p datastream-e2e --bench fanout
	cargo bench --locked -p datastream-e2e --bench crowd

lint: install ## Check the format, the lints, and what the project depends on
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo deny --locked check bans licenses sources

fmt: ## Format the code
	cargo fmt --all

build: ## Build the programs for release
	cargo build --locked --release --workspace --bins

install: ## Install what the tests need and the machine lacks
	@scripts/install.sh

clean: ## Delete what was built, the control plane included
	rm -rf "$(DATASTREAM_CACHE)"

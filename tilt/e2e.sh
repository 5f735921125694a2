#!/usr/bin/env bash
# e2e.sh: run the end-to-end tests on a kind cluster of their own, which is made if it is missing, and kept.
#
#   kind delete cluster --name datastream-e2e
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cluster=datastream-e2e
# Not the development cluster's, which Tilt names here.
export KUBECONFIG=${CARGO_TARGET_DIR:-target}/$cluster.kubeconfig
mkdir -p "$(dirname "$KUBECONFIG")"
kind get clusters | grep -qx "$cluster" || kind create cluster --name "$cluster" --wait 2m
kind export kubeconfig --name "$cluster"
make e2e

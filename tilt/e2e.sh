#!/usr/bin/env bash
# e2e.sh: run the end-to-end tests on a kind cluster of their own, which is made if it is missing and kept. `make tilt-e2e` builds the images before.
#
#   kind delete cluster --name datastream-e2e
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cluster=datastream-e2e
images=$CARGO_TARGET_DIR/images
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
# Not the development cluster's, which Tilt names here.
export KUBECONFIG=$CARGO_TARGET_DIR/$cluster.kubeconfig

kind get clusters | grep -qx "$cluster" || kind create cluster --name "$cluster" --wait 2m
kind export kubeconfig --name "$cluster"

# The ingress of the tests, and the same programs under another name for the release that is rolled out.
e2e/cluster/images/build.sh "$images"
IMAGE_TAG=$version-next IMAGE_OUT=$images/next images/build.sh >/dev/null
for image in "$images"/*.tar "$images"/next/*.tar; do
  kind load image-archive "$image" --name "$cluster"
done
make e2e

#!/usr/bin/env bash
# run.sh: run the scenarios of e2e/tests/cluster on the cluster that KUBECONFIG names, or on a single node made for them.
#
# To a cluster of KUBECONFIG the images have to be loaded before (`make images` makes them; with kind:
# `kind load image-archive FILE`), or pushed to IMAGE_REGISTRY as IMAGE_TAG and, for the rollout, IMAGE_TAG_NEXT.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
: "${CARGO_TARGET_DIR:=target}"
export CARGO_TARGET_DIR

e2e/cluster/build.sh helm >/dev/null
cargo build --locked --workspace --bins
# The runner is named in what cargo says when it builds it.
test=$(cargo test --locked --workspace --test cluster --no-run --message-format=json |
  sed -n 's/.*"name":"cluster".*"executable":"\([^"]*\)".*/\1/p')

if [ -n "${KUBECONFIG:-}" ]; then
  exec "$test"
fi
node=$CARGO_TARGET_DIR/debug/node
missing=$("$node" --missing)
if [ -n "$missing" ]; then
  echo "e2e: pods cannot run here ($missing); left out: $("$test" --list | sed 's/: test//' | paste -sd' ')"
  exit 0
fi
images=$CARGO_TARGET_DIR/images
e2e/cluster/images/build.sh "$images"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
# The same programs under another name stand for the release that is rolled out.
IMAGE_TAG=$version-next IMAGE_OUT=$images/next images/build.sh >/dev/null
arguments=()
for image in "$images"/*.tar "$images"/next/*.tar; do
  arguments+=(--image "$image")
done
"$node" "${arguments[@]}" "$test"

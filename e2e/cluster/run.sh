#!/usr/bin/env bash
# run.sh: run the scenarios of e2e/tests/cluster on the cluster that KUBECONFIG names, or on a single node made for them.
#
# A cluster of kind is given the images; for others, load the archives in $CARGO_TARGET_DIR/images and its folder next, or push
# them to IMAGE_REGISTRY as IMAGE_TAG and, for the rollout, IMAGE_TAG_NEXT.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
: "${CARGO_TARGET_DIR:=target}"
export CARGO_TARGET_DIR

e2e/cluster/build.sh helm >/dev/null
cargo build --locked --workspace --bins
# The runner is named in what cargo says when it builds it.
test=$(cargo test --locked --workspace --test cluster --no-run --message-format=json |
  sed -n 's/.*"name":"cluster".*"executable":"\([^"]*\)".*/\1/p')

images=$CARGO_TARGET_DIR/images
DATASTREAM_IMAGES=$images cargo test --locked --workspace --test images
e2e/cluster/images/build.sh "$images"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
# The same programs under another name stand for the release that is rolled out.
IMAGE_TAG=$version-next IMAGE_OUT=$images/next images/build.sh >/dev/null
archives=("$images"/*.tar "$images"/next/*.tar)

if [ -n "${KUBECONFIG:-}" ]; then
  context=$(kubectl config current-context)
  if [[ $context == kind-* ]] && command -v kind >/dev/null; then
    for archive in "${archives[@]}"; do
      kind load image-archive --name "${context#kind-}" "$archive"
    done
  fi
  exec "$test"
fi

node=$CARGO_TARGET_DIR/debug/node
missing=$("$node" --missing)
if [ -n "$missing" ]; then
  echo "e2e: pods cannot run here ($missing); left out: $("$test" --list | sed 's/: test//' | paste -sd' ')"
  exit 0
fi
arguments=()
for archive in "${archives[@]}"; do
  arguments+=(--image "$archive")
done
"$node" "${arguments[@]}" "$test"

#!/usr/bin/env bash
# build.sh: build the images from the programs that are built here, without a Docker engine, a registry or a network.
#
# The same Dockerfile as with an engine, by buildah; only its first stage, which compiles, is replaced by the programs of
# `make build`. Writes an OCI archive of each image and prints its path, size and digest. The same programs and the same
# commit give the same digest.
#
#   ctr -n k8s.io images import FILE        kind load image-archive FILE        podman load -i FILE
#
# IMAGE_REGISTRY (default: localhost) and IMAGE_TAG (default: the version) name the images; IMAGE_OUT is the folder that they go to.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${CARGO_TARGET_DIR:=target}"
command -v buildah >/dev/null || { echo "build.sh: buildah is missing: run scripts/install.sh, or use a Docker engine (images/Dockerfile)" >&2; exit 1; }

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
registry=${IMAGE_REGISTRY:-localhost} tag=${IMAGE_TAG:-$version}
out=${IMAGE_OUT:-$CARGO_TARGET_DIR/images}
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
images/rootfs.sh "$CARGO_TARGET_DIR/release" "$work/build/rootfs"

# A store of its own: nothing of this machine's containers is touched, and nothing is left.
store=(--storage-driver vfs --root "$work/store" --runroot "$work/run")
for image in operator gateway cli broker; do
  name=$registry/datastream-$image:$tag
  file=$out/datastream-$image.tar
  # Time 0 instead of now, so that a second build is the same.
  buildah "${store[@]}" build --quiet --format oci --timestamp 0 --identity-label=false \
    --build-arg VERSION="$version" --build-arg REVISION="$revision" \
    --build-context build="$work/build" --target "$image" --tag "$name" -f images/Dockerfile images >/dev/null
  rm -f "$file"
  buildah "${store[@]}" push --quiet --digestfile "$work/digest" "$name" "oci-archive:$file:$name"
  printf '%s\t%s\t%s MB\t%s\n' "$name" "$(cat "$work/digest")" "$(du -m "$file" | cut -f1)" "$file"
done

#!/usr/bin/env bash
# charts.sh: print what Fluvio's own charts make. They are in its sources: no chart repository has had them since Fluvio 0.8.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=0.18.1
sources=${DATASTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/datastream}/fluvio-$version
charts=$sources/k8-util/helm
if [ ! -d "$charts" ]; then
  rm -rf "$sources"
  git clone --quiet --depth 1 --branch "v$version" --filter=blob:none --sparse https://github.com/infinyon/fluvio.git "$sources" >&2
  git -C "$sources" sparse-checkout set k8-util/helm >&2
fi
helm template fluvio-sys "$charts/fluvio-sys"
helm template fluvio "$charts/fluvio-app" --set image.tag="$version" --values "$here/values.yaml"

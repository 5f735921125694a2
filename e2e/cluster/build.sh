#!/usr/bin/env bash
# build.sh: build the pinned Kubernetes control plane (etcd, kube-apiserver, kube-controller-manager, kubectl) from Go
# modules into a cache outside the checkout, and print the directory that holds the binaries (the only line on stdout).
#
# KUBEBUILDER_ASSETS, where set and complete, wins over building. DATASTREAM_CACHE moves the cache
# (default: $XDG_CACHE_HOME/datastream or ~/.cache/datastream). The cache is keyed by go.sum, so a
# version bump builds anew and the old directory can be deleted at any time.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
programs=(etcd kube-apiserver kube-controller-manager kubectl)

complete() { local p; for p in "${programs[@]}"; do [ -x "$1/$p" ] || return 1; done; }

if [ -n "${KUBEBUILDER_ASSETS:-}" ] && complete "$KUBEBUILDER_ASSETS"; then
  echo "$KUBEBUILDER_ASSETS"
  exit 0
fi

cache=${DATASTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/datastream}
# Of the content only: clones in other folders share the cache.
key=$(cat "$here/controlplane/go.sum" "$here/build.sh" | sha256sum | cut -c1-16)
dir=$cache/kubernetes-$key
if complete "$dir"; then
  echo "$dir"
  exit 0
fi

command -v go >/dev/null || { echo "build.sh: go is needed to build the test control plane: install Go 1.26 or set KUBEBUILDER_ASSETS" >&2; exit 1; }
mkdir -p "$dir"
exec 9>"$dir/.lock"
flock 9 # two callers at once: the second waits and then finds everything there
complete "$dir" && { echo "$dir"; exit 0; }

version=$(sed -n 's/^\tk8s.io\/kubernetes \(v[0-9.]*\).*/\1/p' "$here/controlplane/go.mod")
IFS=. read -r major minor _ <<<"${version#v}"
component=k8s.io/component-base/version
# Without these three the server calls itself v0.0.0 and clients that check versions refuse it.
stamp="-X $component.gitVersion=$version -X $component.gitMajor=$major -X $component.gitMinor=$minor"

cd "$here/controlplane"
echo "build.sh: building Kubernetes $version into $dir (about 10 minutes on 2 cores, once)" >&2
export CGO_ENABLED=0 GOGC=400
go build -trimpath -gcflags=all=-dwarf=false -ldflags "-s -w $stamp" -o "$dir/" \
  go.etcd.io/etcd/server/v3 k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager \
  k8s.io/kubernetes/cmd/kubectl >&2
mv "$dir/server" "$dir/etcd" # `go build -o DIR/` names etcd after its package
echo "$dir"

#!/usr/bin/env bash
# build.sh [control-plane|node|dns|helm|tilt]: build pinned programs of Kubernetes from Go modules into a cache outside the
# checkout, and print the directory that holds them (the only line on stdout).
#
#   control-plane  etcd, kube-apiserver, kube-controller-manager, kubectl (the default)
#   node           kube-scheduler, kubelet, kube-proxy: with the control plane and containerd, a cluster that runs pods
#   dns            coredns
#   helm           helm
#   tilt           tiltfile, which evaluates a Tiltfile without Tilt
#
# KUBEBUILDER_ASSETS, where set and complete, wins over building the control plane. DATASTREAM_CACHE moves the cache
# (default: $XDG_CACHE_HOME/datastream or ~/.cache/datastream). The cache is keyed by go.sum and our own code, so a
# version bump builds anew and the old directory can be deleted at any time.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kubernetes=k8s.io/kubernetes/cmd
case ${1:-control-plane} in
  control-plane)
    module=controlplane folder=kubernetes minutes=10
    programs=(etcd kube-apiserver kube-controller-manager kubectl)
    packages=(go.etcd.io/etcd/server/v3 "$kubernetes/kube-apiserver" "$kubernetes/kube-controller-manager" "$kubernetes/kubectl") ;;
  node)
    module=controlplane folder=kubernetes-node minutes=1
    programs=(kube-scheduler kubelet kube-proxy)
    packages=("$kubernetes/kube-scheduler" "$kubernetes/kubelet" "$kubernetes/kube-proxy") ;;
  dns)
    module=dns folder=coredns minutes=2
    programs=(coredns)
    packages=(github.com/coredns/coredns) ;;
  helm)
    module=helm folder=helm minutes=2
    programs=(helm)
    packages=(helm.sh/helm/v3/cmd/helm) ;;
  tilt)
    module=tilt folder=tiltfile minutes=1
    programs=(tiltfile)
    packages=(.) ;;
  *) echo "build.sh: unknown set of programs: $1 (control-plane, node, dns, helm or tilt)" >&2; exit 1 ;;
esac

complete() { local p; for p in "${programs[@]}"; do [ -x "$1/$p" ] || return 1; done; }

if [ "$folder" = kubernetes ] && [ -n "${KUBEBUILDER_ASSETS:-}" ] && complete "$KUBEBUILDER_ASSETS"; then
  echo "$KUBEBUILDER_ASSETS"
  exit 0
fi

cache=${DATASTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/datastream}
# Of the content only: clones in other folders share the cache.
key=$(cat "$here/$module"/{go.sum,*.go} "$here/build.sh" | sha256sum | cut -c1-16)
dir=$cache/$folder-$key
if complete "$dir"; then
  echo "$dir"
  exit 0
fi

command -v go >/dev/null || { echo "build.sh: go is needed to build $folder for the tests: install Go 1.26" >&2; exit 1; }
mkdir -p "$dir"
exec 9>"$dir/.lock"
flock 9 # two callers at once: the second waits and then finds everything there
complete "$dir" && { echo "$dir"; exit 0; }

cd "$here/$module"
stamp=
version=$(sed -n 's/^\tk8s.io\/kubernetes \(v[0-9.]*\).*/\1/p' go.mod)
if [ -n "$version" ]; then
  IFS=. read -r major minor _ <<<"${version#v}"
  component=k8s.io/component-base/version
  # Without these three the server calls itself v0.0.0 and clients that check versions refuse it.
  stamp="-X $component.gitVersion=$version -X $component.gitMajor=$major -X $component.gitMinor=$minor"
fi
helm=$(sed -n 's/^\thelm.sh\/helm\/v3 \(v[0-9.]*\).*/\1/p' go.mod)
if [ -n "$helm" ]; then
  minor=$(sed -n 's/^\tk8s.io\/client-go v0\.\([0-9]*\).*/\1/p' go.mod)
  stamp="-X helm.sh/helm/v3/internal/version.version=$helm"
  # What it takes the cluster for when it has none to ask: otherwise 1.20, which charts refuse.
  for package in chartutil lint/rules; do
    stamp="$stamp -X helm.sh/helm/v3/pkg/$package.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/$package.k8sVersionMinor=$minor"
  done
fi
echo "build.sh: building ${programs[*]} ${version:+of Kubernetes $version }into $dir (about $minutes minutes on 2 cores, once)" >&2
export CGO_ENABLED=0 GOGC=400
go build -trimpath -gcflags=all=-dwarf=false -ldflags "-s -w $stamp" -o "$dir/" "${packages[@]}" >&2
[ "$folder" != kubernetes ] || mv "$dir/server" "$dir/etcd" # `go build -o DIR/` names etcd after its package
echo "$dir"

#!/usr/bin/env bash
# apis.sh: print the files with the definitions of other projects' APIs that the chart makes objects of, one a line. They
# come out of pinned Go modules, which are downloaded once and checked against go.sum.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/apis"
command -v go >/dev/null || { echo "apis.sh: go is needed to fetch the definitions of other APIs: install Go 1.26" >&2; exit 1; }

definitions=(
  github.com/cert-manager/cert-manager/deploy/crds/cert-manager.io_certificates.yaml
  github.com/prometheus-operator/prometheus-operator/example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml
  github.com/prometheus-operator/prometheus-operator/example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml
  github.com/prometheus-operator/prometheus-operator/example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml
  sigs.k8s.io/gateway-api/config/crd/standard/gateway.networking.k8s.io_httproutes.yaml
)
mapfile -t modules < <(sed -n 's/^\t\([a-z0-9./-]*\) v.*/\1/p' go.mod)
go mod download "${modules[@]}" >&2
for module in "${modules[@]}"; do
  dir=$(go list -m -f '{{.Dir}}' "$module")
  for file in "${definitions[@]}"; do
    [[ $file != "$module"/* ]] || { ls "$dir${file#"$module"}"; }
  done
done

// Pins the definitions of other APIs that the chart makes objects of. It holds no code: ../build.sh copies YAML files out of the modules.
module datastream.dev/e2e/cluster/apis

go 1.26.0

require (
	github.com/cert-manager/cert-manager v1.21.2
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.6.3
)

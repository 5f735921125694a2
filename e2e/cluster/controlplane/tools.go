// Package cluster pins the Kubernetes control plane that the end-to-end tests run against.
// It holds no code: the `tool` lines of go.mod name the programs, and build.sh builds them.
package cluster

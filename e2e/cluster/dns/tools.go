// Package dns pins the DNS server of a cluster that runs pods.
// It holds no code: the `tool` line of go.mod names the program, and ../build.sh builds it.
package dns

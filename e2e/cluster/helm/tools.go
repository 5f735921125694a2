// Package helm pins the Helm that the tests of the chart run.
// It holds no code: the `tool` line of go.mod names the program, and ../build.sh builds it.
package helm

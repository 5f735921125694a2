// Command tiltfile evaluates a Tiltfile without Tilt, without a cluster and without a network, and prints as JSON what it asks Tilt for.
//
//	tiltfile [flags] TILTFILE [--SETTING=VALUE...]
//
// Tilt's functions are stubs that take exactly the arguments that Tilt's take (signatures.go) and record their calls; those that read, as
// read_yaml and helm do, read. The output is {"calls": [{"function", "line", "arguments"}], "objects": [...]}, objects being what all
// calls of k8s_yaml have in them. A file that cannot be read and a call that Tilt would refuse are errors, with their line.
//
// With -yaml, it prints the documents of a YAML file as JSON instead.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

func main() {
	if err := run(); err != nil {
		var evaluation *starlark.EvalError
		if errors.As(err, &evaluation) {
			err = errors.New(evaluation.Backtrace())
		}
		fmt.Fprintln(os.Stderr, "tiltfile:", err)
		os.Exit(1)
	}
}

func run() error {
	t := &tilt{}
	flag.StringVar(&t.root, "root", ".", "the `folder` that paths in the Tiltfile are relative to")
	flag.StringVar(&t.subcommand, "subcommand", "up", "Tilt's command: up, ci or down")
	flag.StringVar(&t.helm, "helm", "helm", "the `program` that renders charts")
	flag.StringVar(&t.kubeVersion, "kube-version", "1.33.0", "the `version` of Kubernetes that charts are rendered for")
	flag.StringVar(&t.output, "local", "", "a `file` with what local() gives: nothing is run")
	asYAML := flag.Bool("yaml", false, "print a YAML file as JSON")
	flag.Parse()
	if flag.NArg() < 1 {
		return errors.New("name a file")
	}
	file := flag.Arg(0)
	if *asYAML {
		documents, err := readYAML(file)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(documents)
	}
	root, err := filepath.Abs(t.root)
	if err != nil {
		return err
	}
	t.root, t.arguments = root, flag.Args()[1:]

	source, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	// What Tilt allows beyond plain Starlark.
	options := &syntax.FileOptions{Set: true, While: true, TopLevelControl: true, GlobalReassign: true, Recursion: true}
	thread := &starlark.Thread{Name: "tiltfile", Load: t.load, Print: func(*starlark.Thread, string) {}}
	if _, err := starlark.ExecFileOptions(options, thread, "Tiltfile", source, t.globals()); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"calls": t.calls, "objects": t.objects})
}

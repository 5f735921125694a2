package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"go.starlark.net/starlark"
)

func (t *tilt) behaviours() map[string]behaviour {
	return map[string]behaviour{
		"config.define_string":      t.define,
		"config.define_bool":        t.define,
		"config.define_string_list": t.define,
		"config.parse":              t.parse,
		"fail":                      func(g given) (starlark.Value, error) { return nil, errors.New(text(g["msg"])) },
		"k8s_yaml":                  t.k8sYAML,
		"helm":                      t.template,
		"local":                     t.local,
		"listdir":                   t.listdir,
		"read_file":                 t.readFile,
		"blob":                      func(g given) (starlark.Value, error) { return blob(text(g["input"])), nil },
		"read_yaml": func(g given) (starlark.Value, error) {
			return one(t.readStream(g["paths"]))
		},
		"read_yaml_stream":   func(g given) (starlark.Value, error) { return stream(t.readStream(g["paths"])) },
		"decode_yaml":        func(g given) (starlark.Value, error) { return one(parseYAML([]byte(text(g["yaml"])))) },
		"decode_yaml_stream": func(g given) (starlark.Value, error) { return stream(parseYAML([]byte(text(g["yaml"])))) },
		"encode_yaml":        func(g given) (starlark.Value, error) { return encode(starlark.NewList([]starlark.Value{g["obj"]})) },
		"encode_yaml_stream": func(g given) (starlark.Value, error) { return encode(g["objs"]) },
		"os.getcwd":          func(given) (starlark.Value, error) { return starlark.String(t.root), nil },
		"os.getenv": func(g given) (starlark.Value, error) {
			if value := g["default"]; value != nil {
				return value, nil
			}
			return starlark.String(""), nil
		},
		"k8s_context": func(given) (starlark.Value, error) { return starlark.String("kind-datastream"), nil },
		"shlex.quote": func(g given) (starlark.Value, error) {
			return starlark.String("'" + strings.ReplaceAll(text(g["s"]), "'", `'"'"'`) + "'"), nil
		},
	}
}

func (t *tilt) path(value starlark.Value) string {
	path := text(value)
	if !filepath.IsAbs(path) {
		path = filepath.Join(t.root, path)
	}
	return path
}

func (t *tilt) define(g given) (starlark.Value, error) {
	t.settings = append(t.settings, text(g["name"]))
	return starlark.None, nil
}

func (t *tilt) parse(given) (starlark.Value, error) {
	settings := starlark.NewDict(len(t.arguments))
	for _, argument := range t.arguments {
		name, value, _ := strings.Cut(strings.TrimPrefix(argument, "--"), "=")
		known := false
		for _, setting := range t.settings {
			known = known || setting == name
		}
		if !known {
			return nil, fmt.Errorf("unknown setting: %s", argument)
		}
		if err := settings.SetKey(starlark.String(name), starlark.String(value)); err != nil {
			return nil, err
		}
	}
	return settings, nil
}

// k8sYAML takes files by their names, blobs, and lists of them.
func (t *tilt) k8sYAML(g given) (starlark.Value, error) {
	values := []starlark.Value{g["yaml"]}
	if list, is := g["yaml"].(*starlark.List); is {
		values = nil
		for value := range list.Elements() {
			values = append(values, value)
		}
	}
	for _, value := range values {
		var documents []any
		var err error
		if content, is := value.(blob); is {
			documents, err = parseYAML([]byte(content))
		} else {
			documents, err = t.readStream(value)
		}
		if err != nil {
			return nil, err
		}
		t.objects = append(t.objects, documents...)
	}
	return starlark.None, nil
}

var ofTests = regexp.MustCompile(`(?m)^# Source: .*/tests/`)

// template renders a chart as Tilt does, which leaves out what `helm test` runs.
func (t *tilt) template(g given) (starlark.Value, error) {
	name := "chart"
	if g["name"] != nil {
		name = text(g["name"])
	}
	arguments := []string{"template", name, t.path(g["paths"]), "--include-crds", "--kube-version", t.kubeVersion}
	if g["namespace"] != nil {
		arguments = append(arguments, "--namespace", text(g["namespace"]))
	}
	for _, file := range list(g["values"]) {
		arguments = append(arguments, "--values", t.path(file))
	}
	for _, pair := range list(g["set"]) {
		arguments = append(arguments, "--set", text(pair))
	}
	command := exec.Command(t.helm, arguments...)
	var problem strings.Builder
	command.Stderr = &problem
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("helm %s: %w: %s", strings.Join(arguments, " "), err, problem.String())
	}
	var kept []string
	for _, document := range strings.Split(string(output), "---\n") {
		if !ofTests.MatchString(document) {
			kept = append(kept, document)
		}
	}
	return blob(strings.Join(kept, "---\n")), nil
}

func (t *tilt) local(given) (starlark.Value, error) {
	if t.output == "" {
		return nil, errors.New("nothing is run here: say with -local what it gives")
	}
	output, err := os.ReadFile(t.output)
	return blob(output), err
}

func (t *tilt) readFile(g given) (starlark.Value, error) {
	content, err := os.ReadFile(t.path(g["paths"]))
	if err != nil && g["default"] != nil {
		return blob(text(g["default"])), nil
	}
	return blob(content), err
}

func (t *tilt) readStream(path starlark.Value) ([]any, error) {
	return readYAML(t.path(path))
}

// listdir gives absolute paths, as Tilt does.
func (t *tilt) listdir(g given) (starlark.Value, error) {
	folder := t.path(g["dir"])
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var paths []starlark.Value
	for _, entry := range entries {
		paths = append(paths, starlark.String(filepath.Join(folder, entry.Name())))
	}
	return starlark.NewList(paths), nil
}

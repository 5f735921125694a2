package main

import (
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// tilt is what a Tiltfile finds, and what it has asked for.
type tilt struct {
	root, subcommand, helm, kubeVersion, output string
	// The settings behind the Tiltfile's name on the command line.
	arguments []string
	settings  []string
	calls     []call
	objects   []any
}

// call is one call of one of Tilt's functions.
type call struct {
	Function  string         `json:"function"`
	Line      int32          `json:"line"`
	Arguments map[string]any `json:"arguments"`
}

// given are the arguments of a call by their names.
type given map[string]starlark.Value

// A behavior is what a function gives where that is not None.
type behaviour func(given) (starlark.Value, error)

func (t *tilt) globals() starlark.StringDict {
	globals := starlark.StringDict{
		"TRIGGER_MODE_AUTO":   starlark.String("auto"),
		"TRIGGER_MODE_MANUAL": starlark.String("manual"),
		"struct":              starlark.NewBuiltin("struct", starlarkstruct.Make),
	}
	modules := map[string]starlark.StringDict{
		"config": {
			"tilt_subcommand": starlark.String(t.subcommand),
			"main_dir":        starlark.String(t.root),
			"main_path":       starlark.String(t.root + "/Tiltfile"),
		},
		"sys": {"executable": starlark.String("tilt")},
	}
	behaviours := t.behaviours()
	for name, signature := range signatures {
		builtin := t.builtin(name, signature, behaviours[name])
		module, member, inModule := strings.Cut(name, ".")
		if !inModule {
			globals[name] = builtin
			continue
		}
		if modules[module] == nil {
			modules[module] = starlark.StringDict{}
		}
		modules[module][member] = builtin
	}
	for name, members := range modules {
		globals[name] = &starlarkstruct.Module{Name: name, Members: members}
	}
	return globals
}

// load gives the functions of an extension.
func (t *tilt) load(_ *starlark.Thread, module string) (starlark.StringDict, error) {
	functions, known := extensions[module]
	if !known {
		return nil, fmt.Errorf("%s: unknown here: add its functions to signatures.go", module)
	}
	members := starlark.StringDict{}
	for name, signature := range functions {
		members[name] = t.builtin(name, signature, nil)
	}
	return members, nil
}

// builtin records calls. A function that makes a part of another call gives it as {"function": NAME, ...} by default.
func (t *tilt) builtin(name string, signature []string, does behaviour) *starlark.Builtin {
	return starlark.NewBuiltin(name, func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		given, err := bind(name, signature, args, kwargs)
		if err != nil {
			return nil, err
		}
		arguments := map[string]any{}
		part := starlark.NewDict(len(given) + 1)
		_ = part.SetKey(starlark.String("function"), starlark.String(name))
		for _, parameter := range signature {
			parameter = strings.TrimSuffix(parameter, "?")
			value, there := given[parameter]
			if !there {
				continue
			}
			if arguments[parameter], err = fromStarlark(value); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", name, parameter, err)
			}
			_ = part.SetKey(starlark.String(parameter), value)
		}
		t.calls = append(t.calls, call{name, line(thread), arguments})
		if does == nil {
			return part, nil
		}
		value, err := does(given)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return value, nil
	})
}

// line is that of the Tiltfile's own code that made the call: the outermost, so that helpers of it are told apart by who called them.
func line(thread *starlark.Thread) int32 {
	return thread.CallFrame(thread.CallStackDepth() - 1).Pos.Line
}

func bind(name string, signature []string, args starlark.Tuple, kwargs []starlark.Tuple) (given, error) {
	given := given{}
	if len(args) > len(signature) {
		return nil, fmt.Errorf("%s: got %d arguments, takes %d", name, len(args), len(signature))
	}
	for i, value := range args {
		given[strings.TrimSuffix(signature[i], "?")] = value
	}
	for _, pair := range kwargs {
		key := string(pair[0].(starlark.String))
		if !slices.Contains(signature, key) && !slices.Contains(signature, key+"?") {
			return nil, fmt.Errorf("%s: takes no argument %q", name, key)
		}
		if _, twice := given[key]; twice {
			return nil, fmt.Errorf("%s: got %q twice", name, key)
		}
		given[key] = pair[1]
	}
	for _, parameter := range signature {
		if _, there := given[parameter]; !there && !strings.HasSuffix(parameter, "?") {
			return nil, fmt.Errorf("%s: %q is missing", name, parameter)
		}
	}
	for key, value := range given {
		if value == starlark.None {
			delete(given, key)
		}
	}
	return given, nil
}

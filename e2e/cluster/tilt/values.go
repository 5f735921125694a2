package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"

	"go.starlark.net/starlark"
	"go.yaml.in/yaml/v3"
)

// blob is text that is content and not the name of a file.
type blob string

func (b blob) String() string       { return string(b) }
func (blob) Type() string           { return "blob" }
func (blob) Freeze()                {}
func (b blob) Truth() starlark.Bool { return b != "" }
func (b blob) Hash() (uint32, error) {
	return starlark.String(b).Hash()
}

// text is a string's or a blob's.
func text(value starlark.Value) string {
	switch value := value.(type) {
	case starlark.String:
		return string(value)
	case blob:
		return string(value)
	case nil:
		return ""
	default:
		return value.String()
	}
}

// list is a list, or a single value as one.
func list(value starlark.Value) []starlark.Value {
	switch value := value.(type) {
	case nil:
		return nil
	case starlark.Iterable:
		return slices.Collect(starlark.Elements(value))
	default:
		return []starlark.Value{value}
	}
}

func readYAML(path string) ([]any, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	documents, err := parseYAML(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return documents, nil
}

// parseYAML gives the documents that are not empty.
func parseYAML(content []byte) ([]any, error) {
	documents := []any{}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for {
		var document any
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, err
		}
		if document != nil {
			documents = append(documents, document)
		}
	}
}

// encode writes JSON, which is YAML.
func encode(objects starlark.Value) (starlark.Value, error) {
	var documents bytes.Buffer
	for _, object := range list(objects) {
		value, err := fromStarlark(object)
		if err != nil {
			return nil, err
		}
		documents.WriteString("---\n")
		if err := json.NewEncoder(&documents).Encode(value); err != nil {
			return nil, err
		}
	}
	return blob(documents.String()), nil
}

func one(documents []any, err error) (starlark.Value, error) {
	if err != nil {
		return nil, err
	}
	if len(documents) != 1 {
		return nil, fmt.Errorf("%d documents, not 1", len(documents))
	}
	return toStarlark(documents[0])
}

func stream(documents []any, err error) (starlark.Value, error) {
	if err != nil {
		return nil, err
	}
	return toStarlark(documents)
}

func toStarlark(value any) (starlark.Value, error) {
	switch value := value.(type) {
	case nil:
		return starlark.None, nil
	case bool:
		return starlark.Bool(value), nil
	case int:
		return starlark.MakeInt(value), nil
	case float64:
		return starlark.Float(value), nil
	case string:
		return starlark.String(value), nil
	case []any:
		var elements []starlark.Value
		for _, element := range value {
			converted, err := toStarlark(element)
			if err != nil {
				return nil, err
			}
			elements = append(elements, converted)
		}
		return starlark.NewList(elements), nil
	case map[string]any:
		dict := starlark.NewDict(len(value))
		for key, member := range value {
			converted, err := toStarlark(member)
			if err != nil {
				return nil, err
			}
			if err := dict.SetKey(starlark.String(key), converted); err != nil {
				return nil, err
			}
		}
		return dict, nil
	default:
		return nil, fmt.Errorf("a %T has no counterpart in Starlark", value)
	}
}

func fromStarlark(value starlark.Value) (any, error) {
	switch value := value.(type) {
	case starlark.NoneType:
		return nil, nil
	case starlark.Bool:
		return bool(value), nil
	case starlark.Int:
		return new(big.Int).Set(value.BigInt()), nil
	case starlark.Float:
		return float64(value), nil
	case starlark.String:
		return string(value), nil
	case blob:
		return map[string]any{"blob": string(value)}, nil
	case *starlark.Dict:
		members := map[string]any{}
		for _, item := range value.Items() {
			converted, err := fromStarlark(item[1])
			if err != nil {
				return nil, err
			}
			members[text(item[0])] = converted
		}
		return members, nil
	case starlark.Iterable:
		elements := []any{}
		for element := range starlark.Elements(value) {
			converted, err := fromStarlark(element)
			if err != nil {
				return nil, err
			}
			elements = append(elements, converted)
		}
		return elements, nil
	default:
		return nil, fmt.Errorf("a %s cannot be an argument", value.Type())
	}
}

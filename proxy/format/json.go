package format

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// JSON is a compiled json_format: an object of format strings, objects and lists.
type JSON struct{ root node }

// node is one of: an object, a list, a string, or a value that stays as it is.
type node struct {
	names  []string
	fields []node
	list   []node
	isList bool
	text   *Formatter
	raw    []byte
}

// NewJSON compiles what a google.protobuf.Struct holds.
func NewJSON(object map[string]any) (*JSON, error) {
	root, err := compileNode(object)
	return &JSON{root}, err
}

func compileNode(v any) (n node, err error) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			field, err := compileNode(v[name])
			if err != nil {
				return n, fmt.Errorf("%s: %w", name, err)
			}
			n.names, n.fields = append(n.names, name), append(n.fields, field)
		}
	case []any:
		n.isList = true
		for i, e := range v {
			field, err := compileNode(e)
			if err != nil {
				return n, fmt.Errorf("[%d]: %w", i, err)
			}
			n.list = append(n.list, field)
		}
	case string:
		n.text, err = New(v, "-")
	default:
		n.raw, err = json.Marshal(v)
	}
	return n, err
}

// Append appends the object and a line's end.
func (j *JSON) Append(dst []byte, facts *Facts) []byte {
	return append(j.root.append(dst, facts), '\n')
}

func (n *node) append(dst []byte, facts *Facts) []byte {
	switch {
	case n.raw != nil:
		return append(dst, n.raw...)
	case n.text != nil:
		return n.text.appendJSON(dst, facts)
	case n.isList:
		dst = append(dst, '[')
		for i := range n.list {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = n.list[i].append(dst, facts)
		}
		return append(dst, ']')
	}
	dst = append(dst, '{')
	for i, name := range n.names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, name), ':')
		dst = n.fields[i].append(dst, facts)
	}
	return append(dst, '}')
}

// appendJSON makes a number of a command that stands for one alone, null of one that is
// missing, and a string of everything else.
func (f *Formatter) appendJSON(dst []byte, facts *Facts) []byte {
	if len(f.parts) == 1 && f.parts[0].value != nil {
		p := &f.parts[0]
		v, ok := p.value(facts)
		if !ok {
			return append(dst, "null"...)
		}
		if _, err := strconv.ParseInt(v, 10, 64); p.number && err == nil {
			return append(dst, v...)
		}
		return appendQuoted(dst, p.get(facts, ""))
	}
	return appendQuoted(dst, f.String(facts))
}

func appendQuoted(dst []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil { // a string always can be
		return append(dst, `""`...)
	}
	return append(dst, quoted...)
}

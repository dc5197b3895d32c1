package format

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fridaymesh/friday/proxy"
)

// Append is what becomes of a header that is there already.
type Append int

// The ways, by Envoy's names.
const (
	AppendOrAdd Append = iota
	AddIfAbsent
	OverwriteOrAdd
	OverwriteIfExists
)

// HeaderValue is a header to add. Value is a format string.
type HeaderValue struct {
	Name, Value string
	Append      Append
	// KeepEmpty adds the header although its value turned out to be empty.
	KeepEmpty bool
}

// Mutation changes a head: what one level removes, then what it adds. The values are
// found before anything is changed.
type Mutation struct {
	remove []string
	match  func(name []byte) bool
	add    []addition
}

type addition struct {
	HeaderValue

	value *Formatter
}

// NewRemoval removes the headers whose names match.
func NewRemoval(match func(name []byte) bool) *Mutation { return &Mutation{match: match} }

// NewMutation compiles one level.
func NewMutation(add []HeaderValue, remove []string) (*Mutation, error) {
	m := &Mutation{remove: remove}
	for i, h := range add {
		f, err := New(h.Value, "")
		if err != nil {
			return nil, fmt.Errorf("headers to add[%d] (%q): %w", i, h.Name, err)
		}
		h.Name = strings.ToLower(h.Name)
		m.add = append(m.add, addition{h, f})
	}
	return m, nil
}

// Apply changes head, of which facts tell.
func (m *Mutation) Apply(head proxy.Head, facts *Facts) {
	if len(m.remove) > 0 {
		proxy.RemoveFields(head, func(name []byte) bool {
			return slices.ContainsFunc(m.remove, func(r string) bool { return strings.EqualFold(r, string(name)) })
		})
	}
	if m.match != nil {
		proxy.RemoveFields(head, m.match)
	}
	if len(m.add) == 0 {
		return
	}
	values := make([]string, len(m.add))
	skip := make([]bool, len(m.add))
	for i := range m.add {
		a := &m.add[i]
		values[i] = a.value.String(facts)
		skip[i] = values[i] == "" && !a.KeepEmpty
		if !skip[i] && (a.Append == AddIfAbsent || a.Append == OverwriteIfExists) {
			there := len(proxy.FieldValues(head, a.Name)) > 0
			skip[i] = there == (a.Append == AddIfAbsent)
		}
	}
	for i := range m.add { // what replaces comes first, as in Envoy
		if a := &m.add[i]; !skip[i] && (a.Append == OverwriteOrAdd || a.Append == OverwriteIfExists) {
			proxy.SetField(head, a.Name, values[i])
		}
	}
	for i := range m.add {
		if a := &m.add[i]; !skip[i] && (a.Append == AppendOrAdd || a.Append == AddIfAbsent) {
			proxy.AddField(head, a.Name, values[i])
		}
	}
}

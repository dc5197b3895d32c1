package tfserving

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// Request reads {"inputs": [row, …], …} or {"inputs": {name: [row, …], …}, …}.
// Requests go together where all other members, the tensors' names and the shapes
// of their rows are equal. Not understood: a scalar, no tensors or an empty one,
// tensors that differ in their numbers of rows, rows of one tensor that differ in
// shape or kind, and an unknown member that may be a list over the rows.
func (Columns) Request(_ wire.Target, body []byte) *wire.Message {
	m := &wire.Message{Text: body}
	var options wire.Options
	s := jsonspan.New(body)
	if !s.Object() {
		return nil
	}
	var key []byte
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		switch name := span.Of(body); string(name) {
		case "instances":
			return nil
		case "inputs":
			options.Note(name)
			if key, ok = readTensors(m, &s, wire.MaxItems, true); !ok {
				return nil
			}
		default:
			options.Other(name, s.Value().Of(body))
		}
	}
	if s.End() != nil || m.Items == 0 || options.RunsOver(m.Items) {
		return nil
	}
	key, ok := options.AppendKey(key)
	if !ok {
		return nil
	}
	m.Key = wire.Key(key)
	return m
}

// Answer reads {"outputs": [row, …]} or {"outputs": {name: [row, …], …}}, every
// tensor with one row for each item.
func (Columns) Answer(items int, body []byte) (*wire.Message, error) {
	m := &wire.Message{Text: body}
	var options wire.Options
	s := jsonspan.New(body)
	if !s.Object() {
		return nil, errors.New("the answer is not an object")
	}
	var key []byte
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		name := span.Of(body)
		options.Note(name)
		if string(name) != "outputs" {
			s.Value()
			continue
		}
		if key, ok = readTensors(m, &s, items, false); !ok {
			return nil, errOutputs
		}
	}
	if err := s.End(); err != nil {
		return nil, err
	}
	if !options.Unique() {
		return nil, errors.New("a member's name stands twice")
	}
	if m.Items != items {
		return nil, fmt.Errorf("outputs have %d rows for %d items", m.Items, items)
	}
	m.Key = wire.Key(key)
	return m, nil
}

// maxRows is how many rows the tensors of one text may have in all: each costs some
// memory beside the text.
const maxRows = 4 * wire.MaxItems

// tensor is one tensor with its name as it stands in the text.
type tensor struct {
	name   []byte
	form   form
	inside jsonspan.Span
	items  []jsonspan.Span
}

// readTensors reads one tensor, or an object of them, all of the same number of
// rows, at most so many. The lists are in the order of the tensors' names, so that
// the order in which they are written does not matter. It returns their names and,
// where their rows have to be alike, what those are.
func readTensors(m *wire.Message, s *jsonspan.Scanner, most int, alike bool) (key []byte, ok bool) {
	if m.Lists != nil {
		return nil, false
	}
	var all []tensor
	if s.Kind() == '[' {
		var t tensor
		if !t.read(m.Text, s, most, alike) {
			return nil, false
		}
		all = append(all, t)
		key = append(key, '[')
	} else {
		if !s.Object() {
			return nil, false
		}
		for span, ok := s.Member(); ok; span, ok = s.Member() {
			t := tensor{name: span.Of(m.Text)}
			if jsonspan.Escaped(t.name) || !t.read(m.Text, s, most, alike) || len(t.items)*(len(all)+1) > maxRows {
				return nil, false
			}
			all = append(all, t)
		}
		key = append(key, '{')
	}
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(all[a].name, all[b].name) })
	for n, i := range order {
		t := &all[i]
		if len(t.items) != len(all[0].items) || n > 0 && bytes.Equal(t.name, all[order[n-1]].name) {
			return nil, false
		}
		key = append(append(append(key, '"'), t.name...), '"')
		key = t.form.appendKey(key)
		m.Lists = append(m.Lists, wire.List{Items: t.items})
		m.Holes = append(m.Holes, wire.Hole{Span: t.inside, Kind: wire.Inside, N: n})
		m.Items = len(t.items)
	}
	slices.SortFunc(m.Holes, func(a, b wire.Hole) int { return cmp.Compare(a.Span.Start, b.Span.Start) })
	return key, len(all) > 0
}

// read reads the rows of the tensor that s is at, which may have to be alike.
func (t *tensor) read(text []byte, s *jsonspan.Scanner, most int, alike bool) bool {
	t.inside.Start = s.Pos() + 1
	if !s.Array() {
		return false
	}
	for s.Element() {
		start := s.Pos()
		if len(t.items) == most {
			return false
		}
		if alike && !t.form.take(text, s, 0) || !alike && s.Value().Len() == 0 {
			return false
		}
		t.items = append(t.items, jsonspan.Span{Start: start, End: s.Pos()})
	}
	t.inside.End = s.Pos() - 1
	return len(t.items) > 0
}

// form is the shape of a tensor's rows and what their elements are.
type form struct {
	dims []int // -1 while the first array of a dimension is read
	kind byte  // 0 while no element was read; then len(dims) is what its depth must be
}

// take reads a value that stands so many arrays deep in its row, and is false where
// it differs from what was read before it, or is empty or no part of a tensor.
// Elements are numbers, texts, true and false, or bytes ({"b64": …}).
func (f *form) take(text []byte, s *jsonspan.Scanner, depth int) bool {
	kind := s.Kind()
	switch kind {
	case '[':
		return f.takeArray(text, s, depth)
	case '{':
		if !takeBytes(text, s) {
			return false
		}
	case 'n':
		return false
	case 'f':
		kind = 't'
		s.Value()
	case '"', 't':
		s.Value()
	default:
		kind = '0'
		if s.Value().Len() == 0 {
			return false
		}
	}
	if f.kind == 0 {
		f.kind = kind
	}
	return f.kind == kind && depth == len(f.dims)
}

func (f *form) takeArray(text []byte, s *jsonspan.Scanner, depth int) bool {
	if depth == len(f.dims) {
		if f.kind != 0 {
			return false
		}
		f.dims = append(f.dims, -1)
	}
	n := 0
	for s.Array(); s.Element(); n++ {
		if !f.take(text, s, depth+1) {
			return false
		}
	}
	if f.dims[depth] < 0 {
		f.dims[depth] = n
	}
	return n > 0 && f.dims[depth] == n
}

// takeBytes reads {"b64": "…"}.
func takeBytes(text []byte, s *jsonspan.Scanner) bool {
	n := 0
	s.Object()
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		if n++; n > 1 || string(span.Of(text)) != "b64" || s.Kind() != '"' {
			return false
		}
		s.Value()
	}
	return n == 1
}

func (f *form) appendKey(dst []byte) []byte {
	for _, dim := range f.dims {
		dst = append(strconv.AppendInt(dst, int64(dim), 10), ',')
	}
	return append(dst, f.kind)
}

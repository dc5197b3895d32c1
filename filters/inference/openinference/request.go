package openinference

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// Request reads {"id": …, "inputs": [{"name", "shape", "datatype", "data"}, …], …}.
// Requests go together where all is equal but the id, the data and the first
// dimension: names and their order, datatypes, the other dimensions, whether the
// data stands flat or nested, parameters, outputs and every unknown member.
func (Protocol) Request(target wire.Target, body []byte) *wire.Message {
	m := &wire.Message{Text: body}
	var options wire.Options
	s := jsonspan.New(body)
	if !s.Object() {
		return nil
	}
	var inputs []byte
	var id place
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		name := span.Of(body)
		id.pass(m, span.Start-1)
		switch string(name) {
		case "id":
			options.Note(name)
			value := s.Value()
			if raw := value.Of(body); isString(raw) {
				m.ID = bytes.Clone(raw)
			} else if string(raw) != "null" { // as clients write it that have none
				return nil
			}
			id.found(m, span.Start-1, value.End)
		case "inputs":
			options.Note(name)
			if m.Lists != nil {
				return nil
			}
			if inputs, ok = readTensors(m, &s, wire.MaxItems, (*tensor).requestKey); !ok {
				return nil
			}
		case "parameters":
			value, ok := readParameters(body, &s)
			if !ok {
				return nil
			}
			options.Add(name, value)
		case "outputs":
			value, ok := readOutputs(body, &s)
			if !ok {
				return nil
			}
			options.Add(name, value)
		default:
			options.Add(name, s.Value().Of(body))
		}
		id.end = s.Pos()
	}
	if s.End() != nil || m.Items == 0 {
		return nil
	}
	key, ok := options.AppendKey(append([]byte(target.Version), '/'))
	if !ok {
		return nil
	}
	m.Key = wire.Key(append(key, inputs...))
	sortHoles(m)
	return m
}

// place finds the bytes to drop with the id: with the comma before it or, where it
// comes first, the one behind it.
type place struct {
	end   int // of the member before
	first int // where the id begins while the next member is to come, else 0
}

func (p *place) found(m *wire.Message, start, end int) {
	if p.end == 0 {
		p.first = start
		return
	}
	m.Holes = append(m.Holes, wire.Hole{Span: jsonspan.Span{Start: p.end, End: end}, Kind: wire.Drop})
}

func (p *place) pass(m *wire.Message, next int) {
	if p.first > 0 {
		m.Holes = append(m.Holes, wire.Hole{Span: jsonspan.Span{Start: p.first, End: next}, Kind: wire.Drop})
		p.first = 0
	}
}

func sortHoles(m *wire.Message) {
	slices.SortFunc(m.Holes, func(a, b wire.Hole) int { return cmp.Compare(a.Span.Start, b.Span.Start) })
}

// requestKey appends what has to be equal of an input.
func (t *tensor) requestKey(dst []byte) ([]byte, bool) {
	dst, ok := t.options.AppendKey(dst)
	return t.form(dst), ok
}

// form appends the shape of a row and how rows are written.
func (t *tensor) form(dst []byte) []byte {
	dst = append(dst, t.dims...)
	if t.nested {
		return append(dst, 'n')
	}
	return append(dst, 'f')
}

// apart are the beginnings of parameters that keep a request from sharing a call:
// sequences are stateful, and with the others the data is not in the JSON text. One
// that says false asks for nothing of the kind, as Triton's client does of each
// output.
var apart = [...]string{"sequence_", "shared_memory_", "binary_data"} //nolint:gochecknoglobals // a constant table

// readParameters takes an object of parameters, or null.
func readParameters(text []byte, s *jsonspan.Scanner) (value []byte, ok bool) {
	start := s.Pos()
	if !s.Object() {
		value = s.Value().Of(text)
		return value, string(value) == "null"
	}
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		name := span.Of(text)
		if jsonspan.Escaped(name) {
			return nil, false
		}
		value := s.Value().Of(text)
		for _, prefix := range apart {
			if bytes.HasPrefix(name, []byte(prefix)) && string(value) != "false" {
				return nil, false
			}
		}
	}
	return text[start:s.Pos()], true
}

// readOutputs takes the array of the outputs that are asked for, or null.
func readOutputs(text []byte, s *jsonspan.Scanner) (value []byte, ok bool) {
	start := s.Pos()
	if !s.Array() {
		value = s.Value().Of(text)
		return value, string(value) == "null"
	}
	for s.Element() {
		if !s.Object() {
			return nil, false
		}
		for span, ok := s.Member(); ok; span, ok = s.Member() {
			name := span.Of(text)
			if jsonspan.Escaped(name) {
				return nil, false
			}
			if string(name) != "parameters" {
				s.Value()
			} else if _, ok := readParameters(text, s); !ok {
				return nil, false
			}
		}
	}
	return text[start:s.Pos()], true
}

package openinference

import (
	"bytes"
	"cmp"
	"slices"
	"unicode/utf8"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// Request reads {"id": …, "inputs": [{"name", "shape", "datatype", "data"}, …], …}.
// Requests go together where all is equal but the id, the data and the first
// dimension: names and their order, datatypes, the other dimensions, whether the
// data stands flat, nested or behind the JSON, parameters, outputs and every unknown
// member.
func (p Protocol) Request(target wire.Target, body []byte) *wire.Message {
	return p.RequestIn(target, wire.Head{JSON: -1}, body)
}

// RequestIn is Request for a body that may have raw tensors behind its JSON.
func (Protocol) RequestIn(target wire.Target, head wire.Head, body []byte) *wire.Message {
	if head.JSON < 0 {
		return request(target, body, body)
	}
	if head.JSON > len(body) {
		return nil
	}
	m := request(target, body, body[:head.JSON])
	if m != nil {
		// Whoever has the header gets it, whoever has not does not.
		m.Key = "binary " + m.Key
	}
	return m
}

// request reads a request of which text is the JSON, with which body begins.
func request(target wire.Target, body, text []byte) *wire.Message {
	// JSON is UTF-8 (RFC 8259 section 8.1). A server refuses what is not, for
	// everybody whose items stand in the same text.
	if !utf8.Valid(text) {
		return nil
	}
	m := &wire.Message{Text: body}
	var options wire.Options
	s := jsonspan.New(text)
	if !s.Object() {
		return nil
	}
	var inputs []byte
	var raws []raw
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
			if inputs, raws, ok = readTensors(m, text, &s, wire.MaxItems, (*tensor).requestKey); !ok {
				return nil
			}
		case "parameters":
			value, _, ok := readParameters(text, &s, binaryOutput)
			if !ok {
				return nil
			}
			options.Add(name, value)
		case "outputs":
			value, ok := readOutputs(text, &s)
			if !ok {
				return nil
			}
			options.Add(name, value)
		default:
			options.Add(name, s.Value().Of(body))
		}
		id.end = s.Pos()
	}
	if s.End() != nil || m.Items == 0 || !readRaws(m, raws, len(text)) {
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
			} else if _, _, ok := readParameters(text, s, binaryData); !ok {
				return nil, false
			}
		}
	}
	return text[start:s.Pos()], true
}

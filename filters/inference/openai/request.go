package openai

import (
	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// Request reads {"model": …, "input": …, …}. Requests go together where all
// members but input are equal and the inputs are of one form, text or tokens. Not
// understood: a stream, no input or an empty one, inputs of any other form, and an
// unknown member that may be a list over the items.
func (Protocol) Request(_ wire.Target, body []byte) *wire.Message {
	m := &wire.Message{Text: body}
	var options wire.Options
	s := jsonspan.New(body)
	if !s.Object() {
		return nil
	}
	streamed, shared := false, []jsonspan.Span(nil)
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		switch name := span.Of(body); string(name) {
		case "input":
			options.Note(name)
			if !readInput(m, &s) {
				return nil
			}
		case "model":
			value := s.Value().Of(body)
			if m.Model, ok = jsonspan.Unquote(value); !ok {
				return nil
			}
			options.Add(name, value)
		case "stream":
			value := s.Value().Of(body)
			streamed = string(value) == "true"
			options.Add(name, value)
		default:
			value := s.Value()
			if value.Len() == 0 {
				return nil
			}
			if body[value.Start] == '[' {
				shared = append(shared, value)
			}
			options.Add(name, value.Of(body))
		}
	}
	if s.End() != nil || streamed || m.Items == 0 {
		return nil
	}
	for _, value := range shared {
		if wire.PerItem(value.Of(body), m.Items) {
			return nil
		}
	}
	form := "text"
	if m.Weights != nil {
		form = "tokens"
	}
	key, ok := options.AppendKey([]byte(form))
	if !ok {
		return nil
	}
	m.Key = wire.Key(key)
	return m
}

// readInput reads the input's items into m and is false where there are none or
// one of them is empty: the server refuses that, for all in one request.
func readInput(m *wire.Message, s *jsonspan.Scanner) bool {
	if m.Items > 0 {
		return false // a second input
	}
	start := s.Pos()
	if s.Kind() == '"' {
		span := s.Value()
		whole(m, span)
		return span.Len() > len(`""`)
	}
	if !s.Array() || !s.Element() {
		return false
	}
	switch first := s.Kind(); first {
	case '"', '[':
		items, inside := make([]jsonspan.Span, 0, 4), jsonspan.Span{Start: start + 1}
		for more := true; more; more = s.Element() {
			at := s.Pos()
			if s.Kind() != first || len(items) == wire.MaxItems {
				return false
			}
			if first == '[' {
				ids, ok := readTokens(s)
				if !ok {
					return false
				}
				m.Weights = append(m.Weights, ids)
			} else if s.Value().Len() <= len(`""`) {
				return false
			}
			items = append(items, jsonspan.Span{Start: at, End: s.Pos()})
		}
		inside.End = s.Pos() - 1
		m.Items = len(items)
		m.Lists = []wire.List{{Items: items}}
		m.Holes = []wire.Hole{{Span: inside, Kind: wire.Inside}}
		return true
	}
	ids, ok := readIDs(s)
	whole(m, jsonspan.Span{Start: start, End: s.Pos()})
	m.Weights = []int{ids}
	return ok
}

// whole is a single item in the place of the list.
func whole(m *wire.Message, span jsonspan.Span) {
	m.Items = 1
	m.Lists = []wire.List{{Items: []jsonspan.Span{span}}}
	m.Holes = []wire.Hole{{Span: span, Kind: wire.Whole}}
}

// readTokens reads a list of at least one token id and returns how many they are,
// which is exactly what the item counts for in the usage.
func readTokens(s *jsonspan.Scanner) (n int, ok bool) {
	if !s.Array() || !s.Element() {
		return 0, false
	}
	return readIDs(s)
}

// readIDs reads token ids up to the end of their list; s is at the first.
func readIDs(s *jsonspan.Scanner) (n int, ok bool) {
	for more := true; more; more = s.Element() {
		if c := s.Kind(); c != '-' && (c < '0' || c > '9') {
			return 0, false
		}
		s.Value()
		n++
	}
	return n, true
}

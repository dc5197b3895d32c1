package tei

import (
	"errors"
	"fmt"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// Predict is the wire.Protocol of /predict, the classification of texts.
type Predict struct{}

var _ wire.Protocol = Predict{}

// Name is "tei".
func (Predict) Name() string { return name }

// Match takes /predict.
func (Predict) Match(path string) (wire.Target, bool) {
	return wire.Target{Operation: "predict"}, path == "/predict"
}

// Request reads {"inputs": …, …}. Requests go together where all members but inputs
// are equal.
//
// "text", ["text"] and the pair ["text", "pair"] are one item alone; [["text"],
// ["text", "pair"], …] are many, of which one is made where several requests are.
func (Predict) Request(_ wire.Target, body []byte) *wire.Message {
	m := &wire.Message{Text: body}
	return request(m, "inputs", false, func(s *jsonspan.Scanner) bool { return readSequences(m, s) })
}

func readSequences(m *wire.Message, s *jsonspan.Scanner) bool {
	if m.Items > 0 {
		return false
	}
	start := s.Pos()
	if s.Kind() == '"' {
		value := s.Value()
		m.Alone(value)
		m.Single, m.Lists[0].Bare = true, true
		return value.Len() > len(`""`)
	}
	if ahead := jsonspan.At(m.Text, start); ahead.Array() && ahead.Element() && ahead.Kind() == '"' {
		if !readSequence(s) {
			return false
		}
		m.Alone(jsonspan.Span{Start: start, End: s.Pos()})
		m.Single = true
		return true
	}
	if !s.Array() {
		return false
	}
	var items []jsonspan.Span
	for s.Element() {
		from := s.Pos()
		if len(items) == wire.MaxItems || !readSequence(s) {
			return false
		}
		items = append(items, jsonspan.Span{Start: from, End: s.Pos()})
	}
	m.Items = len(items)
	m.Lists = []wire.List{{Items: items}}
	m.Holes = append(m.Holes, wire.Hole{Span: jsonspan.Span{Start: start + 1, End: s.Pos() - 1}, Kind: wire.Inside})
	return true
}

// readSequence reads one text or a pair of texts, as a list, none of them empty.
func readSequence(s *jsonspan.Scanner) bool {
	if !s.Array() {
		return false
	}
	n := 0
	for ; s.Element(); n++ {
		if s.Kind() != '"' || s.Value().Len() <= len(`""`) {
			return false
		}
	}
	return n == 1 || n == 2
}

var errLabels = errors.New("the answer is not an array of labels with scores, nor of such arrays")

// Answer reads [[{"score": …, "label": …}, …], …], a list of labels for each input,
// or the one list that is the answer to an input alone.
func (Predict) Answer(items int, body []byte) (*wire.Message, error) {
	m := &wire.Message{Text: body}
	s := jsonspan.New(body)
	start := s.Pos()
	ahead := s
	if !ahead.Array() || !ahead.Element() {
		return nil, errLabels
	}
	var rows []jsonspan.Span
	if ahead.Kind() == '{' {
		if !readLabels(m.Text, &s) {
			return nil, errLabels
		}
		rows = append(rows, jsonspan.Span{Start: start, End: s.Pos()})
	} else {
		s.Array()
		for s.Element() {
			from := s.Pos()
			if len(rows) == items || !readLabels(m.Text, &s) {
				return nil, errLabels
			}
			rows = append(rows, jsonspan.Span{Start: from, End: s.Pos()})
		}
	}
	m.Holes = []wire.Hole{{Span: jsonspan.Span{Start: start, End: s.Pos()}, Kind: wire.Outer}}
	if err := s.End(); err != nil {
		return nil, err
	}
	if len(rows) != items {
		return nil, fmt.Errorf("the answer has %d predictions for %d inputs", len(rows), items)
	}
	m.Items = items
	m.Lists = []wire.List{{Items: rows}}
	return m, nil
}

// readLabels reads an array of objects that have a score and a label.
func readLabels(text []byte, s *jsonspan.Scanner) bool {
	if !s.Array() {
		return false
	}
	for s.Element() {
		if !s.Object() {
			return false
		}
		seen := 0
		for span, ok := s.Member(); ok; span, ok = s.Member() {
			if name := string(span.Of(text)); name == "score" || name == "label" {
				seen++
			}
			s.Value()
		}
		if seen != len([]string{"score", "label"}) {
			return false
		}
	}
	return true
}

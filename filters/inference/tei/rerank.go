package tei

import (
	"errors"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// Rerank is the wire.Protocol of /rerank with TEI's bodies; those with "documents"
// are package cohere's.
type Rerank struct{}

var _ wire.Protocol = Rerank{}

// Name is "tei".
func (Rerank) Name() string { return name }

// Match takes /rerank.
func (Rerank) Match(path string) (wire.Target, bool) {
	return wire.Target{Operation: "rerank"}, path == "/rerank"
}

// Request reads {"query": …, "texts": […], …}. Requests go together where all
// members but texts are equal.
func (Rerank) Request(_ wire.Target, body []byte) *wire.Message {
	m := &wire.Message{Text: body}
	return request(m, "texts", true, func(s *jsonspan.Scanner) bool { return m.ReadList(s, wire.MaxItems, `"`) })
}

// Answer reads [{"index": 0, "score": …}, …] in the server's order.
func (Rerank) Answer(items int, body []byte) (*wire.Message, error) {
	m := &wire.Message{Text: body, Items: items}
	s := jsonspan.New(body)
	if s.Kind() != '[' {
		return nil, errors.New("the answer is not an array of ranks")
	}
	if _, err := m.ReadResults(&s, wire.Results{Name: "ranks", Score: "score"}); err != nil {
		return nil, err
	}
	return m, s.End()
}

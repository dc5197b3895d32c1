package tei

import (
	"fmt"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// Embed is the wire.Protocol of /embed, /embed_all and /embed_sparse.
type Embed struct{}

var _ wire.Protocol = Embed{}

// Name is "tei".
func (Embed) Name() string { return name }

// Match takes /embed, /embed_all and /embed_sparse.
func (Embed) Match(path string) (wire.Target, bool) {
	switch path {
	case "/embed", "/embed_all", "/embed_sparse":
		return wire.Target{Operation: path[1:]}, true
	}
	return wire.Target{}, false
}

// Request reads {"inputs": …, …}. Requests go together where all members but inputs
// are equal and the inputs are of one form, text or token ids.
func (Embed) Request(_ wire.Target, body []byte) *wire.Message {
	m := &wire.Message{Text: body}
	return request(m, "inputs", false, m.ReadInputs)
}

// Answer reads [[…], …], an array for each input, however few inputs there are.
func (Embed) Answer(items int, body []byte) (*wire.Message, error) {
	m := &wire.Message{Text: body}
	s := jsonspan.New(body)
	if !m.ReadList(&s, items, "[") {
		return nil, fmt.Errorf("the answer is not an array of %d arrays", items)
	}
	if err := s.End(); err != nil {
		return nil, err
	}
	if m.Items != items {
		return nil, fmt.Errorf("the answer has %d embeddings for %d inputs", m.Items, items)
	}
	return m, nil
}

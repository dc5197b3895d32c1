// Package openai reads the OpenAI API's embeddings ([Protocol]) and completions
// ([Completions]), as OpenAI, vLLM, llama.cpp, TEI and many others serve them
// (https://platform.openai.com/docs/api-reference/embeddings).
//
// The item is one input: a text, or a text that the client has already made into
// token ids. So "input": [101, 2000] is one item, and "input": ["a", "b"] is two.
package openai

import (
	"strings"

	"github.com/fridaymesh/friday/filters/inference/wire"
)

// Protocol is the wire.Protocol of embeddings.
type Protocol struct{}

var _ wire.Protocol = Protocol{}

// Name is "openai".
func (Protocol) Name() string { return "openai" }

const embeddings = "/v1/embeddings"

// Match takes /v1/embeddings, also below a prefix (/openai/v1/embeddings).
func (Protocol) Match(path string) (wire.Target, bool) {
	if !strings.HasSuffix(path, embeddings) {
		return wire.Target{}, false
	}
	return wire.Target{Operation: "embeddings", Usage: true}, true
}

// Answer reads {"data": [{"index": 0, "embedding": …}, …], "usage": {…}, …}. The
// results may stand in any order; index says whose they are.
func (Protocol) Answer(items int, body []byte) (*wire.Message, error) {
	m := &wire.Message{Text: body, Items: items}
	if _, err := m.ReadAnswer(wire.Results{Name: "data"}); err != nil {
		return nil, err
	}
	return m, nil
}

package inference

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
)

// Tokenizer is one flavour of the endpoint at which a server says how many tokens a
// text has. All have the same path; which one a server has, trying tells: the others
// are refused, or their answers not understood.
type Tokenizer uint8

// The flavours, in the order in which to try them.
const (
	// TEI: {"inputs": [text, …]} is answered [[token, …], …].
	// https://huggingface.github.io/text-embeddings-inference
	TEI Tokenizer = iota
	// VLLM: {"model": …, "prompt": text} is answered {"count": n, …}.
	// https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#tokenizer-api
	VLLM
	// LlamaCPP: {"content": text, "add_special": true} is answered {"tokens": […]}.
	// https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
	LlamaCPP
)

// TokenizePath is where all of them are asked, by POST.
const TokenizePath = "/tokenize"

// String is the flavour's name.
func (t Tokenizer) String() string {
	switch t {
	case TEI:
		return "tei"
	case VLLM:
		return "vllm"
	case LlamaCPP:
		return "llama.cpp"
	}
	return "unknown"
}

// Ask returns the bodies to post to count the tokens of each item of calls that are
// merged: one for all items (TEI), or one for each. It is false where that would
// tell nothing: the answers have no usage, or the items are token ids already, which
// Split counts exactly.
//
// It reads the calls' bodies; the bodies that it returns are copies.
func (t Tokenizer) Ask(calls []*Call) (bodies [][]byte, ok bool) {
	var texts [][]byte
	for _, c := range calls {
		if c.Protocol != "openai" && c.Protocol != "openai_completions" || c.message.Weights != nil {
			return nil, false
		}
		for _, item := range c.message.Lists[0].Items[c.from:c.to] {
			texts = append(texts, item.Of(c.message.Text))
		}
	}
	if t == TEI {
		body := []byte(`{"inputs":[`)
		for i, text := range texts {
			if i > 0 {
				body = append(body, ',')
			}
			body = append(body, text...)
		}
		return [][]byte{append(body, ']', '}')}, true
	}
	bodies = make([][]byte, len(texts))
	for i, text := range texts {
		switch {
		case t == LlamaCPP:
			bodies[i] = slices.Concat([]byte(`{"content":`), text, []byte(`,"add_special":true}`))
		case calls[0].Model == "":
			bodies[i] = slices.Concat([]byte(`{"prompt":`), text, []byte(`}`))
		default:
			model, err := json.Marshal(calls[0].Model)
			if err != nil {
				return nil, false
			}
			bodies[i] = slices.Concat([]byte(`{"model":`), model, []byte(`,"prompt":`), text, []byte(`}`))
		}
	}
	return bodies, true
}

// Count reads the answers, the bodies of 200s, to what Ask returned for so many
// items, and returns each item's tokens, special ones included, for [SplitExact].
// An error wraps ErrTokens and says why.
func (t Tokenizer) Count(items int, answers [][]byte) ([]int, error) {
	counts := make([]int, 0, items)
	for _, answer := range answers {
		s := jsonspan.New(answer)
		switch t {
		case TEI:
			if !s.Array() {
				return nil, fmt.Errorf("%w: not an array", ErrTokens)
			}
			for s.Element() && len(counts) < items {
				n, ok := length(&s)
				if !ok {
					return nil, fmt.Errorf("%w: %d is not an array", ErrTokens, len(counts))
				}
				counts = append(counts, n)
			}
		case VLLM, LlamaCPP:
			n, ok := t.count(answer, &s)
			if !ok {
				return nil, fmt.Errorf("%w: no count of item %d", ErrTokens, len(counts))
			}
			counts = append(counts, n)
		}
		if err := s.End(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTokens, err)
		}
	}
	if len(counts) != items {
		return nil, fmt.Errorf("%w: %d counts of %d items", ErrTokens, len(counts), items)
	}
	return counts, nil
}

// count reads an answer about one text.
func (t Tokenizer) count(text []byte, s *jsonspan.Scanner) (n int, ok bool) {
	if !s.Object() {
		return 0, false
	}
	found := 0
	for span, more := s.Member(); more; span, more = s.Member() {
		switch name := string(span.Of(text)); {
		case t == LlamaCPP && name == "tokens":
			found++
			n, ok = length(s)
		case t == VLLM && name == "count":
			found++
			var count int64
			count, ok = jsonspan.Int(s.Value().Of(text))
			n = int(count)
		default:
			s.Value()
		}
	}
	// A text has a token. Servers that found none in a body that they do not know
	// say so, too.
	return n, ok && n > 0 && found == 1
}

// length counts the elements of the array that s is at.
func length(s *jsonspan.Scanner) (n int, ok bool) {
	if !s.Array() {
		return 0, false
	}
	for ; s.Element(); n++ {
		s.Value()
	}
	return n, true
}

package openai

import (
	"bytes"
	"strings"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// Completions is the wire.Protocol of /v1/completions
// (https://platform.openai.com/docs/api-reference/completions). The item is one
// prompt, a text or token ids; each has n choices, and those of prompt i are
// numbered from i·n.
//
// They have to be named to be batched: servers that complete texts batch by
// themselves, token by token.
type Completions struct{}

var _ wire.Protocol = Completions{}

// Name is "openai_completions".
func (Completions) Name() string { return "openai_completions" }

// Match takes /v1/completions, also below a prefix.
func (Completions) Match(path string) (wire.Target, bool) {
	if !strings.HasSuffix(path, "/v1/completions") {
		return wire.Target{}, false
	}
	return wire.Target{Operation: "completions", Usage: true, OptIn: true}, true
}

// maxChoices is the greatest n that OpenAI and vLLM take.
const maxChoices = 128

// Request reads {"model": …, "prompt": …, …}. Requests go together where all
// members but prompt are equal and the prompts are of one form, text or tokens. Not
// understood, besides what embeddings do not take either: what is or may be
// streamed; a seed, because what a server draws from it may depend on the prompt's
// place in the call; embeddings in the place of the prompt, and state handed from
// server to server.
func (Completions) Request(_ wire.Target, body []byte) *wire.Message {
	m := &wire.Message{Text: body, Each: 1}
	var options wire.Options
	s := jsonspan.New(body)
	if !s.Object() {
		return nil
	}
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		name := span.Of(body)
		if string(name) == "prompt" {
			options.Note(name)
			if !m.ReadInputs(&s) {
				return nil
			}
			continue
		}
		value := s.Value().Of(body)
		given := string(value) != "null"
		switch string(name) {
		case "model":
			if m.Model, ok = jsonspan.Unquote(value); !ok {
				return nil
			}
		case "stream":
			if given && string(value) != "false" {
				return nil
			}
		case "n":
			n, ok := jsonspan.Int(value)
			if given && (!ok || n < 1 || n > maxChoices) {
				return nil
			}
			if given {
				m.Each = int(n)
			}
		case "seed", "prompt_embeds", "kv_transfer_params":
			if given {
				return nil
			}
		case "stop", "stop_token_ids", "bad_words", "allowed_token_ids":
			// Lists of everybody's, of whatever length.
			options.Add(name, value)
			continue
		}
		options.Other(name, value)
	}
	if s.End() != nil || m.Items == 0 || m.Items*m.Each > wire.MaxItems || options.RunsOver(m.Items) {
		return nil
	}
	key, ok := options.AppendKey([]byte(form(m)))
	if !ok {
		return nil
	}
	m.Key = wire.Key(key)
	return m
}

// Answer reads {"choices": [{"index": 0, "text": …}, …], "usage": {…}, …}. The
// tokens of the completions are shared out by the lengths of their texts, those of
// the prompts by the lengths of the prompts.
func (Completions) Answer(items int, body []byte) (*wire.Message, error) {
	m := &wire.Message{Text: body, Items: items}
	weights, err := m.ReadAnswer(wire.Results{Name: "choices", Several: true, Text: "text"})
	if err != nil {
		return nil, err
	}
	share(m, weights)
	return m, nil
}

// share says how the counts of a usage are shared out. Where the total is the sum
// of its parts, it is so in every share.
func share(m *wire.Message, completions []int) {
	prompt, completion, total := -1, -1, -1
	for i := range m.Counts {
		count := &m.Counts[i]
		if bytes.HasPrefix(count.Name, []byte("completion_tokens")) {
			count.Weights = completions
		}
		if count.Deep {
			continue
		}
		switch string(count.Name) {
		case "prompt_tokens":
			prompt = i
		case "completion_tokens":
			completion = i
		case "total_tokens":
			total = i
		}
	}
	if min(prompt, completion, total) >= 0 && m.Usage[prompt]+m.Usage[completion] == m.Usage[total] {
		m.Counts[total].Sum = []int{prompt, completion}
	}
}

// form is what the items of a request are; token ids and texts do not mix.
func form(m *wire.Message) string {
	if m.Weights != nil {
		return "tokens"
	}
	return "text"
}

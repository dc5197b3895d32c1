// Package tei reads the native API of Hugging Face's Text Embeddings Inference
// (https://huggingface.github.io/text-embeddings-inference): /embed, /embed_all and
// /embed_sparse ([Embed]), /predict ([Predict]) and /rerank ([Rerank]). Its
// OpenAI-compatible routes are package openai's.
//
// The item is one text: an input, or a text to rank against the query. Answers are
// bare arrays. TEI counts tokens in headers only (x-compute-tokens), which say what
// the whole call cost.
//
// The paths are exactly TEI's own: below a prefix, words as plain as "predict" are
// anybody's.
package tei

import (
	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// name is all three protocols' name: in configuration they are one.
const name = "tei"

// request reads {items: …, …}. Requests go together where all other members are
// equal. It is nil where read, which reads the items, is false, where there are
// none, the query is given where it must not be or the other way round, or an
// unknown member may be a list over the items.
func request(m *wire.Message, items string, query bool, read func(*jsonspan.Scanner) bool) *wire.Message {
	var options wire.Options
	s := jsonspan.New(m.Text)
	if !s.Object() {
		return nil
	}
	asked := false
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		switch name := span.Of(m.Text); string(name) {
		case items:
			options.Note(name)
			if !read(&s) {
				return nil
			}
		case "query":
			asked = s.Kind() == '"'
			options.Add(name, s.Value().Of(m.Text))
		case "documents":
			return nil // Cohere's form; which a server would take is its affair
		default:
			options.Other(name, s.Value().Of(m.Text))
		}
	}
	if s.End() != nil || m.Items == 0 || asked != query || options.RunsOver(m.Items) {
		return nil
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

// Package cohere reads rerank requests in the form that Cohere made
// (https://docs.cohere.com/reference/rerank) and that Jina, Voyage, vLLM, llama.cpp
// and others serve, and vLLM's scores
// (https://docs.vllm.ai/en/latest/models/pooling_models.html).
//
// The item is one document (rerank) or one text_2 (score); the query, or text_1, is
// everybody's. How well a document fits a query does not depend on the others, so
// documents of several requests with an equal query may be ranked in one call. Each
// caller gets its own in the order in which the server put them.
package cohere

import (
	"strings"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// Protocol is the wire.Protocol of this package.
type Protocol struct{}

var _ wire.Protocol = Protocol{}

// Name is "cohere".
func (Protocol) Name() string { return "cohere" }

// The operations.
const (
	rerank = "rerank"
	score  = "score"
)

// Match takes /rerank, /v1/rerank and /v2/rerank, also below a prefix, /score and,
// also below a prefix, /v1/score.
func (Protocol) Match(path string) (wire.Target, bool) {
	switch {
	case strings.HasSuffix(path, "/rerank"):
		return wire.Target{Operation: rerank, Usage: true}, true
	case path == "/score", strings.HasSuffix(path, "/v1/score"):
		return wire.Target{Operation: score, Usage: true}, true
	}
	return wire.Target{}, false
}

// Request reads {"query": …, "documents": […], …} or {"text_1": …, "text_2": …, …}.
// Requests go together where all other members are equal and the documents are of
// one kind, texts or objects. Not understood: no documents or an empty one, a query
// or text_1 that is not one text, fewer results asked for (top_n, top_k) than there
// are documents, and an unknown member that may be a list over the documents.
func (Protocol) Request(target wire.Target, body []byte) *wire.Message {
	r := reader{Message: &wire.Message{Text: body}, top: -1}
	s := jsonspan.New(body)
	if !s.Object() {
		return nil
	}
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		name := span.Of(body)
		take := r.rerank
		if target.Operation == score {
			take = r.score
		}
		if !take(name, &s) {
			return nil
		}
	}
	if s.End() != nil || r.Items == 0 || r.query == 0 || r.options.RunsOver(r.Items) ||
		r.top >= 0 && r.top < int64(r.Items) {
		return nil
	}
	key, ok := r.options.AppendKey([]byte{r.kind})
	if !ok {
		return nil
	}
	r.Key = wire.Key(key)
	// The server reads the query once more with each document.
	r.Weights = make([]int, r.Items)
	for i, item := range r.Lists[0].Items {
		r.Weights[i] = r.query + item.Len()
	}
	return r.Message
}

// reader reads one request, member by member.
type reader struct {
	*wire.Message
	options wire.Options
	query   int   // its length in bytes
	kind    byte  // what documents begin with
	top     int64 // how many results are asked for; -1: all
}

// rerank takes a member of a rerank request; false: the request is not understood.
func (r *reader) rerank(name []byte, s *jsonspan.Scanner) bool {
	switch string(name) {
	case "documents":
		r.options.Note(name)
		return r.documents(s, `"{`)
	case "query":
		return r.text(name, s)
	case "texts":
		return false // TEI's form
	case "top_n", "top_k":
		return r.most(name, s)
	case "rank_fields":
		r.options.Add(name, s.Value().Of(r.Text)) // names of members of a document
		return true
	}
	return r.other(name, s)
}

// score takes a member of a score request.
func (r *reader) score(name []byte, s *jsonspan.Scanner) bool {
	switch string(name) {
	case "text_2":
		r.options.Note(name)
		if r.Items == 0 && s.Kind() == '"' {
			r.kind = '"'
			value := s.Value()
			r.Alone(value)
			return value.Len() > len(`""`)
		}
		return r.documents(s, `"`)
	case "text_1":
		return r.text(name, s)
	case "queries", "documents", "items", "data_1", "data_2":
		return false // the same by other names; which the server would take is its affair
	}
	return r.other(name, s)
}

// documents reads the items, which have to be of one kind.
func (r *reader) documents(s *jsonspan.Scanner, kinds string) bool {
	if r.Items > 0 {
		return false
	}
	if at := jsonspan.At(r.Text, s.Pos()); at.Array() && at.Element() {
		if r.kind = at.Kind(); strings.IndexByte(kinds, r.kind) < 0 {
			return false
		}
	}
	return r.ReadList(s, wire.MaxItems, string(r.kind))
}

// text reads the one text that all items are held against.
func (r *reader) text(name []byte, s *jsonspan.Scanner) bool {
	quoted := s.Kind() == '"'
	value := s.Value()
	r.options.Add(name, value.Of(r.Text))
	r.query = value.Len()
	return quoted && r.query > len(`""`)
}

// most reads how many results are asked for. As it has to be no fewer than there
// are documents, their number takes its place, whatever that is then: requests with
// it and without it go together.
func (r *reader) most(name []byte, s *jsonspan.Scanner) bool {
	value := s.Value()
	r.options.Note(name)
	if string(value.Of(r.Text)) == "null" {
		return true
	}
	top, ok := jsonspan.Int(value.Of(r.Text))
	if !ok {
		return false
	}
	if r.top < 0 || top < r.top {
		r.top = top
	}
	r.Holes = append(r.Holes, wire.Hole{Span: value, Kind: wire.Count})
	return true
}

func (r *reader) other(name []byte, s *jsonspan.Scanner) bool {
	value := s.Value().Of(r.Text)
	if string(name) == "model" {
		var ok bool
		if r.Model, ok = jsonspan.Unquote(value); !ok && string(value) != "null" {
			return false
		}
	}
	r.options.Other(name, value)
	return true
}

// Answer reads {"results": [{"index": 0, "relevance_score": …}, …], …}, whose
// results stand in the server's order, or {"data": [{"index": 0, "score": …}, …], …}.
//
// Counts in usage, and in meta's billed_units and tokens, are shared out so that
// they sum to what the server reported. What it bills once for a call (Cohere's
// search_units) is so told to one caller, and 0 to the others.
func (Protocol) Answer(items int, body []byte) (*wire.Message, error) {
	m := &wire.Message{Text: body, Items: items}
	_, err := m.ReadAnswer(wire.Results{Name: "results", Or: "data", Score: "relevance_score", Bills: "meta"})
	if err != nil {
		return nil, err
	}
	return m, nil
}

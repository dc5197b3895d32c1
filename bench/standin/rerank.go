package standin

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
)

// Relevance is the score of a document, or of a text beside another, in [0, 1).
func Relevance(model string, query, document []byte) float64 {
	return unit(hash([]byte("relevance "+model), query, document))
}

// ranking is a parsed call of a reranker.
type ranking struct {
	model, wire []byte
	query       []byte
	documents   [][]byte // as the caller means them
	raw         [][]byte // as they stand on the wire
	top         int      // -1: all
	whole       bool     // the documents go into the answer
	tokens      int
}

// rerank answers /v1/rerank as Jina and vLLM do (https://jina.ai/reranker), with
// usage; /v2/rerank as Cohere does (https://docs.cohere.com/reference/rerank), with
// billed units; and /rerank as text-embeddings-inference does where it has texts
// (https://huggingface.github.io/text-embeddings-inference), else as vLLM.
func rerank(path string, body []byte) *job {
	if !json.Valid(body) {
		return refused(openError, bad("the body is not valid JSON"))
	}
	r := &ranking{top: -1}
	form, tei := openError, false
	var f *fault
	for name, v := range fields(body) {
		switch name {
		case "model":
			r.model, r.wire = unquote(v), v
		case "query":
			if v[0] != '"' {
				f = bad("query: is no text")
			}
			r.query = unquote(v)
		case "texts", "documents":
			if name == "texts" && path == "/rerank" {
				form, tei = teiError, true
			} else if name == "texts" {
				continue
			}
			if e := r.add(v); e != nil {
				f = e
			}
		case "top_n":
			n, err := strconv.Atoi(string(v))
			if string(v) != "null" && (err != nil || n < 1) {
				f = bad("top_n: " + string(v) + " is no number from 1 on")
			} else if err == nil {
				r.top = n
			}
		case "return_documents", "return_text":
			r.whole = string(v) == "true"
		}
	}
	switch {
	case f != nil:
	case len(r.query) == 0:
		f = bad("query: is missing or empty")
	case len(r.documents) == 0:
		f = bad("documents: is missing or empty")
	case !tei && len(r.model) == 0:
		f = bad("model: is missing")
	}
	if f != nil {
		return refused(form, f)
	}
	r.tokens += Tokens(r.query) * len(r.documents)
	j := &job{model: string(r.model), items: len(r.documents), form: form}
	j.look("query", 0, r.query)
	for i, d := range r.documents {
		j.look("document", i, d)
	}
	j.answer = func(dst []byte, n int) []byte {
		if tei {
			return r.appendTEI(dst, n)
		}
		return r.appendAnswer(dst, n, path == "/v2/rerank")
	}
	return j
}

// add takes texts, and objects with a text.
func (r *ranking) add(list []byte) *fault {
	for d := range elements(list) {
		text := d
		if d[0] == '{' {
			text = nil
			for name, v := range fields(d) {
				if name == "text" {
					text = v
				}
			}
		}
		if len(text) == 0 || text[0] != '"' {
			return bad("document " + strconv.Itoa(len(r.documents)) + " has no text")
		}
		r.documents = append(r.documents, unquote(text))
		r.raw = append(r.raw, text)
		r.tokens += Tokens(unquote(text))
	}
	return nil
}

// ranked is where a document stands.
type ranked struct {
	at    int
	score float64
}

// order is the best of the first n documents, best first.
func (r *ranking) order(n int) []ranked {
	all := make([]ranked, n)
	for i := range all {
		all[i] = ranked{i, Relevance(string(r.model), r.query, r.documents[i])}
	}
	slices.SortStableFunc(all, func(a, b ranked) int { return cmp.Compare(b.score, a.score) })
	if r.top >= 0 && r.top < n {
		all = all[:r.top]
	}
	return all
}

func (r *ranking) appendAnswer(dst []byte, n int, cohere bool) []byte {
	id := strconv.FormatUint(hash(append([][]byte{r.query}, r.documents...)...), 16)
	dst = append(dst, `{"id":"rerank-`+id+`"`...)
	switch {
	case cohere:
	case oddity(string(r.model)) == NoCount:
		dst = append(append(dst, `,"model":`...), r.wire...)
	default:
		dst = append(append(dst, `,"model":`...), r.wire...)
		dst = strconv.AppendInt(append(dst, `,"usage":{"total_tokens":`...), int64(r.tokens), 10)
		dst = append(dst, '}')
	}
	dst = append(dst, `,"results":[`...)
	for i, d := range r.order(n) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, `{"index":`...), int64(d.at), 10)
		if r.whole {
			dst = append(append(append(dst, `,"document":{"text":`...), r.raw[d.at]...), '}')
		}
		dst = strconv.AppendFloat(append(dst, `,"relevance_score":`...), d.score, 'g', -1, 64)
		dst = append(dst, '}')
	}
	dst = append(dst, ']')
	if cohere {
		units := (n + 99) / 100 // one for each hundred documents of a query
		dst = strconv.AppendInt(append(dst, `,"meta":{"api_version":{"version":"2"},"billed_units":{"search_units":`...), int64(units), 10)
		dst = append(dst, `}}`...)
	}
	return append(dst, '}')
}

func (r *ranking) appendTEI(dst []byte, n int) []byte {
	dst = append(dst, '[')
	for i, d := range r.order(n) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, `{"index":`...), int64(d.at), 10)
		if r.whole {
			dst = append(append(dst, `,"text":`...), r.raw[d.at]...)
		}
		dst = strconv.AppendFloat(append(dst, `,"score":`...), d.score, 'g', -1, 64)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// score answers vLLM's /score
// (https://docs.vllm.ai/en/stable/models/pooling_models/scoring): each of text_1
// beside the one of text_2 at its place, or one beside all of them.
func score(body []byte) *job {
	if !json.Valid(body) {
		return refused(openError, bad("the body is not valid JSON"))
	}
	var model, wire []byte
	var one, two embeddingCall
	var f *fault
	for name, v := range fields(body) {
		var side *embeddingCall
		switch name {
		case "model":
			model, wire = unquote(v), v
		case "text_1":
			side = &one
		case "text_2":
			side = &two
		}
		if side == nil {
			continue
		}
		if e := side.setInput(name, v); e != nil {
			f = e
		}
	}
	n := len(two.items)
	switch {
	case f != nil:
	case len(model) == 0:
		f = bad("model: is missing")
	case len(one.items) == 0 || n == 0:
		f = bad("text_1 or text_2: is missing")
	case len(one.items) != 1 && len(one.items) != n:
		f = bad("text_1 and text_2 have different numbers of texts")
	}
	if f != nil {
		return refused(openError, f)
	}
	j := &job{model: string(model), items: n, form: openError}
	tokens := 0
	left := func(i int) []byte { return one.items[min(i, len(one.items)-1)] }
	for i, text := range two.items {
		j.look("text_1", i, left(i))
		j.look("text_2", i, text)
		tokens += Tokens(left(i)) + Tokens(text)
	}
	j.answer = func(dst []byte, n int) []byte {
		id := strconv.FormatUint(hash(append(slices.Clone(one.items), two.items...)...), 16)
		dst = append(dst, `{"id":"score-`+id+`","object":"list","created":`...)
		dst = append(append(strconv.AppendInt(dst, Created, 10), `,"model":`...), wire...)
		dst = append(dst, `,"data":[`...)
		for i := range n {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = strconv.AppendInt(append(dst, `{"index":`...), int64(i), 10)
			dst = append(dst, `,"object":"score","score":`...)
			dst = strconv.AppendFloat(dst, Relevance(string(model), left(i), two.items[i]), 'g', -1, 64)
			dst = append(dst, '}')
		}
		dst = append(dst, ']')
		if oddity(string(model)) == NoCount {
			return append(dst, '}')
		}
		return append(appendUsage(dst, tokens, 0), '}')
	}
	return j
}

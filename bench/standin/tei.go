package standin

import (
	"encoding/json"
	"strconv"
)

// info is text-embeddings-inference's GET /info, as far as it tells limits. A
// server without a limit of its own tells one that nobody reaches.
func (c *conn) info() []byte {
	most := c.config.MaxItems
	if most == 0 {
		most = 1 << 16
	}
	return []byte(`{"model_id":"standin","model_sha":null,"model_dtype":"float32","model_type":{"embedding":{"pooling":"mean"}},` +
		`"max_concurrent_requests":512,"max_input_length":512,"max_batch_tokens":16384,"max_batch_requests":null,` +
		`"max_client_batch_size":` + strconv.Itoa(most) + `,"auto_truncate":false,"tokenization_workers":1,"version":"1.8.0"}`)
}

// inputs finds the member that holds the items of a text-embeddings-inference
// call.
func inputs(body []byte) ([]byte, *fault) {
	if !json.Valid(body) {
		return nil, bad("the body is not valid JSON")
	}
	for name, v := range fields(body) {
		if name == "inputs" {
			return v, nil
		}
	}
	return nil, &fault{status: 422, message: "inputs: is missing"}
}

// embed answers text-embeddings-inference's POST /embed
// (https://huggingface.github.io/text-embeddings-inference): one embedding for
// each input, which may take the four forms of OpenAI's, as a list of lists.
func embed(body []byte, dims int) *job {
	in, f := inputs(body)
	if f != nil {
		return refused(teiError, f)
	}
	var call embeddingCall
	if f := call.setInput("inputs", in); f != nil {
		return refused(teiError, &fault{status: 422, message: f.message})
	}
	for name, v := range fields(body) {
		if n, err := strconv.Atoi(string(v)); name == "dimensions" && err == nil && n > 0 && n <= 1<<16 {
			dims = n
		}
	}
	j := &job{items: len(call.items), form: teiError}
	for i, item := range call.items {
		j.look("input", i, item)
	}
	j.answer = func(dst []byte, n int) []byte {
		dst = append(dst, '[')
		for i := range n {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendEmbedding(dst, "", call.items[i], dims, false)
		}
		return append(dst, ']')
	}
	return j
}

// classify answers text-embeddings-inference's POST /predict: a text or a pair of
// texts, which are one item and answered by one list of labels; or a list of
// lists of one or two texts, answered by as many lists.
func classify(body []byte) *job {
	in, f := inputs(body)
	if f != nil {
		return refused(teiError, f)
	}
	wrong := &fault{status: 422, message: "inputs: is neither a text, a pair of texts nor a list of such"}
	var items [][]byte
	single := true
	if in[0] == '[' {
		first := space(in[1:])[0]
		single = first == '"'
		if !single {
			for e := range elements(in) {
				items = append(items, e)
			}
		}
	}
	if single {
		items = [][]byte{in}
	}
	j := &job{items: len(items), form: teiError}
	for i, item := range items {
		if !texts(item, single) {
			return refused(teiError, wrong)
		}
		j.look("input", i, item)
	}
	if len(items) == 0 {
		return refused(teiError, wrong)
	}
	j.answer = func(dst []byte, n int) []byte {
		if single {
			return appendLabels(dst, items[0])
		}
		dst = append(dst, '[')
		for i := range n {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendLabels(dst, items[i])
		}
		return append(dst, ']')
	}
	return j
}

// texts says whether an item is one or two texts in a list, or, where it may, a
// text by itself.
func texts(item []byte, bare bool) bool {
	if item[0] == '"' {
		return bare
	}
	n := 0
	for e := range elements(item) {
		if n++; e[0] != '"' {
			return false
		}
	}
	return n == 1 || n == 2
}

// appendLabels appends what a classifier of two labels says of an item.
func appendLabels(dst, item []byte) []byte {
	if item[0] == '"' {
		item = append(append([]byte{'['}, item...), ']') // a text alone is a list of one
	}
	score := unit(hash([]byte("label"), compact(item)))
	first, second := "POSITIVE", "NEGATIVE"
	if score < .5 {
		score, first, second = 1-score, second, first
	}
	dst = strconv.AppendFloat(append(dst, `[{"score":`...), score, 'g', -1, 64)
	dst = append(dst, `,"label":"`+first+`"},{"score":`...)
	dst = strconv.AppendFloat(dst, 1-score, 'g', -1, 64)
	return append(dst, `,"label":"`+second+`"}]`...)
}

// tokenize answers POST /tokenize as vLLM does (prompt), as llama.cpp does
// (content) or as text-embeddings-inference does (inputs). How many tokens a text
// has is as everywhere here, [Tokens].
func tokenize(body []byte) *job {
	if !json.Valid(body) {
		return refused(openError, bad("the body is not valid JSON"))
	}
	for name, v := range fields(body) {
		j := &job{form: openError} // no items: a tokenizer does not need the accelerator
		switch {
		case name == "prompt" && v[0] == '"':
			j.answer = func(dst []byte, _ int) []byte {
				n := Tokens(unquote(v))
				dst = strconv.AppendInt(append(dst, `{"count":`...), int64(n), 10)
				dst = append(dst, `,"max_model_len":4096,"tokens":`...)
				return append(appendTokens(dst, n), `,"token_strs":null}`...)
			}
		case name == "content" && v[0] == '"':
			j.answer = func(dst []byte, _ int) []byte {
				return append(appendTokens(append(dst, `{"tokens":`...), Tokens(unquote(v))), '}')
			}
		case name == "inputs":
			var call embeddingCall
			if f := call.setInput(name, v); f != nil {
				return refused(teiError, f)
			}
			j.answer = func(dst []byte, _ int) []byte {
				dst = append(dst, '[')
				for i, text := range call.items {
					if i > 0 {
						dst = append(dst, ',')
					}
					dst = appendTEITokens(dst, Tokens(text))
				}
				return append(dst, ']')
			}
		default:
			continue
		}
		return j
	}
	return refused(openError, bad("prompt, content or inputs: is missing"))
}

// appendTokens appends so many ids.
func appendTokens(dst []byte, n int) []byte {
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, int64(100+i), 10)
	}
	return append(dst, ']')
}

func appendTEITokens(dst []byte, n int) []byte {
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, `{"id":`...), int64(100+i), 10)
		dst = append(dst, `,"text":"t","special":false,"start":null,"stop":null}`...)
	}
	return append(dst, ']')
}

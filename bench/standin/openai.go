package standin

import (
	"encoding/json"
	"strconv"
)

// embeddings answers OpenAI's POST /v1/embeddings
// (https://platform.openai.com/docs/api-reference/embeddings/create).
func (c *conn) embeddings() *job {
	call, f := parseEmbeddings(c.body)
	if f != nil {
		return refused(openError, f)
	}
	j := &job{model: call.model, items: len(call.items), form: openError}
	for i, item := range call.items {
		j.look("input", i, item)
	}
	dims := c.config.Dimensions
	if call.dims > 0 {
		dims = call.dims
	}
	j.answer = func(dst []byte, n int) []byte { return call.appendAnswer(dst, dims, n) }
	return j
}

// embeddingCall is a parsed call. Its items are texts without quotes and escapes,
// or lists of token ids without white space.
type embeddingCall struct {
	model    string // unquoted
	wire     []byte // the model as it stands on the wire
	items    [][]byte
	tokens   int
	dims     int
	inBase64 bool
}

func parseEmbeddings(body []byte) (*embeddingCall, *fault) {
	if !json.Valid(body) {
		return nil, bad("the body is not valid JSON")
	}
	call := &embeddingCall{}
	var input []byte
	for name, v := range fields(body) {
		switch name {
		case "model":
			if v[0] != '"' {
				return nil, bad("model: " + string(v) + " is no text")
			}
			call.model, call.wire = string(unquote(v)), v
		case "input":
			input = v
		case "encoding_format":
			switch string(unquote(v)) {
			case "base64":
				call.inBase64 = true
			case "float", "null":
			default:
				return nil, bad("encoding_format: " + string(v) + " is neither float nor base64")
			}
		case "dimensions":
			n, err := strconv.Atoi(string(v))
			if string(v) != "null" && (err != nil || n < 1 || n > 65536) {
				return nil, bad("dimensions: " + string(v) + " is no number from 1 to 65536")
			}
			call.dims = n
		}
	}
	if call.model == "" {
		return nil, bad("model: is missing")
	}
	return call, call.setInput("input", input)
}

// setInput takes the four forms of input, the member of that name: a text, a list
// of texts, a list of token ids, which is one item, and a list of such lists.
func (call *embeddingCall) setInput(name string, input []byte) *fault {
	if len(input) == 0 {
		return bad(name + ": is missing")
	}
	switch input[0] {
	case '"':
		call.add(input)
		return nil
	case '[':
	default:
		return bad(name + ": is neither a text nor a list")
	}
	if first := space(input[1:])[0]; first != '"' && first != '[' && first != ']' {
		return call.addIDs(name, input)
	}
	for e := range elements(input) {
		switch e[0] {
		case '"':
			call.add(e)
		case '[':
			if f := call.addIDs(name, e); f != nil {
				return f
			}
		default:
			return bad(name + ": " + string(e) + " is neither a text nor a list of token ids")
		}
	}
	if len(call.items) == 0 {
		return bad(name + ": is empty")
	}
	return nil
}

// whole says whether v is a number without fraction and exponent.
func whole(v []byte) bool {
	_, err := strconv.ParseInt(string(v), 10, 64)
	return err == nil
}

// add adds a text.
func (call *embeddingCall) add(quoted []byte) {
	text := unquote(quoted)
	call.items = append(call.items, text)
	call.tokens += Tokens(text)
}

// addIDs adds a list of token ids, one at least.
func (call *embeddingCall) addIDs(name string, list []byte) *fault {
	n := 0
	for id := range elements(list) {
		if !whole(id) {
			return bad(name + ": " + string(id) + " is no token id")
		}
		n++
	}
	if n == 0 {
		return bad(name + ": a list of token ids is empty")
	}
	call.items = append(call.items, compact(list))
	call.tokens += n
	return nil
}

// appendAnswer appends the embeddings of the first n items.
func (call *embeddingCall) appendAnswer(dst []byte, dims, n int) []byte {
	odd := oddity(call.model)
	dst = append(dst, `{"object":"list","data":[`...)
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		at := i
		if odd == Reversed {
			at = n - 1 - i
		}
		dst = append(dst, `{"object":"embedding","index":`...)
		dst = strconv.AppendInt(dst, int64(at), 10)
		dst = append(dst, `,"embedding":`...)
		dst = AppendEmbedding(dst, call.model, call.items[at], dims, call.inBase64)
		dst = append(dst, '}')
	}
	dst = append(dst, `],"model":`...)
	dst = append(dst, call.wire...)
	if odd == NoCount {
		return append(dst, '}')
	}
	return append(appendUsage(dst, call.tokens, -1), '}')
}

// appendUsage appends OpenAI's usage as the next member of an object; completion
// below 0: there is none.
func appendUsage(dst []byte, prompt, completion int) []byte {
	dst = append(dst, `,"usage":{"prompt_tokens":`...)
	dst = strconv.AppendInt(dst, int64(prompt), 10)
	if completion >= 0 {
		dst = append(dst, `,"completion_tokens":`...)
		dst = strconv.AppendInt(dst, int64(completion), 10)
	}
	dst = append(dst, `,"total_tokens":`...)
	dst = strconv.AppendInt(dst, int64(prompt+max(0, completion)), 10)
	return append(dst, '}')
}

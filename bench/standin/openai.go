package standin

import (
	"encoding/json"
	"strconv"
)

// embeddings answers OpenAI's POST /v1/embeddings
// (https://platform.openai.com/docs/api-reference/embeddings/create).
func (c *conn) embeddings(last bool) error {
	call, f := parseEmbeddings(c.req.Body())
	if f != nil {
		return c.run(0, f, false, last, nil)
	}
	for _, item := range call.items {
		if status := poison(item); status != 0 {
			f = &fault{status, "input is poisoned"}
			break
		}
	}
	dims := c.config.Dimensions
	if call.dims > 0 {
		dims = call.dims
	}
	return c.run(len(call.items), f, false, last, func(dst []byte) []byte {
		return call.appendAnswer(dst, dims)
	})
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
	return call, call.setInput(input)
}

// setInput takes the four forms of input: a text, a list of texts, a list of
// token ids, which is one item, and a list of such lists.
func (call *embeddingCall) setInput(input []byte) *fault {
	if len(input) == 0 {
		return bad("input: is missing")
	}
	switch input[0] {
	case '"':
		call.add(input)
		return nil
	case '[':
	default:
		return bad("input: is neither a text nor a list")
	}
	if first := space(input[1:]); first[0] != '"' && first[0] != '[' && first[0] != ']' {
		call.add(input)
		return nil
	}
	for e := range elements(input) {
		if e[0] != '"' && e[0] != '[' {
			return bad("input: " + string(e) + " is neither a text nor a list of token ids")
		}
		call.add(e)
	}
	if len(call.items) == 0 {
		return bad("input: is empty")
	}
	return nil
}

func (call *embeddingCall) add(item []byte) {
	if item[0] == '"' {
		text := unquote(item)
		call.items = append(call.items, text)
		call.tokens += Tokens(text)
		return
	}
	call.items = append(call.items, compact(item))
	for range elements(item) {
		call.tokens++
	}
}

func (call *embeddingCall) appendAnswer(dst []byte, dims int) []byte {
	dst = append(dst, `{"object":"list","data":[`...)
	for i, item := range call.items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"object":"embedding","index":`...)
		dst = strconv.AppendInt(dst, int64(i), 10)
		dst = append(dst, `,"embedding":`...)
		dst = AppendEmbedding(dst, call.model, item, dims, call.inBase64)
		dst = append(dst, '}')
	}
	dst = append(dst, `],"model":`...)
	dst = append(dst, call.wire...)
	dst = append(dst, `,"usage":{"prompt_tokens":`...)
	dst = strconv.AppendInt(dst, int64(call.tokens), 10)
	dst = append(dst, `,"total_tokens":`...)
	dst = strconv.AppendInt(dst, int64(call.tokens), 10)
	return append(dst, `}}`...)
}

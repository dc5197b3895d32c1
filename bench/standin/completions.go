package standin

import (
	"encoding/json"
	"strconv"
)

// maxChoices bounds the choices of one call.
const maxChoices = 1 << 12

// completions answers OpenAI's POST /v1/completions
// (https://platform.openai.com/docs/api-reference/completions): n choices for each
// prompt, choice j of prompt i at index i·n+j.
func (c *conn) completions(last bool) error {
	call, f := parseCompletions(c.body, c.config.Tokens)
	if f != nil {
		return c.do(refused(openError, f), last)
	}
	j := &job{model: call.model, items: len(call.prompts), form: openError, answer: call.appendAnswer}
	for i, p := range call.prompts {
		j.look("prompt", i, p)
	}
	if call.stream {
		j.kind, j.answer = "text/event-stream; charset=utf-8", call.appendEvents
	}
	return c.do(j, last)
}

// completionCall is a parsed call. Prompts are as the items of an embeddingCall.
type completionCall struct {
	model        string
	wire         []byte
	prompts      [][]byte
	prompt       int // tokens of the prompts
	n, tokens    int
	logprobs     int // -1: none
	echo, stream bool
	usage        bool
}

func parseCompletions(body []byte, tokens int) (*completionCall, *fault) {
	if !json.Valid(body) {
		return nil, bad("the body is not valid JSON")
	}
	call := &completionCall{n: 1, tokens: tokens, logprobs: -1}
	var prompts embeddingCall
	var fault *fault
	number := func(name string, v []byte, least, most int, into *int) {
		n, err := strconv.Atoi(string(v))
		switch {
		case string(v) == "null":
		case err != nil || n < least || n > most:
			fault = bad(name + ": " + string(v) + " is no number from " + strconv.Itoa(least) + " to " + strconv.Itoa(most))
		default:
			*into = n
		}
	}
	for name, v := range fields(body) {
		switch name {
		case "model":
			if v[0] != '"' {
				return nil, bad("model: " + string(v) + " is no text")
			}
			call.model, call.wire = string(unquote(v)), v
		case "prompt":
			if f := prompts.setInput("prompt", v); f != nil {
				fault = f
			}
		case "n":
			number(name, v, 1, 128, &call.n)
		case "max_tokens":
			number(name, v, 1, 4096, &call.tokens)
		case "logprobs":
			number(name, v, 0, 5, &call.logprobs)
		case "echo":
			call.echo = string(v) == "true"
		case "stream":
			call.stream = string(v) == "true"
		case "stream_options":
			for name, v := range fields(v) {
				call.usage = call.usage || name == "include_usage" && string(v) == "true"
			}
		}
	}
	switch {
	case fault != nil:
		return nil, fault
	case call.model == "":
		return nil, bad("model: is missing")
	case len(prompts.items) == 0:
		return nil, bad("prompt: is missing")
	case len(prompts.items)*call.n > maxChoices:
		return nil, bad("more than " + strconv.Itoa(maxChoices) + " choices")
	}
	call.prompts, call.prompt = prompts.items, prompts.tokens
	return call, nil
}

// Completion is the text of choice j of a prompt, given as [Embedding]'s items
// are, of so many tokens.
func Completion(model string, prompt []byte, j, tokens int) string {
	dst := make([]byte, 0, 8*tokens)
	for i := range tokens {
		dst = append(dst, ChatToken(choiceSeed(model, prompt, j), i)...)
	}
	return string(dst)
}

func choiceSeed(model string, prompt []byte, j int) uint64 {
	return mix(hash([]byte("completion "+model), prompt) + uint64(j)) // #nosec G115 -- j is small
}

func (call *completionCall) appendHead(dst []byte) []byte {
	dst = append(dst, `{"id":"cmpl-`...)
	dst = strconv.AppendUint(dst, hash(append([][]byte{call.wire}, call.prompts...)...), 16)
	dst = append(dst, `","object":"text_completion","created":`...)
	dst = strconv.AppendInt(dst, Created, 10)
	dst = append(dst, `,"model":`...)
	dst = append(dst, call.wire...)
	return append(dst, `,"choices":[`...)
}

// appendChoice appends choice j of prompt i.
func (call *completionCall) appendChoice(dst []byte, i, j int) []byte {
	text := Completion(call.model, call.prompts[i], j, call.tokens)
	if call.echo {
		text = string(call.prompts[i]) + text
	}
	dst = append(dst, `{"text":`+quote(text)+`,"index":`...)
	dst = strconv.AppendInt(dst, int64(i*call.n+j), 10)
	dst = append(dst, `,"logprobs":`...)
	if call.logprobs < 0 {
		dst = append(dst, `null`...)
	} else {
		dst = call.appendLogprobs(dst, i, j)
	}
	return append(dst, `,"finish_reason":"length"}`...)
}

// appendLogprobs appends for each token of the completion, but not of an echoed
// prompt, its text and a number in (-1, 0].
func (call *completionCall) appendLogprobs(dst []byte, i, j int) []byte {
	seed := choiceSeed(call.model, call.prompts[i], j)
	dst = append(dst, `{"tokens":[`...)
	for k := range call.tokens {
		if k > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, quote(ChatToken(seed, k))...)
	}
	dst = append(dst, `],"token_logprobs":[`...)
	for k := range call.tokens {
		if k > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendFloat(dst, -unit(seed+uint64(k)), 'g', -1, 64) // #nosec G115 -- k is small
	}
	return append(dst, `],"top_logprobs":null,"text_offset":null}`...)
}

// unit is a number in [0, 1) made of h.
func unit(h uint64) float64 { return float64(mix(h)>>11) / (1 << 53) }

// appendAnswer appends the choices of the first n prompts.
func (call *completionCall) appendAnswer(dst []byte, n int) []byte {
	dst = call.appendHead(dst)
	for i := range n * call.n {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = call.appendChoice(dst, i/call.n, i%call.n)
	}
	dst = append(dst, ']')
	if oddity(call.model) == NoCount {
		return append(dst, '}')
	}
	return append(appendUsage(dst, call.prompt, call.tokens*call.n*n), '}')
}

// appendEvents appends the same as server-sent events, one a choice.
func (call *completionCall) appendEvents(dst []byte, n int) []byte {
	for i := range n * call.n {
		dst = call.appendHead(append(dst, "data: "...))
		dst = call.appendChoice(dst, i/call.n, i%call.n)
		dst = append(dst, "]}\n\n"...)
	}
	if call.usage {
		dst = call.appendHead(append(dst, "data: "...))
		dst = append(appendUsage(append(dst, ']'), call.prompt, call.tokens*call.n*n), "}\n\n"...)
	}
	return append(dst, "data: [DONE]\n\n"...)
}

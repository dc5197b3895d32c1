package admission

import (
	"bytes"
	"sync/atomic"

	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/proxy"
)

const (
	// bytesPerToken is about what a token of text takes, as OpenAI's own estimate has it.
	bytesPerToken = 4
	// usualAnswer is counted where a request does not bound its answer, or cannot be read,
	// and mostAnswer bounds what it may say, in tokens.
	usualAnswer = 256
	mostAnswer  = 1 << 24
	// maxReadBytes is the longest body that is read before there is room for its request,
	// and maxHeldBytes what is held so in all.
	maxReadBytes = 256 << 10
	maxHeldBytes = 64 << 20
)

// generating are the ends of the paths by which a model generates: what their answers take
// the request's body bounds.
var generating = [...]string{ //nolint:gochecknoglobals // a constant table
	"/chat/completions", "/completions", "/completion", "/responses", "/messages", "/api/chat", "/api/generate",
}

func generates(req *proxy.Request) bool {
	path, _, _ := bytes.Cut(req.Header.RequestURI(), []byte{'?'})
	for _, end := range generating {
		if bytes.HasSuffix(path, []byte(end)) {
			return true
		}
	}
	return false
}

// estimate is how many tokens a request asks for: those of its body by length, and those
// that it lets the model generate. held is how many bytes of it are in memory for that.
// The error is that of reading the body.
func estimate(req *proxy.Request, all *atomic.Int64) (tokens, held int64, err error) {
	length := req.Body.Len()
	tokens = max(1, length/bytesPerToken)
	if !generates(req) {
		return tokens, 0, nil
	}
	_, here := req.Body.(*proxy.BytesBody)
	if !here {
		if length < 0 || length > maxReadBytes {
			return tokens + usualAnswer, 0, nil
		}
		if held = length; all.Add(held) > maxHeldBytes {
			all.Add(-held)
			return tokens + usualAnswer, 0, nil
		}
	}
	body, err := inference.Whole(req, maxReadBytes)
	if err != nil {
		all.Add(-held)
		return 0, 0, err
	}
	return tokens + answerTokens(body), held, nil
}

// answerTokens is how many tokens the answer may have, by a request's body.
func answerTokens(body []byte) int64 {
	most, choices := int64(usualAnswer), int64(1)
	s := jsonspan.New(body)
	if !s.Object() {
		return most
	}
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		raw := s.Value()
		switch string(name.Of(body)) {
		case "max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict", "num_predict":
			if n, ok := jsonspan.Int(raw.Of(body)); ok && n >= 0 {
				most = min(n, mostAnswer)
			}
		case "n":
			if n, ok := jsonspan.Int(raw.Of(body)); ok && n > 0 {
				choices = min(n, 1024)
			}
		}
	}
	return most * choices
}

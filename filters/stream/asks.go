package stream

import (
	"bytes"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/proxy"
)

// An api is one of the interfaces by which a model generates or embeds, known by the end
// of a path. It tells how counts of tokens are called, and how a stream says that it ends badly.
type api struct {
	// provider and operation are OpenTelemetry's words for it
	// (https://opentelemetry.io/docs/specs/semconv/gen-ai/).
	provider, operation string
	// words are those in which a stream tells of an error.
	words words
}

// words are the ways to tell of an error in the midst of a stream.
type words uint8

const (
	noWords words = iota
	// openAI: data: {"error": {…}}, as OpenAI's SDKs read it, and as vLLM and
	// llama.cpp's server write it.
	openAI
	// responses: event: error, of OpenAI's responses.
	responses
	// anthropic: event: error, with the error's type.
	anthropic
	// ollama: a line {"error": "…"}.
	ollama
)

// apis by the last one or two parts of their paths, so that a prefix does not matter.
var apis = [...]struct { //nolint:gochecknoglobals // a constant table
	path string
	api
}{
	{"/chat/completions", api{"openai", "chat", openAI}},
	{"/completions", api{"openai", "text_completion", openAI}},
	{"/completion", api{"openai", "text_completion", openAI}}, // llama.cpp's own
	{"/embeddings", api{"openai", "embeddings", noWords}},
	{"/responses", api{"openai", "chat", responses}},
	{"/v1/messages", api{"anthropic", "chat", anthropic}},
	{"/api/chat", api{"ollama", "chat", ollama}},
	{"/api/generate", api{"ollama", "text_completion", ollama}},
	{"/api/embed", api{"ollama", "embeddings", noWords}},
}

// apiOf is the API that a request is for; nil: none that is known.
func apiOf(req *proxy.Request) *api {
	if !req.Header.IsPost() {
		return nil
	}
	path := req.Header.RequestURI()
	if i := bytes.IndexByte(path, '?'); i >= 0 {
		path = path[:i]
	}
	for i := range apis {
		if a := &apis[i]; len(path) >= len(a.path) && string(path[len(path)-len(a.path):]) == a.path {
			return &a.api
		}
	}
	return nil
}

// asked is what a request's body says of its answer.
type asked struct {
	model  string
	stream bool
}

// read reads a request of one of the APIs. What is no JSON asks for nothing.
func read(body []byte) (a asked) {
	s := jsonspan.New(body)
	if !s.Object() {
		return asked{}
	}
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name.Of(body)) {
		case "model":
			a.model, _ = jsonspan.Unquote(s.Value().Of(body))
		case "stream":
			a.stream = string(s.Value().Of(body)) == "true"
		default:
			s.Value()
		}
	}
	return a
}

// modelIn finds the name of the model in the beginning of a request or an answer, cut
// off or not: at the top, or in what opens a stream of Anthropic's or of OpenAI's responses.
func modelIn(text []byte) string {
	s := jsonspan.New(text)
	if !s.Object() {
		return ""
	}
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name.Of(text)) {
		case "model":
			model, _ := jsonspan.Unquote(s.Value().Of(text))
			return model
		case "message", "response":
			if s.Kind() == '{' {
				if model := modelIn(text[s.Pos():]); model != "" {
					return model
				}
			}
		}
		s.Value()
	}
	return ""
}

// modelOf is the model that a request names, as far as that is known without waiting.
// It goes into the request's trace, for whoever comes after.
func modelOf(req *proxy.Request) string {
	if req.Trace.Model == "" {
		if body, ok := req.Body.(*proxy.BytesBody); ok {
			req.Trace.Model = modelIn(body.Bytes())
		}
	}
	return req.Trace.Model
}

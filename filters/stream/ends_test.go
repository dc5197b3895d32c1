package stream_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/filters/stream"
	"github.com/fridaymesh/friday/proxy"
)

// TestBadEnds: what a stream says of its own end, where the server breaks off.
func TestBadEnds(t *testing.T) {
	reset := errors.New("connection reset")
	const (
		begun  = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"
		ended  = "the upstream connection ended in the middle of the answer"
		encode = "gzip"
	)
	for _, test := range []struct {
		name, path, contentType, encoding string
		length                            int64
		cause                             error
		passed, want                      string
	}{
		{name: "OpenAI", path: "/v1/chat/completions", passed: begun, want: said(ended, "upstream_reset")},
		{name: "CRLF", path: "/v1/completions?x=1", passed: "data: a\r\n\r\n", want: said(ended, "upstream_reset")},
		{name: "nothing came", path: "/proxy/a/v1/chat/completions", want: said(ended, "upstream_reset")},
		{name: "in an event", path: "/v1/chat/completions", passed: "data: {\"cho"},
		{name: "behind a line", path: "/v1/chat/completions", passed: "data: a\n"},
		{name: "it was over", path: "/v1/chat/completions", passed: begun + "data: [DONE]\n\n"},
		{name: "no API", path: "/generate_stream", passed: begun},
		{name: "encoded", path: "/v1/chat/completions", encoding: encode, passed: begun},
		{name: "of known length", path: "/v1/chat/completions", length: 1000, passed: begun},
		{name: "plain chunks", path: "/v1/chat/completions", contentType: "text/plain", passed: begun},
		{
			name: "Anthropic", path: "/v1/messages", passed: begun,
			want: "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"" + ended + "\"}}\n\n",
		},
		{
			name: "responses", path: "/v1/responses", passed: "data: {\"type\":\"response.created\",\"sequence_number\":0}\n\n",
			want: "event: error\ndata: {\"type\":\"error\",\"code\":\"upstream_reset\",\"message\":\"" + ended + "\",\"param\":null,\"sequence_number\":1}\n\n",
		},
		{name: "Ollama", path: "/api/chat", contentType: ndjson, passed: "{}\n", want: "{\"error\":\"" + ended + "\"}\n"},
		{name: "Ollama, in a line", path: "/api/chat", contentType: ndjson, passed: "{"},
		{name: "the caller left", path: "/v1/chat/completions", cause: proxy.ErrCallerGone, passed: begun},
		{name: "the route's timeout", path: "/v1/chat/completions", cause: proxy.ErrTimeout, passed: begun, want: said("upstream request timeout", "timeout")},
		{name: "the drain's end", path: "/v1/chat/completions", cause: proxy.ErrDraining, passed: begun, want: said("draining", "draining")},
	} {
		t.Run(test.name, func(t *testing.T) {
			contentType := test.contentType
			if contentType == "" {
				contentType = sse
			}
			body := newSource(chunk{text: test.passed}, chunk{err: reset})
			if test.passed == "" {
				body.chunks = body.chunks[1:]
			}
			if body.length = -1; test.length > 0 {
				body.length = test.length
			}
			house := filtertest.NewHouse(t, 1)
			h := proxy.Chain(proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
				r := filtertest.Answer(200, contentType, "")
				if test.encoding != "" {
					r.Header.Set("Content-Encoding", test.encoding)
				}
				r.Body = body
				return r, nil
			}), house.Build(t, stream.Factory{}, ""))
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			resp, err := h.Handle(ctx, filtertest.Request(test.path, `{"model":"m","stream":true}`))
			require.NoError(t, err)
			if test.passed != "" {
				_, err = io.ReadFull(resp.Body, make([]byte, len(test.passed)))
				require.NoError(t, err)
			}
			if test.cause != nil {
				cancel(test.cause)
			}
			rest, err := io.ReadAll(small{resp.Body})
			require.ErrorIs(t, err, reset, "never a clean end")
			require.Equal(t, test.want, string(rest))
			require.NoError(t, resp.Close())
		})
	}
}

// TestTokens: what answers say of their cost is counted, whatever their form.
func TestTokens(t *testing.T) {
	const (
		plain    = "application/json"
		chat     = `{"id":"x","model":"served","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}`
		streamed = "data: {\"model\":\"served\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n" +
			"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7}}\n\ndata: [DONE]\n\n"
	)
	inMemory := func(text string) proxy.Body { return proxy.NewBytesBody([]byte(text)) }
	pieces := func(text string) proxy.Body {
		s := newSource(chunk{text: text[:len(text)/2]}, chunk{text: text[len(text)/2:]})
		s.length = int64(len(text))
		return s
	}
	coming := func(text string) proxy.Body { return newSource(chunk{text: text[:30]}, chunk{text: text[30:]}) }
	for _, test := range []struct {
		name, path, asks, contentType, answer string
		body                                  func(string) proxy.Body
		model, operation, provider            string
		kinds                                 int // of tokens counted
	}{
		{"chat in memory", "/v1/chat/completions", `{"model":"m"}`, plain, chat, inMemory, "m", "chat", "openai", 2},
		{"chat in pieces", "/v1/chat/completions", `{"model":"m"}`, plain + "; charset=utf-8", chat, pieces, "m", "chat", "openai", 2},
		{"the server's name", "/v1/completions", `{}`, plain, chat, pieces, "served", "text_completion", "openai", 2},
		{"embeddings", "/v1/embeddings", `{"model":"m"}`, plain, `{"usage":{"prompt_tokens":5,"total_tokens":5}}`, inMemory, "m", "embeddings", "openai", 1},
		{"a stream", "/v1/chat/completions", `{"model":"m"}`, sse, streamed, coming, "m", "chat", "openai", 2},
		{"a stream's own name", "/v1/chat/completions", `{}`, sse, streamed, coming, "served", "chat", "openai", 2},
		{"Ollama", "/api/generate", `{"model":"m"}`, ndjson, `{"model":"m","response":"a"}` + "\n" + `{"done":true,"prompt_eval_count":5,"eval_count":7}` + "\n", coming, "m", "text_completion", "ollama", 2},
		{"Anthropic", "/v1/messages", `{"model":"m"}`, plain, `{"model":"x","usage":{"input_tokens":5,"output_tokens":7}}`, pieces, "m", "chat", "anthropic", 2},
		{"another path", "/v1/other", `{"model":"m"}`, plain, chat, pieces, "", "", "", 0},
		{"no usage", "/v1/chat/completions", `{"model":"m"}`, plain, `{"choices":[]}`, pieces, "", "", "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			house := filtertest.NewHouse(t, 1)
			h := proxy.Chain(proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
				r := filtertest.Answer(200, test.contentType, "")
				r.Body = test.body(test.answer)
				return r, nil
			}), house.Build(t, stream.Factory{}, "first_chunk_timeout {seconds: 100}"))
			resp, err := h.Handle(t.Context(), filtertest.Request(test.path, test.asks))
			require.NoError(t, err)
			require.Equal(t, test.answer, filtertest.ReadBody(t, resp))
			require.Equal(t, test.kinds, house.Count(t, "gen_ai_client_token_usage"))
			require.Equal(t, test.kinds, house.Count(t, "gen_ai_client_token_usage", "cluster", filtertest.Cluster,
				"gen_ai_request_model", test.model, "gen_ai_operation_name", test.operation, "gen_ai_provider_name", test.provider))
			if test.kinds == 2 {
				require.Equal(t, 1, house.Count(t, "gen_ai_client_token_usage", "gen_ai_token_type", "output"))
			}
			answers := 1
			if test.path == "/v1/other" {
				answers = 0
			}
			require.Equal(t, answers, house.Count(t, "gen_ai_client_operation_duration_seconds", "error_type", ""))
			streams := 0
			if test.contentType == sse {
				require.Equal(t, 1, house.Count(t, "friday_stream_first_chunk_seconds", "model", test.model))
				streams = 1
			}
			if test.contentType != ndjson {
				require.Equal(t, streams, house.Count(t, "gen_ai_server_time_to_first_token_seconds"))
				require.Equal(t, streams, house.Count(t, "gen_ai_server_time_per_output_token_seconds"))
			}
		})
	}
}

// What fails is counted by why.
func TestFailuresOfAnAPIAreCounted(t *testing.T) {
	cut := errors.New("reset")
	for _, test := range []struct {
		name, want string
		answer     func() (*proxy.Response, error)
	}{
		{"refused", "429", func() (*proxy.Response, error) { return filtertest.Answer(429, "application/json", "{}"), nil }},
		{"no answer", "UF", func() (*proxy.Response, error) {
			return nil, &proxy.Error{Status: 503, Flag: proxy.FlagUpstreamConnection}
		}},
		{"cut short", "UC", func() (*proxy.Response, error) {
			r := filtertest.Answer(200, sse, "")
			r.Body = newSource(chunk{text: "data: {\"a\":1}\n\n"}, chunk{err: &proxy.Error{Flag: proxy.FlagUpstreamReset, Err: cut}})
			return r, nil
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			house := filtertest.NewHouse(t, 1)
			h := proxy.Chain(proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) { return test.answer() }),
				house.Build(t, stream.Factory{}, ""))
			resp, err := h.Handle(t.Context(), filtertest.Request("/v1/chat/completions", `{"model":"m"}`))
			if err == nil {
				_, _ = io.ReadAll(resp.Body)
				require.NoError(t, resp.Close())
			}
			require.Equal(t, 1, house.Count(t, "gen_ai_client_operation_duration_seconds", "error_type", test.want, "gen_ai_request_model", "m"))
			require.Equal(t, 1, house.Count(t, "gen_ai_client_operation_duration_seconds"))
		})
	}
}

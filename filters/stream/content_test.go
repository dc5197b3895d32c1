package stream

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy"
)

// TestContent holds lines as real servers write them.
func TestContent(t *testing.T) {
	for _, test := range []struct {
		kind kind
		line string
		want bool
	}{
		{events, ``, false},
		{events, `: ping - 2026-11-25`, false},
		{events, `:`, false},
		{events, `event: message_start`, false},
		{events, `id: 7`, false},
		{events, `retry: 1000`, false},
		{events, `data:`, false},
		{events, `data: `, false},
		{events, `data: [DONE]`, false},
		{events, `data: hello`, true},
		{events, `data: 7`, true},
		{events, `data: {"anything":"else"}`, true},
		{events, `data: {"broken`, true},

		// OpenAI's chat, by OpenAI, vLLM, llama.cpp.
		{events, `data: {"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}]}`, false},
		{events, `data: {"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"model":"m"}`, false},
		{events, `data: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": " "}, "finish_reason": null}]}`, true},
		{events, `data:{"choices":[{"delta":{"content":"a"}}]}`, true},
		{events, `data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}`, true},
		{events, `data: {"choices":[{"delta":{"reasoning":"hm","content":""}}]}`, true},
		{events, `data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":""}}]}}]}`, true},
		{events, `data: {"choices":[{"delta":{"tool_calls":[]}}]}`, false},
		{events, `data: {"choices":[{"delta":{}},{"delta":{"content":"b"}}]}`, true},
		{events, `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`, true},
		{events, `data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}`, false},
		{events, `data: {"choices":[],"prompt_filter_results":[{"x":1}]}`, false},
		{events, `data: {"choices":null}`, false},
		{events, `data: {"error":{"message":"no"}}`, true},
		// Its completions.
		{events, `data: {"object":"text_completion","choices":[{"text":"","index":0,"finish_reason":null}]}`, false},
		{events, `data: {"object":"text_completion","choices":[{"text":"a","index":0,"finish_reason":null}]}`, true},
		// Its responses.
		{events, `data: {"type":"response.created","sequence_number":0,"response":{"id":"r","output":[]}}`, false},
		{events, `data: {"type":"response.in_progress","response":{"id":"r"}}`, false},
		{events, `data: {"type":"response.output_item.added","item":{"type":"message"}}`, false},
		{events, `data: {"type":"response.output_text.delta","delta":"a"}`, true},
		{events, `data: {"type":"response.completed","response":{}}`, true},

		// Anthropic.
		{events, `data: {"type":"message_start","message":{"id":"m","role":"assistant","content":[],"usage":{"input_tokens":9}}}`, false},
		{events, `data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`, false},
		{events, `data: {"type": "ping"}`, false},
		{events, `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}`, true},
		{events, `data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}}`, true},

		// Cohere, llama.cpp's own, TGI, Triton.
		{events, `data: {"id":"x","type":"message-start","delta":{"message":{"role":"assistant"}}}`, false},
		{events, `data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"a"}}}}`, true},
		{events, `data: {"index":0,"content":"","tokens":[],"stop":false,"id_slot":-1}`, false},
		{events, `data: {"index":0,"content":" a","tokens":[1],"stop":false}`, true},
		{events, `data: {"content":"","stop":true,"timings":{}}`, true},
		{events, `data:{"index":1,"token":{"id":3,"text":"a"}}`, true},
		{events, `data: {"model_name":"m","text_output":""}`, false},
		{events, `data: {"model_name":"m","text_output":"a"}`, true},

		// Ollama.
		{lines, ``, false},
		{lines, `{"model":"m","message":{"role":"assistant","content":""},"done":false}`, false},
		{lines, `{"model":"m","message":{"role":"assistant","content":"a"},"done":false}`, true},
		{lines, `{"model":"m","message":{"role":"assistant","content":"","thinking":"hm"},"done":false}`, true},
		{lines, `{"model":"m","response":"","done":false}`, false},
		{lines, `{"model":"m","response":"","thinking":"hm","done":false}`, true},
		{lines, `{"model":"m","response":"a","done":false}`, true},
		{lines, `{"model":"m","response":"","done":true,"eval_count":3}`, true},
		{lines, `{"status":"pulling manifest"}`, true},
		{lines, `data: {"choices":[]}`, true},
	} {
		_, got := test.kind.content([]byte(test.line))
		require.Equal(t, test.want, got, test.line)
		_, got = test.kind.content([]byte(test.line + " "))
		require.Equal(t, test.want, got, test.line)
	}
}

func TestUsage(t *testing.T) {
	for _, test := range []struct {
		end  string
		want usage
	}{
		{``, usage{-1, -1}},
		{`{"usage":null}`, usage{-1, -1}},
		{`data: {"choices":[],"usage":{"prompt_tokens":11,"total_tokens":14,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4}}}` + "\n\ndata: [DONE]\n\n", usage{11, 3}},
		{`oices":[],"usage": {"completion_tokens": 3, "prompt_tokens": 11}, "timings": {"prompt_n": 5}}`, usage{11, 3}},
		{`{"object":"list","usage":{"prompt_tokens":8,"total_tokens":8}}`, usage{8, -1}},
		{`"usage":{"prompt_tokens":1,"completion_tokens":1}} "usage":{"prompt_tokens":1,"completion_tokens":2}}`, usage{1, 2}},
		{`"usage":{"prompt_tokens":1,"completion_tokens":2}} data: {"usage":null}`, usage{1, 2}},
		{`{"type":"message_delta","usage":{"input_tokens":5,"output_tokens":15}}`, usage{5, 15}},
		{`{"model":"m","done":true,"prompt_eval_count":26,"prompt_eval_duration":13,"eval_count":298}`, usage{26, 298}},
		{`{"content":"say \"usage\":{\"prompt_tokens\":1}"}`, usage{-1, -1}},
		{`"usage":{"prompt_tokens":-1,"completion_tokens":1.5}`, usage{-1, -1}},
		{`"usage":{"prompt_tokens":9`, usage{9, -1}},
		{`"usage"`, usage{-1, -1}},
	} {
		a := &api{words: openAI}
		if strings.Contains(test.end, "eval_count") {
			a.words = ollama
		}
		require.Equal(t, test.want, a.usageIn([]byte(test.end)), test.end)
	}
}

func TestModelIn(t *testing.T) {
	for text, want := range map[string]string{
		`{"model":"a"}`: "a",
		`{"messages":[{"model":"no"}],"model":"b\u0021"}`:        "b!",
		`{"type":"message_start","message":{"model":"c"}}`:       "c",
		`{"type":"response.created","response":{"model":"d"}}`:   "d",
		`{"message":{"role":"x"},"model":"e"}`:                   "e",
		`{"message":{"role":"x"},"model":7}`:                     "",
		`{"id":"x","model":"f","choices":[{"message":{"conten`:   "f",
		`{"id":"x","choices":[{"message":{"content":"\"model\":`: "",
		`[]`: "", ``: "",
	} {
		require.Equal(t, want, modelIn([]byte(text)), text)
	}
}

func TestWords(t *testing.T) {
	late := &proxy.Error{Status: 504, Flag: proxy.FlagTimeout, Message: `too "late"`}
	for _, test := range []struct {
		words words
		kind  kind
		want  string
	}{
		{openAI, events, `data: {"error":{"message":"too \"late\"","type":"server_error","param":null,"code":"timeout"}}` + "\n\n"},
		{responses, events, "event: error\n" + `data: {"type":"error","code":"timeout","message":"too \"late\"","param":null,"sequence_number":8}` + "\n\n"},
		{anthropic, events, "event: error\n" + `data: {"type":"error","error":{"type":"timeout_error","message":"too \"late\""}}` + "\n\n"},
		{ollama, lines, `{"error":"too \"late\""}` + "\n"},
		{ollama, events, ""},
		{openAI, lines, ""},
		{noWords, events, ""},
	} {
		require.Equal(t, test.want, string(test.words.tell(test.kind, late, []byte(`data: {"sequence_number":7}`+"\n\n"))))
	}
	busy := &proxy.Error{Status: 503, Message: "busy"}
	require.Contains(t, string(anthropic.tell(events, busy, nil)), "overloaded_error")
	require.Contains(t, string(openAI.tell(events, busy, nil)), `"code":"status_503"`)

	// The server's own words are better than any made here.
	require.Equal(t, "data: { \"error\":{\"message\":\"own\"}}\n\n", string(openAI.repeat(busy, []byte("{\n\"error\":{\"message\":\"own\"}}\n"))))
	require.Equal(t, "event: error\ndata: {\"error\":{}}\n\n", string(anthropic.repeat(busy, []byte(`{"error":{}}`))))
	for _, answer := range []string{"", "busy", `{"error":"text"}`, `{"error":{}`, `{"detail":"x"}`} {
		require.Equal(t, string(openAI.tell(events, busy, nil)), string(openAI.repeat(busy, []byte(answer))), answer)
	}
	require.Contains(t, string(responses.repeat(busy, []byte(`{"error":{}}`))), `"message":"busy"`)
}

// FuzzContent: whatever a server writes, nothing panics, and what it says is a part of
// the line.
func FuzzContent(f *testing.F) {
	f.Add(`data: {"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":1}}`)
	f.Add(`{"model":"m","message":{"role":"assistant"},"done":false}`)
	f.Fuzz(func(t *testing.T, line string) {
		for _, k := range []kind{events, lines} {
			payload, _ := k.content([]byte(line))
			require.Contains(t, line, string(payload))
		}
		for _, w := range []words{openAI, ollama} {
			u := (&api{words: w}).usageIn([]byte(line))
			require.GreaterOrEqual(t, u.input, int64(-1))
		}
		modelIn([]byte(line))
		told := openAI.repeat(&proxy.Error{Status: 500, Message: line}, []byte(line))
		require.Equal(t, 2, strings.Count(string(told), "\n"), "one event")
	})
}

func BenchmarkContent(b *testing.B) {
	line := []byte(`data: {"id":"chatcmpl-abc","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}`)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		events.content(line)
	}
}

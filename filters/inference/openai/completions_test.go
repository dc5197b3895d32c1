package openai_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/inference/openai"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

func TestCompletionsMatch(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/v1/completions":        true,
		"/openai/v1/completions": true,
		"/v1/chat/completions":   false,
		"/v1/completions/":       false,
		"/completions":           false,
		"/v1/embeddings":         false,
	} {
		target, ok := openai.Completions{}.Match(path)
		require.Equal(t, want, ok, path)
		if ok {
			require.Equal(t, wire.Target{Operation: "completions", Usage: true, OptIn: true}, target)
		}
	}
}

func TestCompletionsRequest(t *testing.T) {
	t.Parallel()
	tests := []struct {
		body        string
		items, each int // 0: not understood
	}{
		{`{"prompt":"a"}`, 1, 1},
		{`{"prompt":["a","b"],"model":"m","n":2,"best_of":3,"echo":true,"logprobs":2}`, 2, 2},
		{`{"prompt":[1,2],"n":null,"seed":null,"stream":null}`, 1, 1},
		{`{"prompt":[[1,2],[3]],"stream":false,"suffix":"x"}`, 2, 1},
		{`{"prompt":["a","b"],"stop":["x","y"],"stop_token_ids":[1,2]}`, 2, 1},
		{`{"prompt":"a","n":128}`, 1, 128},

		{`{"prompt":"a","n":129}`, 0, 0},
		{`{"prompt":"a","n":0}`, 0, 0},
		{`{"prompt":"a","n":1.0}`, 0, 0},
		{`{"prompt":"a","n":"1"}`, 0, 0},
		{`{"prompt":"a","n":1,"n":1}`, 0, 0},
		{`{"prompt":"a","stream":true}`, 0, 0},
		{`{"prompt":"a","stream":1}`, 0, 0},
		{`{"prompt":"a","stream":"yes"}`, 0, 0},
		{`{"prompt":"a","seed":1}`, 0, 0},
		{`{"prompt":"a","seed":1,"temperature":0}`, 0, 0},
		{`{"prompt":"a","prompt_embeds":"QQ=="}`, 0, 0},
		{`{"prompt":"a","kv_transfer_params":{}}`, 0, 0},
		{`{"prompt":["a","b"],"other":["x","y"]}`, 0, 0},
		{`{"prompt":["a","b"],"model":7}`, 0, 0},
		{`{"prompt":""}`, 0, 0},
		{`{"prompt":null}`, 0, 0},
		{`{"prompt":["a",1]}`, 0, 0},
		{`{"prompt":"a","prompt":"b"}`, 0, 0},
		{`{"model":"m"}`, 0, 0},
		{`{"prompt":"a"}}`, 0, 0},
		{`["a"]`, 0, 0},
		{``, 0, 0},
	}
	for _, test := range tests {
		m := openai.Completions{}.Request(wire.Target{}, []byte(test.body))
		require.Equal(t, test.items > 0, m != nil, test.body)
		if m != nil {
			require.Equal(t, test.items, m.Items, test.body)
			require.Equal(t, test.each, m.Each, test.body)
		}
	}
}

func TestCompletionsKey(t *testing.T) {
	t.Parallel()
	want := openai.Completions{}.Request(wire.Target{}, []byte(`{"model":"m","prompt":"a","n":2,"suffix":"x","temperature":0.5}`))
	for body, equal := range map[string]bool{
		`{"temperature":0.5,"suffix":"x","n":2,"prompt":["b","c"],"model":"m"}`:         true,
		`{"model":"m","prompt":"a","n":3,"suffix":"x","temperature":0.5}`:               false,
		`{"model":"m","prompt":"a","n":2,"suffix":"y","temperature":0.5}`:               false,
		`{"model":"m","prompt":"a","n":2,"suffix":"x","temperature":0.50}`:              false,
		`{"model":"m","prompt":"a","n":2,"suffix":"x","temperature":0.5,"best_of":2}`:   false,
		`{"model":"m","prompt":"a","n":2,"suffix":"x","temperature":0.5,"echo":true}`:   false,
		`{"model":"m","prompt":[1],"n":2,"suffix":"x","temperature":0.5}`:               false,
		`{"model":"m","prompt":"a","n":2,"suffix":"x","temperature":0.5,"stop":["\n"]}`: false,
	} {
		m := openai.Completions{}.Request(wire.Target{}, []byte(body))
		require.NotNil(t, m, body)
		require.Equal(t, equal, m.Key == want.Key, body)
	}
}

func TestCompletionsAnswer(t *testing.T) {
	t.Parallel()
	choices := func(indexes ...int) string {
		list := ""
		for _, i := range indexes {
			list += fmt.Sprintf(`,{"index":%d,"text":"a"}`, i)
		}
		return `{"choices":[` + list[min(1, len(list)):] + `]}`
	}
	for _, test := range []struct {
		items  int
		answer string
		each   int // 0: refused
	}{
		{2, choices(0, 1), 1},
		{2, choices(3, 1, 0, 2), 2},
		{1, choices(0, 1, 2), 3},
		{2, choices(0, 1, 2), 0},
		{2, choices(0), 0},
		{2, choices(), 0},
		{2, choices(0, 0, 1, 2), 0},
		{2, choices(1, 2), 0},
		{2, choices(0, 1, 2, 256), 0},
		{2, `{"choices":null}`, 0},
		{2, `{"data":[]}`, 0},
	} {
		m, err := openai.Completions{}.Answer(test.items, []byte(test.answer))
		require.Equal(t, test.each > 0, err == nil, "%s %v", test.answer, err)
		if err == nil {
			require.Equal(t, test.each, m.Each, test.answer)
		}
	}
}

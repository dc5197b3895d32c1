package inference_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/inference"
)

func embeds(t testing.TB, bodies ...string) []*inference.Call {
	t.Helper()
	calls := make([]*inference.Call, len(bodies))
	for i, body := range bodies {
		calls[i] = understand(t, pathOpenAI, body)
	}
	return calls
}

func TestTokenizersAsk(t *testing.T) {
	t.Parallel()
	calls := embeds(t, `{"model":"m\u00e9","input":"a\n"}`, `{"model":"m\u00e9","input":["b","é"]}`)
	for flavour, want := range map[inference.Tokenizer][]string{
		inference.TEI:      {`{"inputs":["a\n","b","é"]}`},
		inference.VLLM:     {`{"model":"mé","prompt":"a\n"}`, `{"model":"mé","prompt":"b"}`, `{"model":"mé","prompt":"é"}`},
		inference.LlamaCPP: {`{"content":"a\n","add_special":true}`, `{"content":"b","add_special":true}`, `{"content":"é","add_special":true}`},
	} {
		bodies, ok := flavour.Ask(calls)
		require.True(t, ok)
		require.Len(t, bodies, len(want))
		for i, body := range bodies {
			require.Equal(t, want[i], string(body), flavour.String())
			require.True(t, json.Valid(body))
		}
	}
	bodies, ok := inference.VLLM.Ask([]*inference.Call{understand(t, pathCompletions, `{"prompt":["a","b"]}`).Slice(1, 2)})
	require.True(t, ok)
	require.Equal(t, `{"prompt":"b"}`, string(bodies[0]))

	_, ok = inference.TEI.Ask(embeds(t, `{"input":[1,2]}`))
	require.False(t, ok, "token ids are counted already")
	_, ok = inference.TEI.Ask([]*inference.Call{understand(t, pathV1, v1Body)})
	require.False(t, ok, "no usage")
	require.Equal(t, "unknown", inference.Tokenizer(9).String())
}

func TestTokenizersCount(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		flavour inference.Tokenizer
		answers []string
		want    []int // nil: not understood
	}{
		{inference.TEI, []string{`[[{"id":1},{"id":2}],[{"id":3}]]`}, []int{2, 1}},
		{inference.TEI, []string{`[[1],[2],[3]]`}, nil},
		{inference.TEI, []string{`[[1]]`}, nil},
		{inference.TEI, []string{`[[1],2]`}, nil},
		{inference.TEI, []string{`{"tokens":[]}`}, nil},
		{inference.TEI, []string{`[[1],[2]]`, `[]x`}, nil},
		{inference.VLLM, []string{`{"count":3,"tokens":[1,2,3],"max_model_len":5}`, ` {"count": 1}`}, []int{3, 1}},
		{inference.VLLM, []string{`{"tokens":[1]}`, `{"tokens":[1]}`}, nil},
		{inference.VLLM, []string{`{"count":1}`}, nil},
		{inference.VLLM, []string{`{"count":1}`, `{"count":-1}`}, nil},
		{inference.VLLM, []string{`{"count":1}`, `{"count":1,"count":1}`}, nil},
		{inference.VLLM, []string{`{"count":1}`, `[]`}, nil},
		{inference.VLLM, []string{`{"count":1}`, `{"count":1`}, nil},
		{inference.LlamaCPP, []string{`{"tokens":[1,2]}`, `{"tokens":[{"id":1,"piece":"a"}]}`}, []int{2, 1}},
		{inference.LlamaCPP, []string{`{"tokens":[1,2]}`, `{"tokens":[]}`}, nil},
		{inference.LlamaCPP, []string{`{"tokens":[1,2]}`, `{"tokens":2}`}, nil},
	} {
		answers := make([][]byte, len(test.answers))
		for i, answer := range test.answers {
			answers[i] = []byte(answer)
		}
		got, err := test.flavour.Count(2, answers)
		require.Equal(t, test.want, got, "%s %v", test.flavour, test.answers)
		if test.want == nil {
			require.ErrorIs(t, err, inference.ErrTokens)
		}
	}
}

func TestSplitExact(t *testing.T) {
	t.Parallel()
	calls := embeds(t, `{"input":"a"}`, `{"input":["longer than the others","c"]}`)
	usage := func(usage string) []byte {
		return []byte(`{"data":[{"index":0},{"index":1},{"index":2}],"usage":` + usage + `}`)
	}
	for _, test := range []struct {
		usage string
		exact bool
		want  [2]string
	}{
		{`{"prompt_tokens":9,"total_tokens":9}`, true, [2]string{`{"prompt_tokens":4,"total_tokens":4}`, `{"prompt_tokens":5,"total_tokens":5}`}},
		{`{"total_tokens":9,"x":{"prompt_tokens":1}}`, true, [2]string{`{"total_tokens":4,"x":{"prompt_tokens":0}}`, `{"total_tokens":5,"x":{"prompt_tokens":1}}`}},
		// The tokenizer counts otherwise: in proportion.
		{`{"prompt_tokens":30,"total_tokens":9}`, false, [2]string{`{"prompt_tokens":3,"total_tokens":1}`, `{"prompt_tokens":27,"total_tokens":8}`}},
		{`{"x":9}`, false, [2]string{`{"x":1}`, `{"x":8}`}},
		{`null`, false, [2]string{`null`, `null`}},
	} {
		answers, exact, err := inference.SplitExact(calls, usage(test.usage), []int{4, 3, 2})
		require.NoError(t, err)
		require.Equal(t, test.exact, exact, test.usage)
		require.Equal(t, `{"data":[{"index":0}],"usage":`+test.want[0]+`}`, string(answers[0]))
		require.Equal(t, `{"data":[{"index":0},{"index":1}],"usage":`+test.want[1]+`}`, string(answers[1]))
	}
	_, _, err := inference.SplitExact(calls, []byte(`{}`), []int{4, 3, 2})
	require.ErrorIs(t, err, inference.ErrMismatch)
	alone := []byte(`{"data":[{"index":0}]}`)
	answers, exact, err := inference.SplitExact(calls[:1], alone, []int{4})
	require.NoError(t, err)
	require.True(t, exact, "what a lone call was told is its own")
	require.Equal(t, [][]byte{alone}, answers)
}

func FuzzTokenizerCount(f *testing.F) {
	for flavour := range uint8(3) {
		for _, answer := range []string{`[[1],[2,3]]`, `{"count":3}`, `{"tokens":[1,2]}`} {
			f.Add(flavour, []byte(answer), []byte(answer))
		}
	}
	f.Fuzz(func(t *testing.T, flavour uint8, a, b []byte) {
		counts, err := inference.Tokenizer(flavour%3).Count(2, [][]byte{a, b})
		if err != nil {
			require.ErrorIs(t, err, inference.ErrTokens)
			return
		}
		require.Len(t, counts, 2)
		require.True(t, json.Valid(a) && json.Valid(b))
		for _, n := range counts {
			require.GreaterOrEqual(t, n, 0)
		}
	})
}

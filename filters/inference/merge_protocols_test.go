package inference_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/inference"
)

func TestOfFindsTheProtocol(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ path, body, protocol, operation, model string }{
		{pathCompletions, `{"model":"m","prompt":"a"}`, "openai_completions", "completions", "m"},
		{pathCohere, `{"model":"m","query":"q","documents":["a"]}`, "cohere", "rerank", "m"},
		{pathScore, `{"model":"m","text_1":"q","text_2":["a"]}`, "cohere", "score", "m"},
		{pathRerank, `{"query":"q","documents":["a"]}`, "cohere", "rerank", ""},
		{pathRerank, `{"query":"q","texts":["a"]}`, "tei", "rerank", ""},
		{pathRerank, `{"query":"q","texts":["a"],"documents":["a"]}`, "", "", ""},
		{"/v1/rerank", `{"query":"q","texts":["a"]}`, "", "", ""},
		{pathEmbed, `{"inputs":"a"}`, "tei", "embed", ""},
		{"/embed_sparse", `{"inputs":"a"}`, "tei", "embed_sparse", ""},
		{pathPredict, `{"inputs":"a"}`, "tei", "predict", ""},
		{pathV1, `{"instances":[1]}`, "kserve_v1", "predict", "m"},
		{pathV1, `{"inputs":[1]}`, "tf_serving", "predict", "m"},
		{pathTFRows, `{"instances":[1]}`, "tf_serving", "predict", "m"},
		{pathTFColumns, `{"inputs":{"x":[1]}}`, "tf_serving", "predict", "m"},
		{"/v1/models/m/versions/3:predict", `{"instances":[1]}`, "tf_serving", "predict", "m"},

		// Only passed through: one call is about one thing, or what it is about is not said.
		{"/predictions/resnet", `{"instances":[1]}`, "", "", ""}, // TorchServe
		{"/predictions/resnet/1.0", `{"inputs":"a"}`, "", "", ""},
		{"/v1/models/m:explain", `{"instances":[1]}`, "", "", ""},
		{"/v1/models/m:classify", `{"examples":[{"x":1}]}`, "", "", ""},
		{"/v1/models/m/versions/3:regress", `{"examples":[{"x":1}]}`, "", "", ""},
		{"/v1/chat/completions", `{"prompt":"a"}`, "", "", ""},
		{"/tokenize", `{"inputs":"a"}`, "", "", ""},
		{"/", `{"inputs":"a"}`, "", "", ""},
	} {
		call, err := inference.Of(request(test.path, test.body), 1<<20)
		require.NoError(t, err)
		require.Equal(t, test.protocol != "", call != nil, "%s %s", test.path, test.body)
		if call != nil {
			require.Equal(t, test.protocol, call.Protocol)
			require.Equal(t, test.operation, call.Operation)
			require.Equal(t, test.model, call.Model)
			require.Equal(t, test.protocol == "openai_completions", call.OptIn)
		}
	}
}

// texts is what requests and an answer become.
type texts struct {
	name, path string
	bodies     []string
	merged     string
	answer     string
	answers    []string
}

func TestMergeAndSplitMoreTexts(t *testing.T) {
	t.Parallel()
	for _, test := range []texts{
		{
			name: "completions", path: pathCompletions,
			bodies: []string{`{"n":2, "prompt" : "a" }`, `{"prompt":["b", "c"],"n":2}`},
			merged: `{"n":2, "prompt" : ["a","b", "c"] }`,
			answer: `{"id":"x","choices":[{"index":0,"text":"1"},{"text":"2","index" : 1},{"index":5,"text":"333"},{"index":2,"text":"1"},{"index":3,"text":"2"},{"index":4,"text":"22"}],
				"usage":{"prompt_tokens":3,"completion_tokens":20,"total_tokens":23,"completion_tokens_details":{"reasoning_tokens":10}},"model":"m"}`,
			// Of 9 bytes of text, 2 are the first's.
			answers: []string{
				`{"id":"x","choices":[{"index":0,"text":"1"},{"text":"2","index" : 1}],
				"usage":{"prompt_tokens":1,"completion_tokens":4,"total_tokens":5,"completion_tokens_details":{"reasoning_tokens":2}},"model":"m"}`,
				`{"id":"x","choices":[{"index":0,"text":"1"},{"index":1,"text":"2"},{"index":2,"text":"22"},{"index":3,"text":"333"}],
				"usage":{"prompt_tokens":2,"completion_tokens":16,"total_tokens":18,"completion_tokens_details":{"reasoning_tokens":8}},"model":"m"}`,
			},
		},
		{
			name: "rerank", path: pathCohere,
			bodies: []string{
				`{"top_n": 2, "documents":["a" , "b"],"query":"q"}`,
				`{"query":"q","documents":["c"]}`,
				`{"query":"q","documents":["d","e"],"top_n":7}`,
			},
			merged: `{"top_n": 5, "documents":["a" , "b","c","d","e"],"query":"q"}`,
			answer: `{"results":[{"index":3,"relevance_score":0.90},{"relevance_score":0.5,"index":1,"document":{"text":"b"}},{"index":4,"relevance_score":0.5},{"index":2,"relevance_score":0.1},{"index":0,"relevance_score":1e-7}],
				"meta":{"api_version":{"version":"2"},"billed_units":{"search_units":1},"tokens":{"input_tokens":30}},"id":"x"}`,
			answers: []string{
				`{"results":[{"relevance_score":0.5,"index":1,"document":{"text":"b"}},{"index":0,"relevance_score":1e-7}],
				"meta":{"api_version":{"version":"2"},"billed_units":{"search_units":1},"tokens":{"input_tokens":12}},"id":"x"}`,
				`{"results":[{"index":0,"relevance_score":0.1}],
				"meta":{"api_version":{"version":"2"},"billed_units":{"search_units":0},"tokens":{"input_tokens":6}},"id":"x"}`,
				`{"results":[{"index":0,"relevance_score":0.90},{"index":1,"relevance_score":0.5}],
				"meta":{"api_version":{"version":"2"},"billed_units":{"search_units":0},"tokens":{"input_tokens":12}},"id":"x"}`,
			},
		},
		{
			name: "score", path: pathScore,
			bodies:  []string{`{"text_1":"q","text_2":"a"}`, `{"text_2":["b","c"],"text_1":"q"}`},
			merged:  `{"text_1":"q","text_2":["a","b","c"]}`,
			answer:  `{"data":[{"index":0,"object":"score","score":0.10},{"index":1,"score":0.3},{"index":2,"score":0.2}],"usage":{"prompt_tokens":9}}`,
			answers: []string{`{"data":[{"index":0,"object":"score","score":0.10}],"usage":{"prompt_tokens":3}}`, `{"data":[{"index":0,"score":0.3},{"index":1,"score":0.2}],"usage":{"prompt_tokens":6}}`},
		},
		{
			name: "embed", path: pathEmbed,
			bodies:  []string{`{"inputs":"a"}`, `{"inputs":["b" , "c"]}`},
			merged:  `{"inputs":["a","b" , "c"]}`,
			answer:  "[[1.0,2], [3], [4]]\n",
			answers: []string{"[[1.0,2]]\n", "[[3], [4]]\n"},
		},
		{
			name: "predict", path: pathPredict,
			bodies: []string{`{"inputs": "a" }`, `{"inputs":["b", "c"]}`, `{"inputs":[["d"],["e","f"]]}`, `{"inputs":[["g"]]}`},
			merged: `{"inputs": [["a"],["b", "c"],["d"],["e","f"],["g"]] }`,
			answer: `[[{"score":1.0,"label":"x"}, {"score":0,"label":"y"}],[{"score":2,"label":"x"}],[],[{"label":"x","score":4}], [{"score":5,"label":"x"}]]`,
			answers: []string{
				`[{"score":1.0,"label":"x"}, {"score":0,"label":"y"}]`, `[{"score":2,"label":"x"}]`,
				`[[],[{"label":"x","score":4}]]`, `[[{"score":5,"label":"x"}]]`,
			},
		},
		{
			name: "predict, many first", path: pathPredict,
			bodies:  []string{`{"inputs":[["a"]]}`, `{"inputs":"b"}`},
			merged:  `{"inputs":[["a"],["b"]]}`,
			answer:  `[[{"score":1,"label":"x"}],[{"score":2,"label":"x"}]]`,
			answers: []string{`[[{"score":1,"label":"x"}]]`, `[{"score":2,"label":"x"}]`},
		},
		{
			name: "TEI's rerank", path: pathRerank,
			bodies:  []string{`{"query":"q","texts":["a","b"]}`, `{"texts":["c"],"query":"q"}`},
			merged:  `{"query":"q","texts":["a","b","c"]}`,
			answer:  `[{"index":2,"score":3},{"index":1,"text":"b","score":2},{"index":0,"score":1.0}]`,
			answers: []string{`[{"index":1,"text":"b","score":2},{"index":0,"score":1.0}]`, `[{"index":0,"score":3}]`},
		},
		{
			name: "columns", path: pathTFColumns,
			bodies: []string{`{"inputs":{"x":[[1.0, 2]],"y" : [ "a" ]}}`, `{"inputs":{"y":["b","c"],"x":[[3,4],[5,6]]}}`},
			merged: `{"inputs":{"x":[[1.0, 2],[3,4],[5,6]],"y" : ["a","b","c"]}}`,
			answer: `{"outputs":{"p":[0.10,0.2,0.3], "c": ["u", {"b64":"QQ=="}, "w"]}}`,
			answers: []string{
				`{"outputs":{"p":[0.10], "c": ["u"]}}`,
				`{"outputs":{"p":[0.2,0.3], "c": [{"b64":"QQ=="}, "w"]}}`,
			},
		},
		{
			name: "one column", path: pathTFColumns,
			bodies:  []string{`{"inputs":[[1]]}`, `{"inputs":[[2]]}`},
			merged:  `{"inputs":[[1],[2]]}`,
			answer:  `{ "outputs" : [ 1 , 2 ] }`,
			answers: []string{`{ "outputs" : [1] }`, `{ "outputs" : [2] }`},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			calls := make([]*inference.Call, len(test.bodies))
			for i, body := range test.bodies {
				calls[i] = understand(t, test.path, body)
				require.Equal(t, calls[0].Key, calls[i].Key)
			}
			require.Equal(t, test.merged, string(inference.Merge(calls)))
			answers, err := inference.Split(calls, []byte(test.answer))
			require.NoError(t, err)
			require.Len(t, answers, len(test.answers))
			for i, answer := range answers {
				require.Equal(t, test.answers[i], string(answer))
				alone, err := inference.Split(calls[i:i+1], answer)
				require.NoError(t, err)
				require.Equal(t, [][]byte{answer}, alone)
			}
			_, err = inference.Split(append(calls, calls[0]), []byte(test.answer))
			require.ErrorIs(t, err, inference.ErrMismatch, "one too few")
		})
	}
}

// TestSplitCountsChoices: as many as were asked for, not only as many for each.
func TestSplitCountsChoices(t *testing.T) {
	t.Parallel()
	calls := []*inference.Call{
		understand(t, pathCompletions, `{"prompt":"a","n":2}`), understand(t, pathCompletions, `{"prompt":"b","n":2}`),
	}
	_, err := inference.Split(calls, []byte(`{"choices":[{"index":0},{"index":1}]}`))
	require.ErrorIs(t, err, inference.ErrMismatch)
	require.ErrorContains(t, err, "1 results for each item, 2 were asked for")
	_, err = inference.Split(calls[:1], []byte(`{"choices":[{"index":0}]}`))
	require.ErrorIs(t, err, inference.ErrMismatch)
}

func TestJoinRanks(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, a, b, want string }{
		{
			"by score",
			`{"results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.2}]}`,
			`{"results":[{"index":0,"relevance_score":1e3},{"index":1,"relevance_score":0.2},{"index":2,"relevance_score":-1}],"id":"b"}`,
			`{"results":[{"index":2,"relevance_score":1e3},{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.2},{"index":3,"relevance_score":0.2},{"index":4,"relevance_score":-1}]}`,
		},
		{
			"as it stands, where that is not by score",
			`{"results":[{"index":0,"relevance_score":0.2},{"index":1,"relevance_score":0.9}]}`,
			`{"results":[{"index":0,"relevance_score":3},{"index":1,"relevance_score":2},{"index":2,"relevance_score":1}]}`,
			`{"results":[{"index":0,"relevance_score":0.2},{"index":1,"relevance_score":0.9},{"index":2,"relevance_score":3},{"index":3,"relevance_score":2},{"index":4,"relevance_score":1}]}`,
		},
	} {
		whole := understand(t, pathCohere, `{"query":"q","top_n":5,"documents":["a","b","c","d","e"]}`)
		parts := []*inference.Call{whole.Slice(0, 2), whole.Slice(2, 5)}
		require.Equal(t, `{"query":"q","top_n":3,"documents":["c","d","e"]}`, string(parts[1].Body))
		joined, err := inference.Join(whole, parts, [][]byte{[]byte(test.a), []byte(test.b)})
		require.NoError(t, err)
		require.Equal(t, test.want, string(joined), test.name)
	}
}

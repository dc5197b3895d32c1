package inference_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/inference"
)

// FuzzBytes throws any bytes at all doors: whatever is understood makes valid JSON,
// whatever is not is refused.
func FuzzBytes(f *testing.F) {
	answers := []string{
		`{"data":[{"index":0,"e":1},{"index":1}],"usage":{"t":3,"d":{"x":1}}}`,
		`{"predictions":[1,{"a":2}],"m":"x"}`,
		`{"id":"x","outputs":[{"name":"o","shape":[2,1],"datatype":"FP32","data":[1,2]}]}`,
		`{"outputs":[{"data":[[1],[2]],"name":"o","shape":[2,1],"datatype":"FP32"}]}`,
		`{"choices":[{"index":1,"text":"a"},{"index":0}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}`,
		`{"choices":[{"index":0},{"index":1},{"index":2},{"index":3}]}`,
		`{"results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":-1e3}],"meta":{"billed_units":{"search_units":1}}}`,
		`{"data":[{"index":0,"score":1},{"index":1,"score":2}],"usage":null}`,
		`[{"index":1,"score":0.9,"text":"b"},{"index":0,"score":0.8}]`,
		`[[1,2.0],[3]]`, `[[{"score":1,"label":"a"}],[]]`, `[{"score":1,"label":"a"}]`,
		`{"outputs":{"a":[[1],[2]],"b":["x","y"]}}`, `{"outputs":[1,2]}`,
	}
	bodies := [][2]string{
		{`{"model":"m","input":"a"}`, `{"input":["b"],"model":"m"}`},
		{`{"model":"m","input":[1,2]}`, `{"input":[[3]],"model":"m"}`},
		{`{"instances":[1],"s":[]}`, `{"s":[],"instances":[{"a":1}]}`},
		{`{"id":"a","inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[1]}]}`, `{"inputs":[{"name":"x","data":[1],"shape":[1,1],"datatype":"FP32"}],"id":"b"}`},
		{`{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[[1]]}],"id":null}`, `{"id":"","inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[[1]]}]}`},
		{`{"prompt":"a","n":2}`, `{"n":2,"prompt":["b"]}`},
		{`{"query":"q","documents":["a"],"top_n":1}`, `{"documents":["b"],"query":"q"}`},
		{`{"text_1":"q","text_2":"a"}`, `{"text_2":["b"],"text_1":"q"}`},
		{`{"inputs":"a"}`, `{"inputs":["b"]}`},
		{`{"inputs":[["a","b"]]}`, `{"inputs":["c","d"]}`},
		{`{"query":"q","texts":["a"]}`, `{"texts":["b"],"query":"q"}`},
		{`{"inputs":[1]}`, `{"inputs":[2]}`},
		{`{"inputs":{"a":[[1]],"b":[{"b64":""}]}}`, `{"inputs":{"b":[{"b64":"QQ=="}],"a":[[2]]}}`},
	}
	for path := range uint8(len(paths())) {
		for _, b := range bodies {
			for _, answer := range answers {
				f.Add(path, []byte(b[0]), []byte(b[1]), []byte(answer))
			}
		}
	}
	f.Fuzz(func(t *testing.T, at uint8, a, b, answer []byte) {
		path := paths()[int(at)%len(paths())]
		first, err := inference.Of(request(path, string(a)), 1<<20)
		require.NoError(t, err)
		second, err := inference.Of(request(path, string(b)), 1<<20)
		require.NoError(t, err)
		if first == nil {
			return
		}
		require.True(t, json.Valid(a))
		require.Positive(t, first.Items)
		calls := []*inference.Call{first, first}
		if second != nil && second.Key == first.Key {
			calls[1] = second
		}
		items := calls[0].Items + calls[1].Items
		merged := inference.Merge(calls)
		require.True(t, json.Valid(merged), "%s", merged)
		// A list of the very length of the items keeps the merged request from
		// being understood once more; nothing else does.
		if again, _ := inference.Of(request(path, string(merged)), 1<<30); again != nil {
			require.Equal(t, items, again.Items)
			require.Equal(t, first.Key, again.Key)
		}
		half := first.Slice(first.Items/2, first.Items)
		require.True(t, json.Valid(half.Body), "%s", half.Body)

		if answers, err := inference.Split(calls, answer); err == nil {
			require.True(t, json.Valid(answer))
			for _, piece := range answers {
				require.True(t, json.Valid(piece), "%s", piece)
			}
			if calls[1] == first {
				joined, err := inference.Join(first, calls[:1], answers[:1])
				require.NoError(t, err)
				require.True(t, json.Valid(joined), "%s", joined)
			}
		} else {
			require.ErrorIs(t, err, inference.ErrMismatch)
		}
	})
}

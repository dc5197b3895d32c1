package inference_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/inference"
)

func TestMergeAndSplitTexts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, path string
		bodies     []string
		merged     string
		answer     string
		answers    []string
	}{
		{
			name: "openai", path: pathOpenAI,
			bodies: []string{
				` {"input" : "hello w\u00f6rld" , "model":"e5", "dimensions":1.0}`,
				`{"dimensions":1.0,"model":"e5","input":[ "x" ,"y"]}`,
				`{"model":"e5","dimensions":1.0,"input":["é"]}`,
			},
			merged: ` {"input" : ["hello w\u00f6rld","x" ,"y","é"] , "model":"e5", "dimensions":1.0}`,
			answer: `{"object":"list","data":[
				{"object":"embedding","index":3,"embedding":[1.10]},
				{"index" : 0 ,"embedding":"QUJD"}, {"embedding":[0.30E1,-0],"index":2,"x":{}},
				{"index":1,"embedding":[1]}],"model":"e5-2","usage":{"prompt_tokens":27,"total_tokens":27}}`,
			answers: []string{
				`{"object":"list","data":[{"index" : 0 ,"embedding":"QUJD"}],"model":"e5-2","usage":{"prompt_tokens":17,"total_tokens":17}}`,
				`{"object":"list","data":[{"index":0,"embedding":[1]},{"embedding":[0.30E1,-0],"index":1,"x":{}}],"model":"e5-2","usage":{"prompt_tokens":6,"total_tokens":6}}`,
				`{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1.10]}],"model":"e5-2","usage":{"prompt_tokens":4,"total_tokens":4}}`,
			},
		},
		{
			name: "openai tokens without usage", path: pathOpenAI,
			bodies:  []string{`{"model":"m","input":[101, 2000]}`, `{"model":"m","input":[[1],[2,3]]}`},
			merged:  `{"model":"m","input":[[101, 2000],[1],[2,3]]}`,
			answer:  `{"data":[{"index":0},{"index":1},{"index":2}]}`,
			answers: []string{`{"data":[{"index":0}]}`, `{"data":[{"index":0},{"index":1}]}`},
		},
		{
			name: "openai tokens, exact usage", path: pathOpenAI,
			bodies: []string{`{"model":"m","input":[1000000, 2000000]}`, `{"model":"m","input":[[1],[2,3]]}`},
			merged: `{"model":"m","input":[[1000000, 2000000],[1],[2,3]]}`,
			answer: `{"data":[{"index":0},{"index":1},{"index":2}],"usage":{"prompt_tokens":5,"cost":0.1,"details":{"cached":5,"audio":0},"none":null}}`,
			answers: []string{
				`{"data":[{"index":0}],"usage":{"prompt_tokens":2,"cost":0.1,"details":{"cached":2,"audio":0},"none":null}}`,
				`{"data":[{"index":0},{"index":1}],"usage":{"prompt_tokens":3,"cost":0.1,"details":{"cached":3,"audio":0},"none":null}}`,
			},
		},
		{
			name: "kserve v1", path: pathV1,
			bodies: []string{
				`{"instances": [ {"b64":"QQ=="} , [1.0,2] ], "signature_name":"s"}`,
				`{"signature_name":"s","instances":[null]}`,
			},
			merged:  `{"instances": [{"b64":"QQ=="} , [1.0,2],null], "signature_name":"s"}`,
			answer:  `{"model_name":"m", "predictions": [ {"a":1e3} , [2.50] , "x" ] , "took" : 5}`,
			answers: []string{`{"model_name":"m", "predictions": [{"a":1e3} , [2.50]] , "took" : 5}`, `{"model_name":"m", "predictions": ["x"] , "took" : 5}`},
		},
		{
			name: "open inference, flat", path: pathV2,
			bodies: []string{
				`{"id":"a\"1","inputs":[{"name":"x","shape":[1, 2],"datatype":"FP32","data":[1.0, 2]},{"data":["é"],"name":"y","datatype":"BYTES","shape":[1]}],"outputs":[{"name":"o"}]}`,
				`{"inputs":[{"name":"x","datatype":"FP32","data":[3,4,5,6],"shape":[2,2]},{"name":"y","shape":[2],"datatype":"BYTES","data":["f" , "g"]}],"outputs":[{"name":"o"}], "id" : "b" }`,
				`{"outputs":[{"name":"o"}],"id":null,"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[7,8]},{"name":"y","shape":[1],"datatype":"BYTES","data":["h"]}]}`,
			},
			merged: `{"inputs":[{"name":"x","shape":[4, 2],"datatype":"FP32","data":[1.0, 2,3,4,5,6,7,8]},{"data":["é","f" , "g","h"],"name":"y","datatype":"BYTES","shape":[4]}],"outputs":[{"name":"o"}]}`,
			answer: `{"id" : "made","model_name":"m","outputs":[{"data":[1 ,2,3,4,5,6,7,8],"name":"o","shape":[4,1,2],"datatype":"FP32"},{"name":"n","shape":[4,2],"datatype":"INT8","data":[[1,2],[3,4],[5,6],[7,8]],"parameters":{"p":[1]}}]}`,
			answers: []string{
				`{"id" : "a\"1","model_name":"m","outputs":[{"data":[1 ,2],"name":"o","shape":[1,1,2],"datatype":"FP32"},{"name":"n","shape":[1,2],"datatype":"INT8","data":[[1,2]],"parameters":{"p":[1]}}]}`,
				`{"id" : "b","model_name":"m","outputs":[{"data":[3,4,5,6],"name":"o","shape":[2,1,2],"datatype":"FP32"},{"name":"n","shape":[2,2],"datatype":"INT8","data":[[3,4],[5,6]],"parameters":{"p":[1]}}]}`,
				`{"id" : "made","model_name":"m","outputs":[{"data":[7,8],"name":"o","shape":[1,1,2],"datatype":"FP32"},{"name":"n","shape":[1,2],"datatype":"INT8","data":[[7,8]],"parameters":{"p":[1]}}]}`,
			},
		},
		{
			name: "open inference, nested, no id in the answer", path: pathV2,
			bodies: []string{
				`{ "id": "a" , "inputs":[{"name":"x","shape":[1,2,1],"datatype":"FP32","data":[[[1],[2]]]}]}`,
				`{"inputs":[{"name":"x","shape":[1,2,1],"datatype":"FP32","data":[ [[3],[4]] ]}]}`,
			},
			merged: `{ "inputs":[{"name":"x","shape":[2,2,1],"datatype":"FP32","data":[[[1],[2]],[[3],[4]]]}]}`,
			answer: `{ "outputs":[{"name":"o","shape":[2],"datatype":"INT64","data":[1,2]}]}`,
			answers: []string{
				`{"id":"a", "outputs":[{"name":"o","shape":[1],"datatype":"INT64","data":[1]}]}`,
				`{ "outputs":[{"name":"o","shape":[1],"datatype":"INT64","data":[2]}]}`,
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			calls := make([]*inference.Call, len(test.bodies))
			for i, body := range test.bodies {
				calls[i] = understand(t, test.path, body)
				require.Equal(t, calls[0].Key, calls[i].Key)
			}
			require.Equal(t, test.merged, string(inference.Merge(calls)))
			for i, body := range test.bodies {
				require.Equal(t, body, string(calls[i].Body), "not changed")
			}
			answers, err := inference.Split(calls, []byte(test.answer))
			require.NoError(t, err)
			require.Len(t, answers, len(test.answers))
			for i, answer := range answers {
				require.Equal(t, test.answers[i], string(answer))
				require.True(t, json.Valid(answer))
			}
			// One alone is left as it is, both ways.
			require.Equal(t, test.bodies[0], string(inference.Merge(calls[:1])))
			alone, err := inference.Split(calls[:1], answers[0])
			require.NoError(t, err)
			require.Equal(t, [][]byte{answers[0]}, alone)
		})
	}
}

func TestSplitRefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	two := func(path, body string) []*inference.Call {
		return []*inference.Call{understand(t, path, body), understand(t, path, body)}
	}
	openAI, v1 := two(pathOpenAI, `{"input":"a"}`), two(pathV1, `{"instances":[1]}`)
	v2 := two(pathV2, `{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`)
	tensor := func(more string) string {
		return fmt.Sprintf(`{"outputs":[{"name":"o","datatype":"FP32",%s}]}`, more)
	}
	tests := []struct {
		calls  []*inference.Call
		answer string
		want   string
	}{
		{openAI, ``, "not an object"},
		{openAI, `[]`, "not an object"},
		{openAI, `{"error":{"message":"no"}}`, "no data"},
		{openAI, `{"data":{}}`, "not one array"},
		{openAI, `{"data":[]}`, "0 results for 2 items"},
		{openAI, `{"data":[{"index":0}]}`, "1 results for 2 items"},
		{openAI, `{"data":[{"index":0},{"index":0}]}`, "0 stands twice"},
		{openAI, `{"data":[{"index":0},{"index":2}]}`, "not below 2"},
		{openAI, `{"data":[{"index":0},{"index":-1}]}`, "not below 2"},
		{openAI, `{"data":[{"index":0},{"index":1.0}]}`, "not below 2"},
		{openAI, `{"data":[{"index":0},{}]}`, "not below 2"},
		{openAI, `{"data":[{"index":0},{"index":1},{"index":2}]}`, "not below 2"},
		{openAI, `{"data":[{"index":0},{"index":1,"index":1}]}`, "twice"},
		{openAI, `{"data":[{"index":0},{"index":1,"inde\u0078":0}]}`, "escape"},
		{openAI, `{"data":[{"index":0},7]}`, "not an object"},
		{openAI, `{"data":[{"index":0},{"index":1}],"data":[]}`, "not one array"},
		{openAI, `{"data":[{"index":0},{"index":1}],"x":1,"x":2}`, "twice"},
		{openAI, `{"data":[{"index":0},{"index":1}],"usage":{"a":1,"a":2}}`, "usage"},
		{openAI, `{"data":[{"index":0},{"index":1}]`, "not valid JSON"},
		{openAI, `{"data":[{"index":0},{"index":1,"embedding":[NaN]}]}`, "not valid JSON"},
		{openAI, `{"data":[{"index":0},{"index":1}]} x`, "not valid JSON"},

		{v1, `[1,2]`, "not an object"},
		{v1, `{}`, "0 elements for 2"},
		{v1, `{"predictions":{"a":[1,2]}}`, "not one array"},
		{v1, `{"predictions":[1]}`, "1 elements for 2"},
		{v1, `{"predictions":[1,2,3]}`, "array of 2"},
		{v1, `{"predictions":[1,2],"predictions":[1,2]}`, "not one array"},
		{v1, `{"predictions":[1,2],"x":1,"x":2}`, "twice"},
		{v1, `{"predictions":[1,2]`, "not valid JSON"},

		{v2, `[]`, "not an object"},
		{v2, `{"error":"no"}`, "0 rows for 2"},
		{v2, `{"outputs":[]}`, "0 rows for 2"},
		{v2, `{"outputs":{}}`, "not a tensor"},
		{v2, tensor(`"shape":[1,1],"data":[1]`), "1 rows for 2"},
		{v2, tensor(`"shape":[3,1],"data":[1,2,3]`), "not a tensor"},
		{v2, tensor(`"shape":[2,1],"data":[1,2,3]`), "not a tensor"},
		{v2, tensor(`"shape":[2,2],"data":[[1,2],[3]]`), "not a tensor"},
		{v2, tensor(`"shape":[2,2],"data":[[1,2],[3,4],[5,6]]`), "not a tensor"},
		{v2, tensor(`"shape":[2,1],"parameters":{"binary_data_size":8}`), "do not make the whole"},
		{v2, tensor(`"shape":[2,0],"data":[]`), "not a tensor"},
		{v2, tensor(`"shape":[],"data":[1]`), "not a tensor"},
		{v2, tensor(`"shape":[2],"shape":[2],"data":[1,2]`), "not a tensor"},
		{v2, tensor(`"shape":[2],"data":[1,2],"data":[1,2]`), "not a tensor"},
		{v2, tensor(`"shape":[2],"data":[1,2],"name":"p"`), "not a tensor"},
		{v2, `{"outputs":[{"name":"o","shape":[2],"data":[1,2]}]}`, "not a tensor"},
		{v2, `{"outputs":[{"name":"o","datatype":"FP32","shape":[2],"data":[1,2]},{"name":"p","datatype":"FP32","shape":[1],"data":[1]}]}`, "outputs[1]"},
		{v2, `{"outputs":[{"name":"o","datatype":"FP32","shape":[2],"data":[1,2]}],"outputs":[]}`, "twice"},
		{v2, `{"outputs":[{"name":"o","datatype":"FP32","shape":[2],"data":[1,2]}],"id":"a","id":"b"}`, "twice"},
		{v2, tensor(`"shape":[2],"data":[1,2]`) + "]", "not valid JSON"},
	}
	for _, test := range tests {
		_, err := inference.Split(test.calls, []byte(test.answer))
		require.ErrorIs(t, err, inference.ErrMismatch, test.answer)
		require.ErrorContains(t, err, test.want, test.answer)
		path := map[string]string{"openai": pathOpenAI, "kserve_v1": pathV1, "open_inference": pathV2}[test.calls[0].Protocol]
		both := understand(t, path, string(inference.Merge(test.calls)))
		_, err = inference.Join(both, []*inference.Call{both}, [][]byte{[]byte(test.answer)})
		require.ErrorIs(t, err, inference.ErrMismatch, test.answer)
	}
}

func TestSliceAndJoinTexts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, path, body string
		cuts             []int
		bodies, answers  []string
		joined           string
	}{
		{
			name: "openai", path: pathOpenAI, body: `{"input":["a", "b","c"],"model":"m"}`, cuts: []int{0, 2, 3},
			bodies:  []string{`{"input":["a", "b"],"model":"m"}`, `{"input":["c"],"model":"m"}`},
			answers: []string{`{"data":[{"index":1,"e":2},{"index":0,"e":1}],"n":1,"usage":{"t":5,"d":{"x":1}}}`, `{"data":[{"index":0,"e":3}],"n":2,"usage":{"t":4,"d":{"x":1}}}`},
			joined:  `{"data":[{"index":0,"e":1},{"index":1,"e":2},{"index":2,"e":3}],"n":1,"usage":{"t":9,"d":{"x":2}}}`,
		},
		{
			name: "kserve v1", path: pathV1, body: `{"instances":[1,2,3]}`, cuts: []int{0, 1, 3},
			bodies:  []string{`{"instances":[1]}`, `{"instances":[2,3]}`},
			answers: []string{`{"predictions":[10]}`, `{"predictions":[20, 30]}`},
			joined:  `{"predictions":[10,20, 30]}`,
		},
		{
			name: "open inference", path: pathV2, cuts: []int{0, 2, 3},
			body: `{"id":"i","inputs":[{"name":"x","shape":[3,2],"datatype":"FP32","data":[1,2,3,4,5,6]}]}`,
			bodies: []string{
				`{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[1,2,3,4]}]}`,
				`{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[5,6]}]}`,
			},
			answers: []string{
				`{"id":"u1","outputs":[{"name":"o","shape":[2],"datatype":"FP32","data":[1,2]}]}`,
				`{"outputs":[{"data":[3],"name":"o","shape":[1],"datatype":"FP32"}],"id":"u2"}`,
			},
			joined: `{"id":"i","outputs":[{"name":"o","shape":[3],"datatype":"FP32","data":[1,2,3]}]}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			whole := understand(t, test.path, test.body)
			require.Same(t, whole, whole.Slice(0, whole.Items))
			// What is no item is in every slice, but for the id and the digits of counts.
			require.InDelta(t, len(whole.Slice(0, 1).Body)+len(whole.Slice(1, 3).Body)-len(whole.Body), whole.Repeated(), float64(len(`"id":"i",`)+1))
			var parts []*inference.Call
			var answers [][]byte
			for i, body := range test.bodies {
				part := whole.Slice(test.cuts[i], test.cuts[i+1])
				require.Equal(t, body, string(part.Body))
				require.Equal(t, test.cuts[i+1]-test.cuts[i], part.Items)
				require.Equal(t, whole.Key, part.Key)
				again := understand(t, test.path, string(part.Body))
				require.Equal(t, part.Items, again.Items)
				require.Equal(t, whole.Key, again.Key)
				parts, answers = append(parts, part), append(answers, []byte(test.answers[i]))
			}
			require.Equal(t, test.body, string(whole.Body), "not changed")
			joined, err := inference.Join(whole, parts, answers)
			require.NoError(t, err)
			require.Equal(t, test.joined, string(joined))
			bare := make([]*inference.Call, len(parts))
			for i, part := range parts {
				bare[i] = &inference.Call{Items: part.Items}
			}
			joined, err = inference.Join(whole, bare, answers)
			require.NoError(t, err)
			require.Equal(t, test.joined, string(joined), "of the parts, their items are enough")
			// A slice of a slice, in company.
			last := whole.Slice(1, 3).Slice(1, 2)
			require.Equal(t, string(whole.Slice(2, 3).Body), string(last.Body))
			merged := inference.Merge([]*inference.Call{last, parts[0]})
			require.Equal(t, 1+parts[0].Items, understand(t, test.path, string(merged)).Items)

			_, err = inference.Join(whole, parts, answers[:1])
			require.ErrorIs(t, err, inference.ErrMismatch)
			_, err = inference.Join(whole, nil, nil)
			require.ErrorIs(t, err, inference.ErrMismatch)
			_, err = inference.Join(whole, parts[:1], answers[:1])
			require.ErrorContains(t, err, "of 3 items")
		})
	}
}

func TestJoinRefusesOtherForms(t *testing.T) {
	t.Parallel()
	openAI := understand(t, pathOpenAI, `{"input":["a","b"]}`)
	v2 := understand(t, pathV2, `{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[1,2]}]}`)
	output := `{"outputs":[{"name":"o","shape":[1,1],"datatype":"FP32","data":[1]}]}`
	tests := []struct {
		whole *inference.Call
		a, b  string
	}{
		{openAI, `{"data":[{"index":0}],"usage":{"t":1}}`, `{"data":[{"index":0}]}`},
		{openAI, `{"data":[{"index":0}],"usage":{"t":1}}`, `{"data":[{"index":0}],"usage":{"u":1}}`},
		{openAI, `{"data":[{"index":0}],"usage":{"t":1}}`, `{"data":[{"index":0}],"usage":{"t":{"t":1}}}`},
		{v2, output, `{"outputs":[{"name":"p","shape":[1,1],"datatype":"FP32","data":[1]}]}`},
		{v2, output, `{"outputs":[{"name":"o","shape":[1,1],"datatype":"FP64","data":[1]}]}`},
		{v2, output, `{"outputs":[{"name":"o","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`},
		{v2, output, `{"outputs":[{"name":"o","shape":[1,1],"datatype":"FP32","data":[[1]]}]}`},
	}
	for _, test := range tests {
		parts := []*inference.Call{test.whole.Slice(0, 1), test.whole.Slice(1, 2)}
		_, err := inference.Join(test.whole, parts, [][]byte{[]byte(test.a), []byte(test.b)})
		require.ErrorIs(t, err, inference.ErrMismatch)
		require.ErrorContains(t, err, "another form", test.b)
	}
}

// TestSplitDoesNotReadTheCallsBodies: a caller that has gone took its memory along.
func TestSplitDoesNotReadTheCallsBodies(t *testing.T) {
	t.Parallel()
	for path, body := range map[string]string{
		pathOpenAI: `{"input":[[1,2],[3]],"model":"m"}`,
		pathV1:     `{"instances":[1,2]}`,
		pathV2:     `{"id":"a","inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[1,2]}]}`,
	} {
		calls := []*inference.Call{understand(t, path, body), understand(t, path, body)}
		answer := model(t, path, inference.Merge(calls))
		want, err := inference.Split(calls, answer)
		require.NoError(t, err)
		half := calls[0].Slice(0, 1)
		parts := []*inference.Call{half, calls[0].Slice(1, 2)}
		halves := [][]byte{model(t, path, parts[0].Body), model(t, path, parts[1].Body)}
		joined, err := inference.Join(calls[0], parts, halves)
		require.NoError(t, err)

		for _, c := range []*inference.Call{calls[0], calls[1], half} {
			clear(c.Body)
		}
		got, err := inference.Split(calls, answer)
		require.NoError(t, err)
		require.Equal(t, want, got)
		again, err := inference.Join(calls[0], parts, halves)
		require.NoError(t, err)
		require.Equal(t, string(joined), string(again))
	}
}

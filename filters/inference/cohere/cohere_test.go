package cohere_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/inference/cohere"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	for path, operation := range map[string]string{
		"/rerank":          "rerank",
		"/v1/rerank":       "rerank",
		"/v2/rerank":       "rerank",
		"/jina/v1/rerank":  "rerank",
		"/score":           "score",
		"/v1/score":        "score",
		"/vllm/v1/score":   "score",
		"/models/m/score":  "",
		"/v1/rerank/":      "",
		"/v1/reranking":    "",
		"/prerank":         "",
		"/v1/rerank:score": "",
	} {
		target, ok := cohere.Protocol{}.Match(path)
		require.Equal(t, operation != "", ok, path)
		require.Equal(t, operation, target.Operation, path)
		require.Equal(t, ok, target.Usage, path)
	}
}

func request(operation, body string) *wire.Message {
	return cohere.Protocol{}.Request(wire.Target{Operation: operation}, []byte(body))
}

func TestRequest(t *testing.T) {
	t.Parallel()
	tests := []struct {
		operation, body string
		items           int // 0: not understood
	}{
		{"rerank", `{"query":"q","documents":["a","b"]}`, 2},
		{"rerank", ` { "model" : "m" , "documents" : [ {"text":"a"} ] , "query" : "q" , "return_documents" : true } `, 1},
		{"rerank", `{"query":"q","documents":["a","b"],"top_n":2}`, 2},
		{"rerank", `{"top_k":3,"query":"q","documents":["a","b"]}`, 2},
		{"rerank", `{"top_n":null,"query":"q","documents":["a","b"],"model":null}`, 2},
		{"rerank", `{"query":"q","documents":[{"a":"x"},{"a":"y"}],"rank_fields":["a","b"]}`, 2},
		{"rerank", `{"query":"q","documents":["a"],"max_tokens_per_doc":512}`, 1},

		{"rerank", `{"query":"q","documents":["a","b"],"top_n":1}`, 0},
		{"rerank", `{"query":"q","documents":["a","b"],"top_k":1}`, 0},
		{"rerank", `{"query":"q","documents":["a","b"],"top_n":5,"top_k":1}`, 0},
		{"rerank", `{"query":"q","documents":["a","b"],"top_n":0}`, 0},
		{"rerank", `{"query":"q","documents":["a","b"],"top_n":"2"}`, 0},
		{"rerank", `{"query":"q","documents":["a","b"],"top_n":-1}`, 0},
		{"rerank", `{"query":"q","documents":["a","b"],"weights":[1,2]}`, 0},
		{"rerank", `{"query":"q","documents":["a",""]}`, 0},
		{"rerank", `{"query":"q","documents":["a",{"text":"b"}]}`, 0},
		{"rerank", `{"query":"q","documents":[["a"]]}`, 0},
		{"rerank", `{"query":"q","documents":[1]}`, 0},
		{"rerank", `{"query":"q","documents":[]}`, 0},
		{"rerank", `{"query":"q","documents":"a"}`, 0},
		{"rerank", `{"query":"q","documents":{"content":[]}}`, 0},
		{"rerank", `{"query":"q","documents":["a"],"documents":["b"]}`, 0},
		{"rerank", `{"query":"q","documents":["a"],"texts":["a"]}`, 0},
		{"rerank", `{"query":"","documents":["a"]}`, 0},
		{"rerank", `{"query":{"content":[]},"documents":["a"]}`, 0},
		{"rerank", `{"query":["q"],"documents":["a"]}`, 0},
		{"rerank", `{"documents":["a"]}`, 0},
		{"rerank", `{"query":"q"}`, 0},
		{"rerank", `{"query":"q","documents":["a"],"model":7}`, 0},
		{"rerank", `{"query":"q","documents":["a"]`, 0},
		{"rerank", `{"query":"q","documents":["a",]}`, 0},
		{"rerank", `["a"]`, 0},

		{"score", `{"text_1":"q","text_2":"a"}`, 1},
		{"score", `{"model":"m","text_1":"q","text_2":["a","b"]}`, 2},
		{"score", `{"text_1":["q"],"text_2":["a"]}`, 0},
		{"score", `{"text_1":["q","r"],"text_2":["a","b"]}`, 0},
		{"score", `{"text_1":"q","text_2":{"content":[]}}`, 0},
		{"score", `{"text_1":"q","text_2":""}`, 0},
		{"score", `{"text_1":"q","text_2":[]}`, 0},
		{"score", `{"text_1":"q","text_2":"a","text_2":"b"}`, 0},
		{"score", `{"text_1":"q","text_2":["a"],"queries":"q"}`, 0},
		{"score", `{"queries":"q","documents":["a"]}`, 0},
		{"score", `{"text_2":["a"]}`, 0},
	}
	for _, test := range tests {
		m := request(test.operation, test.body)
		require.Equal(t, test.items > 0, m != nil, test.body)
		if m != nil {
			require.Equal(t, test.items, m.Items, test.body)
			require.Len(t, m.Weights, test.items)
		}
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	want := request("rerank", `{"model":"m","query":"q","documents":["a"],"return_documents":true}`)
	require.Equal(t, "m", want.Model)
	for body, equal := range map[string]bool{
		`{"return_documents":true,"query":"q","documents":["b","c"],"model":"m"}`:             true,
		`{"model":"m","query":"q","documents":["a"],"return_documents":true,"top_n":9}`:       true,
		`{"model":"m","query":"q","documents":["a"],"return_documents":true,"top_n":null}`:    true,
		`{"model":"m","query":"r","documents":["a"],"return_documents":true}`:                 false,
		`{"model":"n","query":"q","documents":["a"],"return_documents":true}`:                 false,
		`{"model":"m","query":"q","documents":["a"]}`:                                         false,
		`{"model":"m","query":"q","documents":[{"text":"a"}],"return_documents":true}`:        false,
		`{"model":"m","query":"q","documents":["a"],"return_documents":true,"rank_fields":1}`: false,
	} {
		m := request("rerank", body)
		require.NotNil(t, m, body)
		require.Equal(t, equal, m.Key == want.Key, body)
	}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	for answer, ok := range map[string]bool{
		`{"results":[{"index":1,"relevance_score":2},{"index":0,"relevance_score":1}]}`: true,
		`{"results":[{"index":0,"relevance_score":1},{"index":1,"relevance_score":2}]}`: true,
		`{"results":[{"index":0},{"index":1}],"meta":null,"usage":null}`:                true,
		`{"data":[{"index":0,"score":1},{"index":1,"score":2}],"usage":{"t":1}}`:        true,
		`{"data":[{"index":0},{"index":1}],"results":[]}`:                               false,
		`{"results":[{"index":0,"relevance_score":1}]}`:                                 false,
		`{"results":[{"index":0},{"index":1},{"index":2}]}`:                             false,
		`{"results":[{"index":0},{"index":0}]}`:                                         false,
		`{"results":[{"index":0},{"index":1}],"meta":[]}`:                               true,
		`{"results":[{"index":0},{"index":1}],"meta":{"tokens":{"a":1},"tokens":{}}}`:   false,
		`{"results":[{"index":0},{"index":1}],"meta":{"tokens":{"a":1,"a":1}}}`:         false,
		`{"message":"no"}`:            false,
		`[{"index":0},{"index":1}]`:   false,
		`{"results":[{"index":0},{}]`: false,
	} {
		_, err := cohere.Protocol{}.Answer(2, []byte(answer))
		require.Equal(t, ok, err == nil, "%s %v", answer, err)
	}
}

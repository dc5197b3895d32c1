package tei_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/inference/tei"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]wire.Protocol{
		"/embed":        tei.Embed{},
		"/embed_all":    tei.Embed{},
		"/embed_sparse": tei.Embed{},
		"/predict":      tei.Predict{},
		"/rerank":       tei.Rerank{},
		"/v1/predict":   nil,
		"/api/embed":    nil,
		"/embed/":       nil,
		"/":             nil,
		"/vertex":       nil,
		"/tokenize":     nil,
		"/v1/rerank":    nil,
		"/predict/m":    nil,
		"/embeddings":   nil,
		"/similarity":   nil,
	} {
		for _, p := range []wire.Protocol{tei.Embed{}, tei.Predict{}, tei.Rerank{}} {
			target, ok := p.Match(path)
			require.Equal(t, p == want, ok, path)
			require.Equal(t, "tei", p.Name())
			if ok {
				require.Equal(t, wire.Target{Operation: path[1:]}, target)
			}
		}
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	tests := []struct {
		protocol wire.Protocol
		body     string
		items    int // 0: not understood
		single   bool
	}{
		{tei.Embed{}, `{"inputs":"a"}`, 1, false},
		{tei.Embed{}, `{"inputs":["a","b"],"truncate":true,"normalize":false,"prompt_name":"q"}`, 2, false},
		{tei.Embed{}, `{"inputs":[101,2000]}`, 1, false},
		{tei.Embed{}, `{"inputs":[[101,2000],[3]]}`, 2, false},
		{tei.Embed{}, `{"inputs":["a",[3]]}`, 0, false},
		{tei.Embed{}, `{"inputs":""}`, 0, false},
		{tei.Embed{}, `{"inputs":["a","b"],"weights":[1,2]}`, 0, false},
		{tei.Embed{}, `{"inputs":"a","query":"q"}`, 0, false},
		{tei.Embed{}, `{"inputs":"a","documents":["q"]}`, 0, false},
		{tei.Embed{}, `{"input":"a"}`, 0, false},
		{tei.Embed{}, `{"inputs":"a"`, 0, false},
		{tei.Embed{}, `"a"`, 0, false},

		{tei.Predict{}, `{"inputs":"a"}`, 1, true},
		{tei.Predict{}, `{"inputs":["a"],"raw_scores":true}`, 1, true},
		{tei.Predict{}, `{"inputs":["a","b"]}`, 1, true}, // a pair
		{tei.Predict{}, `{"inputs":[["a"]]}`, 1, false},
		{tei.Predict{}, `{"inputs":[["a"],["b","c"]]}`, 2, false},
		{tei.Predict{}, `{"inputs":["a","b","c"]}`, 0, false},
		{tei.Predict{}, `{"inputs":[["a","b","c"]]}`, 0, false},
		{tei.Predict{}, `{"inputs":[["a"],"b"]}`, 0, false},
		{tei.Predict{}, `{"inputs":["a",["b"]]}`, 0, false},
		{tei.Predict{}, `{"inputs":[["a"],[]]}`, 0, false},
		{tei.Predict{}, `{"inputs":[[""]]}`, 0, false},
		{tei.Predict{}, `{"inputs":[[1]]}`, 0, false},
		{tei.Predict{}, `{"inputs":[]}`, 0, false},
		{tei.Predict{}, `{"inputs":""}`, 0, false},
		{tei.Predict{}, `{"inputs":{"a":1}}`, 0, false},
		{tei.Predict{}, `{"inputs":"a","inputs":"b"}`, 0, false},
		{tei.Predict{}, `{"inputs":[["a"]`, 0, false},

		{tei.Rerank{}, `{"query":"q","texts":["a","b"],"raw_scores":false,"return_text":true}`, 2, false},
		{tei.Rerank{}, `{"query":"q","texts":["a",""]}`, 0, false},
		{tei.Rerank{}, `{"query":"q","texts":[]}`, 0, false},
		{tei.Rerank{}, `{"query":"q","texts":"a"}`, 0, false},
		{tei.Rerank{}, `{"query":["q"],"texts":["a"]}`, 0, false},
		{tei.Rerank{}, `{"texts":["a"]}`, 0, false},
		{tei.Rerank{}, `{"query":"q","texts":["a"],"documents":["a"]}`, 0, false},
		{tei.Rerank{}, `{"query":"q","texts":["a"],"texts":["a"]}`, 0, false},
		{tei.Rerank{}, `{"query":"q","documents":["a"]}`, 0, false},
	}
	for _, test := range tests {
		m := test.protocol.Request(wire.Target{}, []byte(test.body))
		require.Equal(t, test.items > 0, m != nil, test.body)
		if m != nil {
			require.Equal(t, test.items, m.Items, test.body)
			require.Equal(t, test.single, m.Single, test.body)
		}
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		protocol wire.Protocol
		a, b     string
		equal    bool
	}{
		{tei.Embed{}, `{"inputs":"a","truncate":true}`, `{"truncate":true,"inputs":["b"]}`, true},
		{tei.Embed{}, `{"inputs":"a","truncate":true}`, `{"inputs":"a","truncate":false}`, false},
		{tei.Embed{}, `{"inputs":"a","truncate":true}`, `{"inputs":"a"}`, false},
		{tei.Embed{}, `{"inputs":"a"}`, `{"inputs":[1]}`, false},
		{tei.Predict{}, `{"inputs":"a"}`, `{"inputs":[["a","b"]]}`, true},
		{tei.Predict{}, `{"inputs":"a"}`, `{"inputs":"a","raw_scores":true}`, false},
		{tei.Rerank{}, `{"query":"q","texts":["a"]}`, `{"texts":["b","c"],"query":"q"}`, true},
		{tei.Rerank{}, `{"query":"q","texts":["a"]}`, `{"query":"r","texts":["a"]}`, false},
		{tei.Rerank{}, `{"query":"q","texts":["a"]}`, `{"query":"q","texts":["a"],"return_text":true}`, false},
	} {
		a := test.protocol.Request(wire.Target{}, []byte(test.a))
		b := test.protocol.Request(wire.Target{}, []byte(test.b))
		require.Equal(t, test.equal, a.Key == b.Key, test.b)
	}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		protocol wire.Protocol
		items    int
		answer   string
		ok       bool
	}{
		{tei.Embed{}, 2, `[[1,2],[3]]`, true},
		{tei.Embed{}, 2, `[[],[{"index":1,"value":0.5}]]`, true},
		{tei.Embed{}, 2, `[[1,2]]`, false},
		{tei.Embed{}, 1, `[[1],[2]]`, false},
		{tei.Embed{}, 2, `[1,2]`, false},
		{tei.Embed{}, 1, `{"error":"no"}`, false},
		{tei.Embed{}, 1, `[[1]]]`, false},

		{tei.Predict{}, 1, `[{"score":0.5,"label":"a"}]`, true},
		{tei.Predict{}, 1, `[[{"score":0.5,"label":"a"}]]`, true},
		{tei.Predict{}, 2, `[[{"score":0.5,"label":"a"},{"label":"b","score":1}],[]]`, true},
		{tei.Predict{}, 2, `[{"score":0.5,"label":"a"},{"score":0.5,"label":"a"}]`, false},
		{tei.Predict{}, 2, `[[0.5],[0.5]]`, false},
		{tei.Predict{}, 2, `[[{"score":0.5}],[]]`, false},
		{tei.Predict{}, 1, `[{"score":0.5}]`, false},
		{tei.Predict{}, 1, `[[{"score":0.5,"label":"a"}],[]]`, false},
		{tei.Predict{}, 2, `[[{"score":0.5,"label":"a"}]]`, false},
		{tei.Predict{}, 1, `[]`, false},
		{tei.Predict{}, 1, `{"error":"no"}`, false},
		{tei.Predict{}, 1, `[{"score":0.5,"label":"a"}`, false},
		{tei.Predict{}, 1, `[[{"score":0.5,"label":"a"}]] x`, false},

		{tei.Rerank{}, 2, `[{"index":1,"score":2},{"index":0,"score":1}]`, true},
		{tei.Rerank{}, 2, `[{"index":1,"score":2}]`, false},
		{tei.Rerank{}, 2, `[{"index":1,"score":2},{"score":1}]`, false},
		{tei.Rerank{}, 2, `[{"index":1,"score":2},{"index":0,"score":1}`, false},
		{tei.Rerank{}, 1, `{"error":"no"}`, false},
	} {
		m, err := test.protocol.Answer(test.items, []byte(test.answer))
		require.Equal(t, test.ok, err == nil, "%s %v", test.answer, err)
		if err == nil {
			require.Equal(t, test.items, m.Items)
		}
	}
}

package openai_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/inference/openai"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/v1/embeddings":            true,
		"/openai/v1/embeddings":     true,
		"/a/b/v1/embeddings":        true,
		"/v1/embeddings/":           false,
		"/v1/embedding":             false,
		"/av1/embeddings":           false,
		"/v1/chat/completions":      false,
		"/v1/completions":           false,
		"/v1%2Fembeddings":          false,
		"/v1/embeddings/v1/x":       false,
		"/V1/embeddings":            false,
		"/v1/models/x:predict":      false,
		"/v1/embeddings:embeddings": false,
	} {
		target, ok := openai.Protocol{}.Match(path)
		require.Equal(t, want, ok, path)
		if ok {
			require.Equal(t, wire.Target{Operation: "embeddings", Usage: true}, target)
		}
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	tests := []struct {
		body  string
		items int // 0: not understood
	}{
		{`{"input":"a"}`, 1},
		{` { "input" : [ "a" ] , "model" : "m" } `, 1},
		{`{"input":["a","b","c"],"model":"m"}`, 3},
		{`{"input":[101,2000],"model":"m"}`, 1},
		{`{"input":[101],"model":"m"}`, 1},
		{`{"input":[[101,2000],[3]],"model":"m"}`, 2},
		{`{"input":"a","stream":false,"encoding_format":"base64","user":"u"}`, 1},
		{`{"input":["a"],"tags":["x","y"]}`, 1},
		{`{"input":["a","b"],"tags":["x"],"none":[]}`, 2},
		{fmt.Sprintf(`{"input":["a"%s]}`, strings.Repeat(`,"b"`, wire.MaxItems-1)), wire.MaxItems},

		{fmt.Sprintf(`{"input":["a"%s]}`, strings.Repeat(`,"b"`, wire.MaxItems)), 0},
		{``, 0},
		{`[]`, 0},
		{`"input"`, 0},
		{`{}`, 0},
		{`{"model":"m"}`, 0},
		{`{"input":""}`, 0},
		{`{"input":[]}`, 0},
		{`{"input":[""]}`, 0},
		{`{"input":["a",""]}`, 0},
		{`{"input":[[]]}`, 0},
		{`{"input":[[1],[]]}`, 0},
		{`{"input":null}`, 0},
		{`{"input":7}`, 0},
		{`{"input":{"text":"a"}}`, 0},
		{`{"input":[{"text":"a"}]}`, 0},
		{`{"input":["a",1]}`, 0},
		{`{"input":[1,"a"]}`, 0},
		{`{"input":[[1],"a"]}`, 0},
		{`{"input":[[1],2]}`, 0},
		{`{"input":[[1,"a"]]}`, 0},
		{`{"input":[[[1]]]}`, 0},
		{`{"input":[null]}`, 0},
		{`{"input":"a","input":"b"}`, 0},
		{`{"input":"a","inpu\u0074":"b"}`, 0},
		{`{"input":"a","model":"m","model":"n"}`, 0},
		{`{"input":"a","x":1,"x":1}`, 0},
		{`{"input":"a","model":7}`, 0},
		{`{"input":"a","stream":true}`, 0},
		{`{"input":"a","images":["x"]}`, 0}, // perhaps one for each input
		{`{"input":["a","b"],"images":[{},[]]}`, 0},
		{`{"input":"a"} x`, 0},
		{`{"input":"a"`, 0},
		{`{"input":["a"`, 0},
		{`{"input":["a",]}`, 0},
		{`{"input":"a","x":}`, 0},
		{`{"input":"a","x":NaN}`, 0},
	}
	for _, test := range tests {
		shown := test.body[:min(80, len(test.body))]
		m := openai.Protocol{}.Request(wire.Target{}, []byte(test.body))
		if test.items == 0 {
			require.Nil(t, m, shown)
			continue
		}
		require.NotNil(t, m, shown)
		require.Equal(t, test.items, m.Items, shown)
		require.Len(t, m.Lists[0].Items, test.items)
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	base := `{"model":"m","input":"a","dimensions":3,"user":"u"}`
	tests := []struct {
		body  string
		equal bool
	}{
		{`{"user":"u","input":["b","c"],"dimensions":3,"model":"m"}`, true},
		{` { "dimensions" : 3 , "user" : "u" , "model" : "m" , "input" : "a" } `, true},
		{`{"model":"n","input":"a","dimensions":3,"user":"u"}`, false},
		{`{"model":"m","input":"a","dimensions":4,"user":"u"}`, false},
		{`{"model":"m","input":"a","dimensions":3.0,"user":"u"}`, false},
		{`{"model":"m","input":"a","dimensions":3,"user":"v"}`, false},
		{`{"model":"m","input":"a","dimensions":3}`, false},
		{`{"model":"m","input":"a","dimensions":3,"user":"u","encoding_format":"base64"}`, false},
		{`{"model":"m","input":[1],"dimensions":3,"user":"u"}`, false},
	}
	want := openai.Protocol{}.Request(wire.Target{}, []byte(base))
	for _, test := range tests {
		m := openai.Protocol{}.Request(wire.Target{}, []byte(test.body))
		require.NotNil(t, m, test.body)
		require.Equal(t, test.equal, m.Key == want.Key, test.body)
	}
}

func TestModelName(t *testing.T) {
	t.Parallel()
	m := openai.Protocol{}.Request(wire.Target{}, []byte(`{"model":"a\/b \u00e9","input":"a"}`))
	require.Equal(t, "a/b é", m.Model)
}

package standin

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func seeds(f *testing.F) {
	f.Helper()
	for _, s := range []string{
		`{}`, `[]`, `null`, `"a\"]}"`, ` { "a" : [1, {"b":"}"}, []] , "\u0061":-1.5e3 } `, `[[],[[]],[1,[2,"]"]]]`,
		`{"model":"m","input":["a","b"]}`, `{"model":"m","input":[[1,2],[3]],"dimensions":3}`, `{"input":1}`,
		`{"inputs":[{"name":"a","shape":[2,2],"datatype":"FP32","data":[[1,2],[3,4]]}],"id":"7"}`,
		`{"inputs":[{"name":"a","shape":[2],"datatype":"FP32","data":[1,-667]},{"name":"b","shape":[1],"datatype":"X","data":1}]}`,
	} {
		f.Add([]byte(s))
	}
}

// The spans of fields and elements are those that encoding/json finds.
func FuzzSpans(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		if !json.Valid(doc) {
			t.Skip()
		}
		var list []json.RawMessage
		if json.Unmarshal(doc, &list) == nil {
			i := 0
			for e := range elements(doc) {
				require.Equal(t, string(list[i]), string(e))
				i++
			}
			require.Len(t, list, i)
		}
		dec := json.NewDecoder(bytes.NewReader(doc))
		if tok, err := dec.Token(); err == nil && tok == json.Delim('{') {
			for name, v := range fields(doc) {
				key, err := dec.Token()
				require.NoError(t, err)
				// Bytes that are not UTF-8 stay what they are here.
				if bytes.Equal(bytes.ToValidUTF8([]byte(name), []byte("?")), []byte(name)) {
					require.Equal(t, key, name)
				}
				var raw json.RawMessage
				require.NoError(t, dec.Decode(&raw))
				require.Equal(t, string(raw), string(v))
			}
			require.False(t, dec.More())
		}
		var want bytes.Buffer
		require.NoError(t, json.Compact(&want, doc))
		require.Equal(t, want.String(), string(compact(doc)))
	})
}

// Whatever is sent, parsing ends with a call or with a fault, and an answer is
// JSON.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		call, fault := parseEmbeddings(body)
		if fault == nil {
			require.NotEmpty(t, call.items)
			require.True(t, json.Valid(call.appendAnswer(nil, 2, len(call.items))))
		}
		for _, j := range []*job{
			predict("m", body), explain("m", body), predictions("m", body), embed(body, 2), classify(body), score(body),
			rerank("/rerank", body), rerank("/v1/rerank", body), rerank("/v2/rerank", body), tokenize(body),
		} {
			if j.fault == nil {
				require.True(t, json.Valid(j.answer(nil, j.items)))
			}
		}
		if call, fault := parseCompletions(body, 2); fault == nil {
			require.True(t, json.Valid(call.appendAnswer(nil, len(call.prompts))))
		}
		for cut := range min(len(body), 64) {
			infer, fault := parseInfer("m", body[:len(body)-cut], body[len(body)-cut:])
			if fault == nil {
				require.NotEmpty(t, infer.rows)
				require.True(t, json.Valid(infer.appendAnswer(nil, len(infer.rows))))
			}
		}
	})
}

// Nor does a message of gRPC, whatever is in it, do more than be refused.
func FuzzParseModelInfer(f *testing.F) {
	f.Add([]byte("\x0a\x01m\x1a\x02id\x2a\x12\x0a\x01a\x12\x05INT64\x1a\x02\x01\x01\x2a\x02\x1a\x00"))
	f.Add([]byte("\x0a\x01m\x2a\x0e\x0a\x01a\x12\x05INT64\x1a\x02\x01\x01\x3a\x0812345678"))
	f.Fuzz(func(t *testing.T, message []byte) {
		call, err := parseModelInfer(message)
		if err == nil {
			require.NotEmpty(t, call.rows)
			require.NotEmpty(t, call.appendMessage(nil, len(call.rows)))
		}
	})
}

func BenchmarkEmbeddings(b *testing.B) {
	body := []byte(`{"model":"standin","input":"text 0 of request 12345, to be turned into an embedding"}`)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		call, _ := parseEmbeddings(body)
		dst = call.appendAnswer(dst[:0], 16, 1)
	}
}

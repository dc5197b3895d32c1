package cache

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzForm throws any two bodies at the reader: where they are written in one way, they
// say the same, to the text of their numbers; and what is read is JSON.
func FuzzForm(f *testing.F) {
	for _, pair := range [][2]string{
		{`{"model":"m","seed":9007199254740993}`, `{"model":"m","seed":9007199254740992}`},
		{`{"a":[1,2],"b":{"c":1.0}}`, ` {"b":{"c":1.0},"a":[1, 2]}`},
		{`{"a":[[1],2]}`, `{"a":[[1,2]]}`},
		{`{"a":"]}","b":1}`, `{"a":"","b":1}`},
		{`{"a":1,"a":2}`, `{"a":2}`},
		{`{"temperature":0e9,"stream":true}`, `{"":{}}`},
		{`{"\u0061":1}`, `{"a":1}`},
		{`[`, `{`},
	} {
		f.Add([]byte(pair[0]), []byte(pair[1]))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		first, second := read(chat, a), read(chat, b)
		for body, r := range map[*asked][]byte{first: a, second: b} {
			if body != nil {
				require.True(t, json.Valid(r))
			}
		}
		if first == nil || second == nil || !bytes.Equal(first.form, second.form) {
			return
		}
		require.Equal(t, tree(t, a), tree(t, b))
		first.form, second.form = nil, nil
		require.Equal(t, first, second)
	})
}

func tree(t *testing.T, body []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	require.NoError(t, d.Decode(&v))
	return v
}

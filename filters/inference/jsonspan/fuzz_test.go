package jsonspan_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
)

// depth is how deep brackets outside of strings stand in each other in a text that
// is valid JSON.
func depth(text []byte) int {
	deepest, now, inside := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inside && c == '\\':
			i++
		case c == '"':
			inside = !inside
		case !inside && (c == '{' || c == '['):
			now++
			deepest = max(deepest, now)
		case !inside && (c == '}' || c == ']'):
			now--
		}
	}
	return deepest
}

func FuzzValid(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,2.5e-3,"x\u00e9\n",true,false,null],"b":{},"c":[]}`,
		`[0.0123456789012345,-0.12,1E5,123456789012]`,
		`"abcdefgh\"ijklmnop"`, `{"a":1,}`, `[1,2`, "\"\x01\"", `01`, `nul`, " \t\r\n1 ",
		`{"index":0,"embedding":[-0.006929283495992422,-0.005336422007530928]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		want := json.Valid(text)
		if want && depth(text) > jsonspan.MaxDepth {
			want = false
		}
		require.Equal(t, want, jsonspan.Valid(text))
		w := walker{text: text}
		got, err := w.walk()
		require.Equal(t, want, err == nil)
		if !want {
			return
		}
		// Walked by steps it is the value that encoding/json sees.
		var decoded any
		if json.Unmarshal(text, &decoded) != nil {
			return // a number out of range, say
		}
		if !utf8.Valid(text) {
			return // bytes that are no UTF-8 are kept here, and replaced there
		}
		require.Equal(t, decoded, got)
		// The span of the whole is the text without the white space around it.
		s := jsonspan.New(text)
		require.Equal(t, string(bytes.Trim(text, " \t\r\n")), string(s.Value().Of(text)))
	})
}

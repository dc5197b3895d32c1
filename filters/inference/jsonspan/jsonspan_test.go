package jsonspan_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
)

func TestValid(t *testing.T) {
	t.Parallel()
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	tests := []struct {
		text string
		want bool
	}{
		{`{}`, true},
		{` { } `, true},
		{`[]`, true},
		{"\t\r\n[ ]\n", true},
		{`{"a":1,"b":[true,false,null],"c":{"d":"e"}}`, true},
		{`[[],{},[[]],{"a":{}}]`, true},
		{`0`, true},
		{`-0`, true},
		{`-0.5e-10`, true},
		{`1E+5`, true},
		{`12345678901234567890.12345678901234567890`, true},
		{`"` + strings.Repeat("x", 40) + `\"\\\/\b\f\n\r\t\u00e9\uD83D` + strings.Repeat("é", 9) + `"`, true},
		{"\"\x7f\x80\xff\"", true}, // not UTF-8, which is not this package's to say
		{nested(jsonspan.MaxDepth), true},

		{``, false},
		{` `, false},
		{`{`, false},
		{`[`, false},
		{`[1`, false},
		{`[1,`, false},
		{`[1,]`, false},
		{`[,1]`, false},
		{`[1 2]`, false},
		{`[1}`, false},
		{`{]`, false},
		{`{"a"}`, false},
		{`{"a":}`, false},
		{`{"a":1,}`, false},
		{`{"a":1 "b":2}`, false},
		{`{"a":1]`, false},
		{`{a:1}`, false},
		{`{1:1}`, false},
		{`[{"a":1},]`, false},
		{`[1]]`, false},
		{`1 1`, false},
		{`nul`, false},
		{`nulL`, false},
		{`True`, false},
		{`NaN`, false},
		{`[Infinity]`, false},
		{`01`, false},
		{`-`, false},
		{`-a`, false},
		{`+1`, false},
		{`.5`, false},
		{`1.`, false},
		{`1.e5`, false},
		{`1e`, false},
		{`1e+`, false},
		{`0x10`, false},
		{`"`, false},
		{`"abc`, false},
		{`"abcdefghijk`, false},
		{`"a\"`, false},
		{`"\x"`, false},
		{`"\u12g4"`, false},
		{`"\u123`, false},
		{"\"a\nb\"", false},
		{"\"abcdefgh\x00\"", false},
		{"\"abcdefgh\x1f\"", false},
		{"\ufeff{}", false},
		{"[1]\x00", false},
		{`{"a":1} // c`, false},
		{nested(jsonspan.MaxDepth + 1), false},
		{strings.Repeat("[", 1<<20), false},
		{strings.Repeat(`{"a":`, 1<<18), false},
	}
	for _, test := range tests {
		name := test.text[:min(len(test.text), 40)]
		require.Equal(t, test.want, jsonspan.Valid([]byte(test.text)), "%q", name)
		// The same through the steps that the protocols take.
		w := walker{text: []byte(test.text)}
		_, err := w.walk()
		require.Equal(t, test.want, err == nil, "%q: %v", name, err)
		if !test.want {
			require.ErrorIs(t, err, jsonspan.ErrSyntax)
		}
	}
}

// walker rebuilds the value by entering everything that can be entered.
type walker struct{ text []byte }

func (w *walker) walk() (any, error) {
	s := jsonspan.New(w.text)
	v := w.value(&s)
	return v, s.End()
}

func (w *walker) value(s *jsonspan.Scanner) any {
	start := s.Pos()
	switch {
	case s.Object():
		m := map[string]any{}
		for name, ok := s.Member(); ok; name, ok = s.Member() {
			text, _ := jsonspan.Unquote(w.text[name.Start-1 : name.End+1])
			m[text] = w.value(s)
		}
		return m
	case s.Array():
		l := []any{}
		for s.Element() {
			l = append(l, w.value(s))
		}
		if s.Kind() != 0 && w.text[start] != '[' {
			panic("an array begins with its bracket")
		}
		return l
	}
	span := s.Value()
	if span.Len() > 0 && span.Start != start {
		panic("a value begins where the scanner stands")
	}
	var v any
	if json.Unmarshal(span.Of(w.text), &v) != nil {
		return nil
	}
	return v
}

func TestScannerSpans(t *testing.T) {
	t.Parallel()
	text := []byte(` { "a" : [ 1 , "x\"y" ] , "b" : { "c" : -1.5e3 } , "d" : null } `)
	s := jsonspan.New(text)
	require.False(t, s.Array())
	require.True(t, s.Object())
	name, ok := s.Member()
	require.True(t, ok)
	require.Equal(t, "a", string(name.Of(text)))
	require.Equal(t, byte('['), s.Kind())
	start := s.Pos()
	require.False(t, s.Object())
	require.True(t, s.Array())
	require.True(t, s.Element())
	require.Equal(t, "1", string(s.Value().Of(text)))
	require.True(t, s.Element())
	require.Equal(t, `"x\"y"`, string(s.Value().Of(text)))
	require.False(t, s.Element())
	require.Equal(t, `[ 1 , "x\"y" ]`, string(text[start:s.Pos()]))
	name, ok = s.Member()
	require.True(t, ok)
	require.Equal(t, "b", string(name.Of(text)))
	require.Equal(t, `{ "c" : -1.5e3 }`, string(s.Value().Of(text)))
	_, ok = s.Member()
	require.True(t, ok)
	again := jsonspan.At(text, start)
	require.Equal(t, `[ 1 , "x\"y" ]`, string(again.Value().Of(text)))
	require.Equal(t, "null", string(s.Value().Of(text)))
	_, ok = s.Member()
	require.False(t, ok)
	require.NoError(t, s.End())
}

func TestScannerNotWalkedToTheEnd(t *testing.T) {
	t.Parallel()
	s := jsonspan.New([]byte(`[[1],2]`))
	require.True(t, s.Array())
	require.True(t, s.Element())
	require.True(t, s.Array())
	require.Error(t, s.End(), "two arrays are open")
}

func TestDepthCountsWhatWasEntered(t *testing.T) {
	t.Parallel()
	text := []byte(strings.Repeat("[", jsonspan.MaxDepth+1) + strings.Repeat("]", jsonspan.MaxDepth+1))
	s := jsonspan.New(text)
	for range 100 {
		require.True(t, s.Array())
		require.True(t, s.Element())
	}
	require.Zero(t, s.Value())
	require.ErrorIs(t, s.End(), jsonspan.ErrSyntax)
	require.False(t, s.Element())
}

func TestInt(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]int64{
		"0": 0, "7": 7, "1234567": 1234567, "9007199254740992": jsonspan.MaxInt,
		"": -1, "-1": -1, "-0": -1, "01": -1, "1.0": -1, "1e3": -1, `"1"`: -1,
		"9007199254740993": -1, "99999999999999999999": -1,
	} {
		got, ok := jsonspan.Int([]byte(raw))
		require.Equal(t, want >= 0, ok, raw)
		if ok {
			require.Equal(t, want, got)
		}
	}
}

func TestUnquote(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`""`: "", `"a b"`: "a b", `"\u00e9\n\"\\"`: "é\n\"\\", `"\ud83d\ude00"`: "😀",
	} {
		got, ok := jsonspan.Unquote([]byte(raw))
		require.True(t, ok, raw)
		require.Equal(t, want, got)
	}
	for _, raw := range []string{"", "1", "null", `{"a":1}`, `"`} {
		_, ok := jsonspan.Unquote([]byte(raw))
		require.False(t, ok, raw)
	}
}

// TestLanes puts every byte at every place of a string and of a number that are
// read eight bytes at a time.
func TestLanes(t *testing.T) {
	t.Parallel()
	for _, frame := range []string{`"0123456789abcdef01234567"`, `123456789012345678901234`} {
		for at := 1; at < len(frame)-1; at++ {
			for c := range 256 {
				text := []byte(frame)
				text[at] = byte(c)
				require.Equal(t, json.Valid(text), jsonspan.Valid(text), "%q", text)
			}
		}
	}
}

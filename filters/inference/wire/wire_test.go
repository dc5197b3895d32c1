package wire_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

func TestShare(t *testing.T) {
	t.Parallel()
	tests := []struct {
		total   int64
		weights []int
		want    []int64
	}{
		{27, []int{8, 11, 8}, []int64{8, 11, 8}},
		{0, []int{1, 2}, []int64{0, 0}},
		{1, []int{1, 1, 1}, []int64{1, 0, 0}},
		{2, []int{1, 5, 1}, []int64{0, 2, 0}},
		{10, []int{1, 1, 1}, []int64{4, 3, 3}},
		{5, []int{0, 0}, []int64{3, 2}},
		{5, []int{0, 7}, []int64{0, 5}},
		{9, []int{3}, []int64{9}},
		{math.MaxInt64, []int{math.MaxInt32, math.MaxInt32}, []int64{1 << 62, 1<<62 - 1}},
	}
	for _, test := range tests {
		require.Equal(t, test.want, wire.Share(test.total, test.weights), "%v", test)
	}
}

func FuzzShare(f *testing.F) {
	f.Add(int64(27), uint16(8), uint16(11), uint16(8))
	f.Add(int64(1)<<53, uint16(0), uint16(1), uint16(65535))
	f.Fuzz(func(t *testing.T, total int64, a, b, c uint16) {
		if total < 0 {
			return
		}
		weights := []int{int(a), int(b), int(c)}
		sum, all := int64(0), float64(a)+float64(b)+float64(c)
		for i, share := range wire.Share(total, weights) {
			require.GreaterOrEqual(t, share, int64(0))
			if all > 0 {
				exact := float64(total) * float64(weights[i]) / all
				require.InDelta(t, exact, float64(share), 1+exact*1e-12)
			}
			sum += share
		}
		require.Equal(t, total, sum)
	})
}

func key(t *testing.T, members ...string) (string, bool) {
	t.Helper()
	var o wire.Options
	for _, m := range members {
		name, value, ok := strings.Cut(m, "=")
		if ok {
			o.Add([]byte(name), []byte(value))
		} else {
			o.Note([]byte(name))
		}
	}
	raw, ok := o.AppendKey(nil)
	return string(raw), ok
}

func TestOptions(t *testing.T) {
	t.Parallel()
	got, ok := key(t, "b=1", "input", `a="x"`)
	require.True(t, ok)
	require.Equal(t, `{"a":"x","b":1,}`, got)
	for _, bad := range [][]string{{"a=1", "a=1"}, {"input", "input"}, {"a=1", "b=2", "a"}, {`\u0061=1`}} {
		_, ok = key(t, bad...)
		require.False(t, ok, "%v", bad)
	}
	many := make([]string, 257)
	for i := range many {
		many[i] = fmt.Sprintf("m%d=1", i)
	}
	_, ok = key(t, many[:256]...)
	require.True(t, ok)
	_, ok = key(t, many...)
	require.False(t, ok)
}

func TestKeyIsBounded(t *testing.T) {
	t.Parallel()
	require.Equal(t, "short", wire.Key([]byte("short")))
	long := []byte(strings.Repeat("x", 100_000))
	a := wire.Key(long)
	long[99_999] = 'y'
	b := wire.Key(long)
	require.NotEqual(t, a, b)
	require.Less(t, len(a), 100)
}

func TestPerItem(t *testing.T) {
	t.Parallel()
	require.True(t, wire.PerItem([]byte(`[1,[2]]`), 2))
	require.False(t, wire.PerItem([]byte(`[1,[2]]`), 3))
	require.False(t, wire.PerItem([]byte(`[]`), 1))
	require.False(t, wire.PerItem([]byte(`"a"`), 1))
	require.False(t, wire.PerItem([]byte(`{"a":1}`), 1))
}

func TestRender(t *testing.T) {
	t.Parallel()
	at := func(text, of string) jsonspan.Span {
		i := strings.Index(text, of)
		require.GreaterOrEqual(t, i, 0)
		return jsonspan.Span{Start: i, End: i + len(of)}
	}
	text := `{"l":[a;b],"n":2,"drop":1,"u":7,"id":"x"}`
	m := &wire.Message{
		Text: []byte(text), Items: 2, Usage: []int64{7},
		Lists: []wire.List{{Items: []jsonspan.Span{at(text, "a"), at(text, "b")}}},
		Holes: []wire.Hole{
			{Span: jsonspan.Span{Start: 1, End: 1}, Kind: wire.NewID},
			{Span: at(text, "a;b"), Kind: wire.Inside},
			{Span: at(text, "2"), Kind: wire.Count},
			{Span: at(text, `,"drop":1`), Kind: wire.Drop},
			{Span: at(text, "7"), Kind: wire.Usage},
			{Span: at(text, `"x"`), Kind: wire.ID},
		},
	}
	all := []wire.Piece{{Message: m, To: 2}}
	require.Equal(t, `{"l":[a;b],"n":2,"u":7,"id":"x"}`, string(m.Render(wire.Fill{Pieces: all})))
	require.Equal(t, `{"id":"y","l":[b,a;b],"n":3,"u":9,"id":"y"}`, string(m.Render(wire.Fill{
		Pieces: []wire.Piece{{Message: m, From: 1, To: 2}, all[0]},
		ID:     []byte(`"y"`), Usage: []int64{9},
	})))
	require.Equal(t, 2, m.Weight(0, 2))
	m.Weights = []int{4, 7}
	require.Equal(t, 7, m.Weight(1, 2))
}

// TestLengths: each length counts what will stand behind it, also where a length
// inside grows by a byte.
func TestLengths(t *testing.T) {
	t.Parallel()
	// A frame of a field of 4 bytes: a field of 2, which are 2 items, and a number.
	text := []byte("\x00\x00\x00\x00\x06\x0a\x04\x12\x02ab*")
	span := func(start, end int) jsonspan.Span { return jsonspan.Span{Start: start, End: end} }
	m := &wire.Message{
		Text: text, Items: 2,
		Lists: []wire.List{{Items: []jsonspan.Span{span(9, 10), span(10, 11)}, Raw: true}},
		Holes: []wire.Hole{
			{Span: span(1, 5), Kind: wire.Frame, N: len(text)},
			{Span: span(6, 7), Kind: wire.Length, N: 11},
			{Span: span(8, 9), Kind: wire.Length, N: 11},
			{Span: span(9, 11), Kind: wire.Inside},
			{Span: span(11, 12), Kind: wire.Varint},
		},
	}
	pieces := func(n int) []wire.Piece {
		return slices.Repeat([]wire.Piece{{Message: m, To: 2}}, n)
	}
	for n, want := range map[int]string{
		1:  "\x00\x00\x00\x00\x07\x0a\x04\x12\x02ab\x02",
		62: "\x00\x00\x00\x00\x81\x0a\x7e\x12\x7c" + strings.Repeat("ab", 62) + "\x7c",
		63: "\x00\x00\x00\x00\x84\x0a\x80\x01\x12\x7e" + strings.Repeat("ab", 63) + "\x7e",
		64: "\x00\x00\x00\x00\x88\x0a\x83\x01\x12\x80\x01" + strings.Repeat("ab", 64) + "\x80\x01",
	} {
		require.Equal(t, want, string(m.Render(wire.Fill{Pieces: pieces(n)})), n)
	}
	require.Equal(t, "\x00\x00\x00\x00\x06\x0a\x03\x12\x01b\x01",
		string(m.Render(wire.Fill{Pieces: []wire.Piece{{Message: m, From: 1, To: 2}}})))
}

package wire_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

func TestRunsOver(t *testing.T) {
	t.Parallel()
	var o wire.Options
	o.Add([]byte("known"), []byte("[1]"))
	o.Other([]byte("a"), []byte("[1,2]"))
	o.Other([]byte("b"), []byte("1"))
	o.Other([]byte("c"), nil)
	require.True(t, o.RunsOver(2))
	require.False(t, o.RunsOver(1))
}

func TestReadList(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text, kinds string
		most, items int // -1: refused
	}{
		{`[1,"",{}]`, "", 3, 3},
		{`[]`, "", 3, 0},
		{`[1,2]`, "", 1, -1},
		{`{}`, "", 1, -1},
		{`["a",{}]`, `"{`, 2, 2},
		{`["a",[]]`, `"{`, 2, -1},
		{`[""]`, `"{`, 2, -1},
	} {
		m := &wire.Message{Text: []byte(test.text)}
		s := jsonspan.New(m.Text)
		require.Equal(t, test.items >= 0, m.ReadList(&s, test.most, test.kinds), test.text)
		if test.items >= 0 {
			require.Equal(t, test.items, m.Items)
			again := jsonspan.New(m.Text)
			require.False(t, m.ReadList(&again, test.most, test.kinds), "one list")
		}
	}
}

func TestShareUsage(t *testing.T) {
	t.Parallel()
	m := &wire.Message{Usage: []int64{10, 9, 19}, Counts: []wire.Tally{
		{}, {Weights: []int{1, 1, 7}}, {Sum: []int{0, 1}},
	}}
	require.Equal(t, [][]int64{{6, 2, 8}, {4, 7, 11}}, m.ShareUsage([]int{2, 1}, []int{3, 2}))
	require.Nil(t, (&wire.Message{}).ShareUsage([]int{1}, []int{1}))
}

// TestRankedPieces: of one message the server's order stays, whichever items are
// wanted; each is numbered by its place among those.
func TestRankedPieces(t *testing.T) {
	t.Parallel()
	text := `[{"index":2,"s":9},{"index":0,"s":5},{"index":1,"s":5}]`
	m := &wire.Message{Text: []byte(text), Items: 3}
	s := jsonspan.New(m.Text)
	_, err := m.ReadResults(&s, wire.Results{Name: "r", Score: "s"})
	require.NoError(t, err)
	for _, test := range []struct {
		from, to int
		want     string
	}{
		{0, 3, text},
		{0, 2, `[{"index":0,"s":5},{"index":1,"s":5}]`},
		{1, 3, `[{"index":1,"s":9},{"index":0,"s":5}]`},
	} {
		got := m.Render(wire.Fill{Pieces: []wire.Piece{{Message: m, From: test.from, To: test.to}}})
		require.Equal(t, test.want, string(got))
	}
	for _, score := range []string{"9", "null", `"5"`, "1e999"} {
		other := &wire.Message{Text: fmt.Appendf(nil, `[{"index":0,"s":8},{"index":1,"s":%s}]`, score), Items: 2}
		s := jsonspan.New(other.Text)
		_, err := other.ReadResults(&s, wire.Results{Name: "r", Score: "s"})
		require.NoError(t, err)
		require.Nil(t, other.Lists[0].Score, score)
	}
}

func FuzzReadAnswer(f *testing.F) {
	for _, answer := range []string{
		`{"r":[{"index":1,"s":2,"t":"a"},{"index":0,"s":1}],"usage":{"a":1,"b":{"c":2}},"meta":{"tokens":{"d":1}}}`,
		`{"o":[{"index":0},{"index":1},{"index":2},{"index":3}]}`,
	} {
		f.Add([]byte(answer), true)
		f.Add([]byte(answer), false)
	}
	f.Fuzz(func(t *testing.T, answer []byte, several bool) {
		how := wire.Results{Name: "r", Or: "o", Bills: "meta", Several: several}
		if several {
			how.Text = "t"
		} else {
			how.Score = "s"
		}
		m := &wire.Message{Text: answer, Items: 2}
		weights, err := m.ReadAnswer(how)
		if err != nil {
			return
		}
		require.True(t, jsonspan.Valid(answer))
		require.Len(t, m.Counts, len(m.Usage))
		require.Equal(t, several, weights != nil)
		whole := []wire.Piece{{Message: m, To: 2}}
		again := &wire.Message{Text: m.Render(wire.Fill{Pieces: whole, Usage: m.Usage}), Items: 2}
		_, err = again.ReadAnswer(how)
		require.NoError(t, err, "%s", again.Text)
		require.Equal(t, m.Key, again.Key)
		require.Equal(t, m.Usage, again.Usage)
	})
}

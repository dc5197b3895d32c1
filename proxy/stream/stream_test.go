package stream_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy/stream"
)

// lines feeds text in pieces of n bytes.
func lines(text string, n int) (found []string, begun string) {
	var l stream.Lines
	for len(text) > 0 {
		piece := []byte(text[:min(n, len(text))])
		text = text[len(piece):]
		for len(piece) > 0 {
			var line []byte
			line, piece = l.Next(piece)
			if line != nil {
				found = append(found, string(line))
			}
		}
	}
	return found, string(l.Begun())
}

func TestLines(t *testing.T) {
	for _, test := range []struct {
		text  string
		want  []string
		begun string
	}{
		{"", nil, ""},
		{"a", nil, "a"},
		{"a\n", []string{"a"}, ""},
		{"\n", []string{""}, ""},
		{"\r\n\r\n", []string{"", ""}, ""},
		{"data: a\r\n\r\ndata: b\n\n", []string{"data: a", "", "data: b", ""}, ""},
		{"a\rb\n", []string{"a\rb"}, ""},
		{"a\nb", []string{"a"}, "b"},
	} {
		for n := 1; n <= len(test.text)+1; n++ {
			got, begun := lines(test.text, n)
			require.Equal(t, test.want, got, "%q by %d", test.text, n)
			require.Equal(t, test.begun, begun, "%q by %d", test.text, n)
		}
	}
}

func TestLongLines(t *testing.T) {
	long := strings.Repeat("x", 3*stream.MaxLine)
	got, _ := lines(long+"\nb\n", len(long)+1)
	require.Equal(t, []string{long, "b"}, got, "in one piece it costs nothing")
	got, _ = lines(long+"\nb\n", 1000)
	require.Equal(t, []string{long[:stream.MaxLine], "b"}, got)

	var l stream.Lines
	l.Next([]byte(long))
	require.True(t, l.Over())
	require.Len(t, l.Begun(), stream.MaxLine)
	l.Next([]byte("\n"))
	require.False(t, l.Over())
}

func TestSkip(t *testing.T) {
	var l stream.Lines
	l.Next([]byte("a"))
	l.Skip([]byte("b"))
	require.Equal(t, "ab", string(l.Begun()))
	l.Skip([]byte("c\nd\ne"))
	line, rest := l.Next([]byte("f\ng"))
	require.Equal(t, "ef", string(line))
	require.Equal(t, "g", string(rest))
	l.Skip([]byte("\n"))
	require.Empty(t, l.Begun())
}

func TestTail(t *testing.T) {
	text := make([]byte, 5*stream.TailSize)
	for i := range text {
		text[i] = byte(i % 251)
	}
	for _, n := range []int{1, 7, 1000, stream.TailSize - 1, stream.TailSize, stream.TailSize + 1, len(text)} {
		var tail stream.Tail
		for rest := text; len(rest) > 0; {
			piece := rest[:min(n, len(rest))]
			rest = rest[len(piece):]
			tail.Add(piece)
			seen := text[:len(text)-len(rest)]
			require.True(t, bytes.HasSuffix(seen, tail.Bytes()), n)
			require.GreaterOrEqual(t, len(tail.Bytes()), min(len(seen), stream.TailSize), n)
		}
		tail.Reset()
		require.Empty(t, tail.Bytes())
	}
}

func TestBetween(t *testing.T) {
	for text, want := range map[string][2]bool{
		"":                 {true, true},
		"data: a":          {false, false},
		"data: a\n":        {false, true},
		"data: a\n\n":      {true, true},
		"data: a\r\n":      {false, true},
		"data: a\r\n\r\n":  {true, true},
		"data: a\n\ndata:": {false, false},
	} {
		var tail stream.Tail
		tail.Add([]byte(text))
		require.Equal(t, want, [2]bool{tail.BetweenEvents(), tail.BetweenLines()}, "%q", text)
	}
}

// FuzzLines: however a text is cut into pieces, its lines are those of the whole.
func FuzzLines(f *testing.F) {
	f.Add("data: a\r\n\r\n: b\ndata: c\n\n", uint8(3))
	f.Fuzz(func(t *testing.T, text string, n uint8) {
		if len(text) > stream.MaxLine {
			return
		}
		got, begun := lines(text, int(n)+1)
		want := strings.Split(text, "\n")
		require.Equal(t, want[len(want)-1], begun)
		require.Len(t, got, len(want)-1)
		for i, line := range got {
			require.Equal(t, strings.TrimSuffix(want[i], "\r"), line)
		}
	})
}

func BenchmarkTail(b *testing.B) {
	piece := bytes.Repeat([]byte("x"), 200)
	var tail stream.Tail
	b.ReportAllocs()
	for b.Loop() {
		tail.Add(piece)
	}
}

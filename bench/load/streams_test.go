package load_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/standin"
)

func TestStreamsAreFollowed(t *testing.T) {
	address, s := stand(t, standin.Config{})
	r, err := load.Streams(t.Context(), load.StreamOptions{
		Target: load.Target{Address: address}, Concurrency: 3, Streams: 9, Tokens: 7, Gap: time.Millisecond,
	})
	require.NoError(t, err)
	require.True(t, r.Clean(), r.Trouble())
	require.Equal(t, uint64(9), r.Requests)
	require.Equal(t, uint64(63), r.Chunks)
	require.Equal(t, uint64(63), r.Lag.Count())
	require.Equal(t, uint64(9), r.FirstChunk.Count())
	require.Less(t, r.Lag.Quantile(.5), 10*time.Second, "the stamps are of the same clock")
	require.Positive(t, r.Lag.Quantile(.5))
	require.GreaterOrEqual(t, r.Latency.Quantile(0), 5*time.Millisecond, "six gaps")
	require.LessOrEqual(t, r.Connections, uint64(3), "a stream leaves its connection usable")
	// The server counts a stream after it has written the last of it.
	require.Eventually(t, func() bool { return s.Stats().Completed == 9 }, 10*time.Second, time.Millisecond)
}

func TestSpoiledStreamsAreWrong(t *testing.T) {
	address, _ := stand(t, standin.Config{})
	var other []byte
	for name, change := range map[string]func([]byte) []byte{
		"cut off":       func(b []byte) []byte { return b[:len(b)/2] },
		"no end":        func(b []byte) []byte { return bytes.Replace(b, []byte("data: [DONE]\n\n"), nil, 1) },
		"after the end": func(b []byte) []byte { return append(b, "data: {}\n\n"...) },
		"a comment":     func(b []byte) []byte { return append([]byte(": hello\n\n"), b...) },
		"out of order": func(b []byte) []byte {
			e := bytes.SplitAfter(b, []byte("\n\n"))
			e[2], e[3] = e[3], e[2]
			return bytes.Join(e, nil)
		},
		"one twice": func(b []byte) []byte {
			e := bytes.SplitAfter(b, []byte("\n\n"))
			e[3] = e[2]
			return bytes.Join(e, nil)
		},
		"somebody else's": func(b []byte) []byte {
			b, other = other, b
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			spoiled := spoil(t, address, func(_ string, b []byte) []byte { return change(bytes.Clone(b)) })
			other = []byte("data: {\"id\":\"chatcmpl-1\"}\n\n")
			r, err := load.Streams(t.Context(), load.StreamOptions{
				Target: load.Target{Address: spoiled}, Concurrency: 1, Streams: 1, Tokens: 6,
			})
			require.NoError(t, err)
			require.Equal(t, uint64(1), r.Wrong, "%s", r.Trouble())
		})
	}
}

func TestStreamsThatFail(t *testing.T) {
	r, err := load.Streams(t.Context(), load.StreamOptions{
		Target: load.Target{Address: "127.0.0.1:1"}, Concurrency: 1, Streams: 1, Tokens: 1,
	})
	require.NoError(t, err)
	require.Equal(t, map[string]uint64{"connect": 1}, r.Failed)

	address, _ := stand(t, standin.Config{})
	r, err = load.Streams(t.Context(), load.StreamOptions{
		Target: load.Target{Address: address, Prefix: "/not/there"}, Concurrency: 1, Streams: 1, Tokens: 1,
	})
	require.NoError(t, err)
	require.Equal(t, map[string]uint64{"404": 1}, r.Failed)

	for says, o := range map[string]load.StreamOptions{
		"Concurrency": {}, "Tokens": {Concurrency: 1}, "neither Duration": {Concurrency: 1, Tokens: 1},
	} {
		_, err := load.Streams(t.Context(), o)
		require.ErrorContains(t, err, says)
	}
}

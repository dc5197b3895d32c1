package stream_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/filters/stream"
)

// FuzzParse: whatever a control plane sends, what is taken is within the limits.
func FuzzParse(f *testing.F) {
	for _, config := range []string{"", "first_chunk_timeout {seconds: 1}", "max_buffer_bytes: 7", "heartbeat {}"} {
		f.Add(filtertest.Any(f, stream.Factory{}, config).GetValue())
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		config, err := stream.Factory{}.Parse(&anypb.Any{TypeUrl: stream.TypeURL, Value: value})
		if err != nil {
			require.Nil(t, config)
			return
		}
		c, ok := config.(*stream.Config)
		require.True(t, ok)
		require.Positive(t, c.MaxBufferBytes)
		require.GreaterOrEqual(t, int64(c.FirstChunkTimeout), int64(0))
		require.GreaterOrEqual(t, int64(c.IdleChunkTimeout), int64(0))
	})
}

// FuzzRelay: what passes is what came, however it was cut and with whatever sizes
// it is read.
func FuzzRelay(f *testing.F) {
	f.Add("data: a\n\ndata: b\n\n", byte(3), byte(7), sse)
	f.Add("{}\n", byte(1), byte(1), ndjson)
	f.Add("", byte(1), byte(1), "")
	f.Fuzz(func(t *testing.T, text string, piece, read byte, contentType string) {
		var chunks []chunk
		for rest := text; rest != ""; {
			n := min(len(rest), int(piece)+1)
			chunks = append(chunks, chunk{text: rest[:n]})
			rest = rest[n:]
		}
		house, h := serve(t, "idle_chunk_timeout {seconds: 60}", 0, contentType, newSource(chunks...))
		resp, err := h.Handle(t.Context(), request())
		require.NoError(t, err)
		got := make([]byte, 0, len(text))
		buf := make([]byte, int(read)+1)
		for err == nil {
			var n int
			n, err = resp.Body.Read(buf)
			got = append(got, buf[:n]...)
		}
		require.Equal(t, io.EOF, err)
		require.Equal(t, text, string(got))
		require.NoError(t, resp.Close())
		require.Zero(t, house.Count(t, "friday_streams_cancelled_total"))
	})
}

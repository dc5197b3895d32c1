package inference

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// coming is a body that comes piece by piece.
type coming struct {
	*bytes.Reader
	length int64
}

func (c *coming) Close() error                      { return nil }
func (c *coming) Len() int64                        { return c.length }
func (c *coming) Trailer() *fasthttp.ResponseHeader { return nil }

// What there is no room for is not read, and can still be read by whoever comes next.
func TestBodiesBeyondWhatMayBeHeldPassUnread(t *testing.T) {
	const most = 1 << 20
	m := &memory{most: func() int64 { return most }}
	text := bytes.Repeat([]byte("abcdefgh"), 100<<10/8) // 100 KiB
	request := func(declared bool) *proxy.Request {
		c := &coming{bytes.NewReader(text), -1}
		if declared {
			c.length = int64(len(text))
		}
		return &proxy.Request{Header: new(fasthttp.RequestHeader), Body: c}
	}
	for _, declared := range []bool{true, false} {
		var kept []*proxy.Request
		for {
			req := request(declared)
			body, err := readInto(m, req, 16<<20)
			require.NoError(t, err)
			if body == nil {
				rest, err := io.ReadAll(req.Body)
				require.NoError(t, err)
				require.Equal(t, text, rest)
				break
			}
			require.Equal(t, text, body)
			kept = append(kept, req)
			require.Less(t, len(kept), 12)
		}
		require.GreaterOrEqual(t, len(kept), 7, "declared: %t", declared)
		require.LessOrEqual(t, m.used.Load(), int64(most))
		small := &proxy.Request{Header: new(fasthttp.RequestHeader), Body: &coming{bytes.NewReader(text[:1000]), 1000}}
		body, err := readInto(m, small, 16<<20)
		require.NoError(t, err)
		require.Equal(t, text[:1000], body, "small ones do not count")
		for _, req := range kept {
			require.NoError(t, req.Body.Close())
			require.NoError(t, req.Body.Close())
		}
		require.Zero(t, m.used.Load(), "declared: %t", declared)
	}
}

package batch_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

// arriving is a body that needs a while for its last byte, and may end badly.
type arriving struct {
	*proxy.BytesBody

	length  int64
	takes   time.Duration
	ready   int
	end     error
	trailer *fasthttp.ResponseHeader
	closed  bool
}

func (b *arriving) Len() int64 { return b.length }
func (b *arriving) Ready() int { return b.ready }

func (b *arriving) Trailer() *fasthttp.ResponseHeader { return b.trailer }

func (b *arriving) Read(p []byte) (int, error) {
	n, err := b.BytesBody.Read(p[:min(len(p), 1000)])
	if err != nil {
		time.Sleep(b.takes)
		if b.end != nil {
			err = b.end
		}
	}
	return n, err
}

func (b *arriving) Close() error {
	b.closed = true
	return nil
}

func newArriving(size int) *arriving {
	return &arriving{BytesBody: proxy.NewBytesBody([]byte(strings.Repeat("x", size))), length: int64(size)}
}

// answers is a server that answers the first request with body, and others at
// once.
func answers(t *testing.T, body proxy.Body) proxy.Handler {
	t.Helper()
	first := true
	return chain(t, filtertest.NewHouse(t, 1), "", proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
		r := filtertest.Answer(200, "application/json", `{"predictions":[1]}`)
		if first {
			first, r.Body = false, body
		}
		return r, nil
	}))
}

// TestSlowReader: a caller that does not read its answer keeps nobody waiting for
// long, and loses nothing.
func TestSlowReader(t *testing.T) {
	const long = 1<<20 + 1
	for _, test := range []struct {
		name string
		body *arriving
		// head is how long the answer takes to be handed on, others how long the
		// next caller then waits.
		head, others time.Duration
	}{
		{"short", &arriving{takes: 30 * time.Millisecond, length: 1 << 20}, 30 * time.Millisecond, 0},
		{"there already", &arriving{takes: 30 * time.Millisecond, length: 5000, ready: 5000}, 0, 0},
		{"long", &arriving{takes: 30 * time.Millisecond, length: long}, 0, 100 * time.Millisecond},
		{"length unknown", &arriving{takes: 30 * time.Millisecond, length: -1}, 0, 100 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				size := max(3000, int(test.body.length))
				test.body.BytesBody = proxy.NewBytesBody([]byte(strings.Repeat("x", size)))
				h := answers(t, test.body)
				start := time.Now()
				resp, err := h.Handle(t.Context(), filtertest.Request(predictPath, instances("a", 1)))
				require.NoError(t, err)
				require.Equal(t, test.head, time.Since(start))
				require.Equal(t, test.body.length, resp.Body.Len())
				if test.body.ready > 0 {
					require.Same(t, test.body, resp.Body, "it is handed on as it is")
				}

				start = time.Now()
				require.NoError(t, call(t.Context(), h, filtertest.Request(predictPath, instances("b", 1))).err)
				require.Equal(t, test.others, time.Since(start))

				require.Len(t, filtertest.ReadBody(t, resp), size)
				require.True(t, test.body.closed)
				// The slot was given back once: there is one still.
				require.NoError(t, call(t.Context(), h, filtertest.Request(predictPath, instances("c", 1))).err)
			})
		})
	}
}

// TestSlowReaderOfASlowModel is given four times what its calls take.
func TestSlowReaderOfASlowModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := filtertest.NewServer(1, 50*time.Millisecond, 0)
		server.Before = func(_ context.Context, c filtertest.Call) (*proxy.Response, error) {
			if !strings.Contains(c.Body, "stream") {
				return nil, nil //nolint:nilnil // as ever
			}
			r := filtertest.Answer(200, "application/json", "")
			body := newArriving(3000)
			body.length = -1
			r.Body = body
			return r, nil
		}
		d := newDoor(t, "", server)
		require.NoError(t, call(t.Context(), d, filtertest.Request(predictPath, instances("a", 1))).err)
		resp, err := d.Handle(t.Context(), filtertest.Request(predictPath, instances("stream", 1)))
		require.NoError(t, err)
		time.Sleep(150 * time.Millisecond)
		_, err = resp.Body.Read(make([]byte, 10)) // from here on anew
		require.NoError(t, err)
		start := time.Now()
		require.NoError(t, call(t.Context(), d, filtertest.Request(predictPath, instances("b", 1))).err)
		require.Equal(t, 200*time.Millisecond+50*time.Millisecond, time.Since(start))
		require.NoError(t, resp.Close())
	})
}

// TestReadHere: what was read before an answer is handed on is what the server
// sent, its end and trailers with it.
func TestReadHere(t *testing.T) {
	for _, test := range []struct {
		name         string
		length, sent int
		want         int
		end          error
		trailer      bool
	}{
		{name: "whole", length: 5000, sent: 5000, want: 5000},
		{name: "cut short", length: 5000, sent: 3000, want: 3000, end: io.ErrUnexpectedEOF},
		{name: "trailers", length: 5000, sent: 5000, want: 5000, trailer: true},
		{name: "longer than it says", length: 5000, sent: 1 << 30, want: 5000},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := newArriving(min(test.sent, 1<<20))
			body.length, body.end = int64(test.length), test.end
			if test.trailer {
				body.trailer = new(fasthttp.ResponseHeader)
			}
			h := answers(t, body)
			resp, err := h.Handle(t.Context(), filtertest.Request(predictPath, instances("a", 1)))
			require.NoError(t, err)
			require.True(t, body.closed)
			require.EqualValues(t, test.length, resp.Body.Len())
			require.Nil(t, resp.Body.Trailer())
			got, err := io.ReadAll(resp.Body)
			require.ErrorIs(t, err, test.end)
			require.Len(t, got, test.want)
			require.Same(t, body.trailer, resp.Body.Trailer())
			require.NoError(t, resp.Close())
			require.NoError(t, call(t.Context(), h, filtertest.Request(predictPath, instances("b", 1))).err)
		})
	}
}

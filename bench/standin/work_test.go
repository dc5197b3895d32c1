package standin_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/standin"
)

const oneText = `{"model":"m","input":"one"}`

// slow takes long enough to be looked at while it works.
func slow() standin.Config {
	return standin.Config{Fixed: time.Hour}
}

func TestCallsQueueForTheAccelerator(t *testing.T) {
	for _, units := range []int{1, 3} {
		c := standin.Config{Fixed: 4 * time.Millisecond, PerItem: time.Millisecond, Accelerators: units}
		address, s := serve(t, c)
		const calls = 9
		start := time.Now()
		var wg sync.WaitGroup
		for range calls {
			conn := dial(t, address)
			wg.Go(func() {
				conn.send("/v1/embeddings", "", `{"model":"m","input":["a","b"]}`)
				conn.receive()
			})
		}
		wg.Wait()
		// Nine calls of 6 ms on so many units cannot take less.
		require.GreaterOrEqual(t, time.Since(start), time.Duration(calls/units)*6*time.Millisecond)
		st := s.Stats()
		require.Equal(t, uint64(calls), st.Calls)
		require.Equal(t, uint64(2*calls), st.Items)
		require.Equal(t, map[int]uint64{2: calls}, st.Batches)
		require.InDelta(t, 2, st.MeanBatch(), 0)
	}
}

func TestAGoneCallerStopsTheWork(t *testing.T) {
	address, s := serve(t, slow())
	running := dial(t, address)
	running.send("/v1/embeddings", "", oneText)
	eventually(t, s, "running", func(st standin.Stats) bool { return st.Active == 1 && st.Queued == 0 })
	queued := dial(t, address)
	queued.send("/v1/models/m:predict", "", `{"instances":[1]}`)
	eventually(t, s, "queued", func(st standin.Stats) bool { return st.Active == 2 && st.Queued == 1 })

	require.NoError(t, queued.nc.Close())
	eventually(t, s, "queued one gone", func(st standin.Stats) bool {
		return st.Active == 1 && st.Queued == 0 && st.Cancelled == 1
	})
	require.NoError(t, running.nc.Close())
	eventually(t, s, "running one gone", func(st standin.Stats) bool { return st.Active == 0 && st.Cancelled == 2 })
	require.Zero(t, s.Stats().Calls, "no call ran to its end")
}

func TestTheAcceleratorIsFreeAfterACancelledCall(t *testing.T) {
	address, s := serve(t, standin.Config{PerItem: 5 * time.Millisecond})
	var long [2]*caller
	for i := range long {
		long[i] = dial(t, address)
		long[i].send("/v1/embeddings", "", `{"model":"m","input":[`+strings.Repeat(`"x",`, 9999)+`"x"]}`)
	}
	eventually(t, s, "one runs, one waits", func(st standin.Stats) bool { return st.Queued == 1 })
	next := dial(t, address)
	next.send("/v1/embeddings", "", oneText)
	eventually(t, s, "two wait", func(st standin.Stats) bool { return st.Queued == 2 })
	for _, c := range long {
		require.NoError(t, c.nc.Close())
	}
	status, _ := next.receive()
	require.Equal(t, 200, status)
}

func TestAStreamStopsWithItsCaller(t *testing.T) {
	address, s := serve(t, standin.Config{Gap: time.Millisecond})
	c := dial(t, address)
	c.send("/v1/chat/completions", standin.ThinkHeader+": 3600000", `{"model":"m","stream":true,"messages":[]}`)
	eventually(t, s, "thinking", func(st standin.Stats) bool { return st.Thinking == 1 && st.Streams == 0 })
	require.NoError(t, c.nc.Close())
	eventually(t, s, "thought stopped", func(st standin.Stats) bool { return st.Thinking == 0 && st.Cancelled == 1 })

	c = dial(t, address)
	c.send("/v1/chat/completions", "", `{"model":"m","stream":true,"max_tokens":1000000,"messages":[]}`)
	_, err := c.br.ReadString('}')
	require.NoError(t, err)
	eventually(t, s, "streaming", func(st standin.Stats) bool { return st.Streams == 1 && st.Chunks > 2 })
	require.NoError(t, c.nc.Close())
	eventually(t, s, "stream stopped", func(st standin.Stats) bool { return st.Streams == 0 && st.Cancelled == 2 })

	c = dial(t, address)
	c.send("/v1/chat/completions", "", `{"model":"m","messages":[],"metadata":{"think_ms":"3600000"}}`)
	eventually(t, s, "thinking, not streamed", func(st standin.Stats) bool { return st.Thinking == 1 })
	require.NoError(t, c.nc.Close())
	eventually(t, s, "thought stopped", func(st standin.Stats) bool { return st.Thinking == 0 && st.Cancelled == 3 })
	require.Zero(t, s.Stats().Completed)
}

func TestAConnectionServesManyRequests(t *testing.T) {
	address, s := serve(t, standin.Config{Fixed: time.Millisecond})
	c := dial(t, address)
	for range 3 {
		status, _ := c.post("/v1/embeddings", oneText)
		require.Equal(t, 200, status)
		_, text := c.post("/v1/chat/completions", `{"model":"m","stream":true,"max_tokens":2,"messages":[]}`)
		require.True(t, strings.HasSuffix(text, "data: [DONE]\n\n"))
	}
	// Pipelined: the next request arrives while the first one is being served.
	c.send("/v1/embeddings", "", oneText)
	c.send("/v1/embeddings", "", `{"model":"m","input":"two"}`)
	_, first := c.receive()
	_, second := c.receive()
	require.NotEqual(t, first, second)
	require.Equal(t, uint64(1), s.Stats().Connections)
	require.Zero(t, s.Stats().Cancelled)
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	address, _ := serve(t, standin.Config{KeepAlive: 20 * time.Millisecond})
	c := dial(t, address)
	status, _ := c.post("/v1/embeddings", oneText)
	require.Equal(t, 200, status)
	_, err := c.br.ReadByte()
	require.ErrorContains(t, err, "EOF")
}

func TestHangUpAfterAFailure(t *testing.T) {
	address, s := serve(t, standin.Config{HangUp: true})
	c := dial(t, address)
	status, _ := c.post("/v1/embeddings", `{"model":"m","input":"poison"}`)
	require.Equal(t, 400, status)
	c.send("/v1/embeddings", "", `{"model":"m","input":"poison500"}`)
	resp, err := http.ReadResponse(c.br, nil)
	require.NoError(t, err)
	require.Equal(t, 500, resp.StatusCode)
	require.False(t, resp.Close, "the head does not tell")
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	_, err = c.br.ReadByte()
	require.ErrorIs(t, err, io.EOF)
	require.Zero(t, s.Stats().Cancelled)
}

func TestHTTPOnTheWire(t *testing.T) {
	for name, tc := range map[string]struct{ sent, got string }{
		"expect":    {"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 27\r\n\r\n" + oneText, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"},
		"close":     {"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "connection: close\r\n"},
		"chunked":   {"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1b\r\n" + oneText + "\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
		"garbage":   {"\x16\x03\x01 what\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
		"too large": {"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: 5000\r\n\r\n", "HTTP/1.1 413 "},
		"head":      {"HEAD /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "content-length: 2\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			address, _ := serve(t, standin.Config{MaxBody: 4096})
			c := dial(t, address)
			_, err := c.nc.Write([]byte(tc.sent))
			require.NoError(t, err)
			require.NoError(t, c.nc.(*net.TCPConn).CloseWrite())
			var b strings.Builder
			_, err = c.br.WriteTo(&b)
			require.NoError(t, err)
			require.Contains(t, b.String(), tc.got)
		})
	}
}

func TestConfigIsChecked(t *testing.T) {
	_, err := standin.New(standin.Config{Accelerators: -1})
	require.EqualError(t, err, "standin: Accelerators: -1 is negative")
	_, err = standin.New(standin.Config{PerItem: -time.Second})
	require.EqualError(t, err, "standin: PerItem: -1s is negative")
}

func TestStatsSub(t *testing.T) {
	a := standin.Stats{Calls: 3, Items: 5, Batches: map[int]uint64{1: 2, 3: 1}, Active: 7}
	b := standin.Stats{Calls: 5, Items: 9, Batches: map[int]uint64{1: 3, 3: 2}, Active: 1}
	require.Equal(t, standin.Stats{Calls: 2, Items: 4, Batches: map[int]uint64{1: 1, 3: 1}, Active: 1}, b.Sub(a))
}

package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/proxytest"
)

// limited is a server whose listener has the given limits, before one that answers
// with what it was sent, or by script.
func limited(t *testing.T, l config.Limits, script proxytest.Script) (*house, *proxytest.Server) {
	t.Helper()
	if script == nil {
		script = proxytest.Echo
	}
	up := proxytest.NewServer(t, script)
	h := newHouse(t, Options{})
	r := resources(up.Address())
	r.Listeners[0].Default.HTTP.Limits = l
	require.NoError(t, h.Apply(r))
	return h, up
}

const soon = 50 * time.Millisecond

func TestSlowBodies(t *testing.T) {
	for name, l := range map[string]config.Limits{
		"idle":    {StreamIdleTimeout: soon},
		"request": {RequestTimeout: soon},
	} {
		for _, small := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				h, _ := limited(t, l, nil)
				length := "100000"
				if small { // one that is read before the request is handled
					length = "10"
				}
				c := proxytest.Dial(t, h.address())
				c.Send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: " + length + "\r\n\r\nhello")
				r := c.Response()
				require.Equal(t, 408, r.Status)
				c.Body(r)
				c.WaitClosed()
			})
		}
		for _, length := range []int64{-1, 10} {
			t.Run(name+" over HTTP/2", func(t *testing.T) {
				h, _ := limited(t, l, nil)
				pr, pw := io.Pipe()
				defer pw.Close()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+h.address(), pr)
				require.NoError(t, err)
				req.ContentLength = length
				go io.WriteString(pw, "hello")
				resp, err := http2Caller(t).Do(req)
				require.NoError(t, err)
				defer resp.Body.Close()
				require.Equal(t, 408, resp.StatusCode)
			})
		}
	}
}

// A body that goes on, however slowly, is not idle.
func TestSlowIsNotIdle(t *testing.T) {
	h, _ := limited(t, config.Limits{StreamIdleTimeout: 10 * soon}, nil)
	c := proxytest.Dial(t, h.address())
	c.Send("POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n")
	tick := time.NewTicker(soon)
	defer tick.Stop()
	for range 15 {
		<-tick.C
		c.SendChunk("x")
	}
	c.EndChunks()
	r := c.Response()
	require.Equal(t, 200, r.Status)
	require.Equal(t, strings.Repeat("x", 15), c.Body(r))
}

func TestStreamIdle(t *testing.T) {
	t.Run("no answer", func(t *testing.T) {
		h, _ := limited(t, config.Limits{StreamIdleTimeout: soon}, func(x *proxytest.Exchange) { <-x.Gone() })
		c := proxytest.Dial(t, h.address())
		c.Get("/")
		r := c.Response()
		require.Equal(t, 504, r.Status)
		require.Equal(t, "stream timeout", c.Body(r))
		resp, err := http2Caller(t).Get("http://" + h.address())
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, 504, resp.StatusCode)
	})
	t.Run("an answer that stops", func(t *testing.T) {
		h, _ := limited(t, config.Limits{StreamIdleTimeout: soon}, func(x *proxytest.Exchange) {
			x.WriteHead(200, "transfer-encoding: chunked")
			x.WriteChunk("a")
			<-x.Gone()
		})
		c := proxytest.Dial(t, h.address())
		c.Get("/")
		r := c.Response()
		body, err := c.TryBody(r)
		require.Equal(t, "a", body)
		require.Error(t, err, "cut, not ended")
		resp, err := http2Caller(t).Get("http://" + h.address())
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		require.Equal(t, "a", string(b))
		require.Error(t, err)
	})
	t.Run("a caller who does not read", func(t *testing.T) {
		gone := make(chan struct{})
		h, _ := limited(t, config.Limits{StreamIdleTimeout: 4 * soon}, func(x *proxytest.Exchange) {
			x.WriteHead(200, "content-length: 1000000000")
			go func() { <-x.Gone(); close(gone) }()
			piece := strings.Repeat("x", 1000000)
			for range 100 {
				x.Write(piece)
			}
		})
		c := proxytest.Dial(t, h.address())
		c.Get("/")
		<-gone
	})
}

func TestConnectionLimits(t *testing.T) {
	t.Run("requests", func(t *testing.T) {
		h, _ := limited(t, config.Limits{MaxRequestsPerConnection: 2}, nil)
		c := proxytest.Dial(t, h.address())
		for _, want := range []string{"", "close"} {
			c.Get("/")
			r := c.Response()
			c.Body(r)
			require.Equal(t, want, r.Header("connection"))
		}
		c.WaitClosed()
		require.Equal(t, 3, connections(t, h, 5))
	})
	t.Run("age of an idle one", func(t *testing.T) {
		h, _ := limited(t, config.Limits{MaxConnectionDuration: soon}, nil)
		c := proxytest.Dial(t, h.address())
		c.Get("/")
		c.Body(c.Response())
		c.WaitClosed()
	})
	t.Run("age of a busy one", func(t *testing.T) {
		h, _ := limited(t, config.Limits{MaxConnectionDuration: soon}, func(x *proxytest.Exchange) {
			x.Sleep(3 * soon)
			proxytest.Echo(x)
		})
		c := proxytest.Dial(t, h.address())
		c.Get("/")
		r := c.Response()
		c.Body(r)
		require.Equal(t, "close", r.Header("connection"))
		c.WaitClosed()
		require.Equal(t, 2, connections(t, h, 2))
	})
}

// connections is how many n requests over HTTP/2 took, one after the other.
func connections(t *testing.T, h *house, n int) (dialled int) {
	t.Helper()
	caller := http2Caller(t)
	tr := caller.Transport.(*http.Transport)
	var d net.Dialer
	tr.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled++
		return d.DialContext(ctx, network, address)
	}
	for range n {
		resp, err := caller.Get("http://" + h.address())
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		resp.Body.Close()
	}
	return dialled
}

func TestHeaderLimitsOverHTTP2(t *testing.T) {
	for name, tc := range map[string]struct {
		limits config.Limits
		want   int
	}{
		"too many":            {config.Limits{MaxHeaders: 2}, 431},
		"underscores refused": {config.Limits{Underscores: config.RefuseUnderscores}, 400},
		"underscores dropped": {config.Limits{Underscores: config.DropUnderscores}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			h, up := limited(t, tc.limits, nil)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+h.address(), http.NoBody)
			require.NoError(t, err)
			req.Header["X_Y"] = []string{"1", "2", "3"}
			resp, err := http2Caller(t).Do(req)
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, tc.want, resp.StatusCode)
			c := proxytest.Dial(t, h.address())
			c.Get("/", "X_Y: 1", "X_Y: 2", "X_Y: 3", "x-kept: 1")
			require.Equal(t, tc.want, c.Response().Status)
			for _, r := range up.Requests() {
				require.Empty(t, r.Header("x_y"))
			}
		})
	}
}

// A caller who is answered while it sends gets to read the answer.
func TestAnswerToWhoStillSends(t *testing.T) {
	h, _ := limited(t, config.Limits{}, func(x *proxytest.Exchange) {
		x.WriteHead(401, "content-length: 4", "connection: close")
		x.Write("nope")
		x.Close()
	})
	for range 20 {
		c := proxytest.Dial(t, h.address())
		c.Send("POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n")
		for range 20 {
			if c.TrySend("10000\r\n"+strings.Repeat("x", 1<<16)+"\r\n") != nil {
				break
			}
		}
		r := c.Response()
		require.Equal(t, 401, r.Status)
		require.Equal(t, "nope", c.Body(r))
		require.Equal(t, "close", r.Header("connection"))
	}
}

package server

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy/proxytest"
)

// A thousand callers leave at random, in every way that there is and at every moment,
// and nothing is left of them: no goroutine, no descriptor, no connection on either side,
// no request in flight; and those who stay get their answers.
func TestAThousandCallersLeave(t *testing.T) {
	proxytest.Leaks(t)
	const callers, each = 1000, 2
	h := speaking(t, 0, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for range 20 {
			if _, err := io.WriteString(w, "data: x\n\n"); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			if r.Header.Get("slow") != "" {
				time.Sleep(time.Millisecond) // a model at work
			}
		}
	})
	var whole atomic.Int64
	var wg sync.WaitGroup
	http2 := http2Caller(t)
	for i := range callers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 1)) // #nosec G404 -- a test's
			for range each {
				switch rnd.IntN(4) {
				case 0: // over HTTP/2, its stream is reset
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(20))*time.Millisecond)
					req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+h.address(), strings.NewReader("hello"))
					req.Header.Set("slow", "1")
					if resp, err := http2.Do(req); err == nil {
						_, _ = io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
					cancel()
				case 1: // stays
					if leave(t, h.address(), rnd, true) {
						whole.Add(1)
					}
				default:
					leave(t, h.address(), rnd, false)
				}
			}
		})
	}
	wg.Wait()
	require.Positive(t, whole.Load())
	require.Eventually(t, func() bool {
		return testutil.ToFloat64(h.Metrics().DownstreamActive.WithLabelValues("in")) == 0
	}, proxytest.Patience, time.Millisecond, "requests in flight")
	http2.Transport.(*http.Transport).CloseIdleConnections()
	require.Eventually(t, func() bool {
		return testutil.ToFloat64(h.Metrics().DownstreamConnections.WithLabelValues("in")) == 0
	}, proxytest.Patience, time.Millisecond, "connections")
}

// leave sends a request, or a part of one, and goes; or stays to the end of the answer.
func leave(t *testing.T, address string, rnd *rand.Rand, stays bool) (whole bool) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return false
	}
	defer c.Close()
	text := "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nSlow: 1\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("x", 20000)
	if stays {
		_ = c.SetDeadline(time.Now().Add(6 * proxytest.Patience))
		if _, err = io.WriteString(c, text); err != nil {
			t.Error(err)
			return false
		}
		b, err := io.ReadAll(c)
		if err != nil || strings.Count(string(b), "data: x") != 20 {
			t.Errorf("%v: %q", err, b)
		}
		return err == nil
	}
	_, _ = io.WriteString(c, text[:rnd.IntN(len(text)+1)]) // it may be refused
	_ = c.SetReadDeadline(time.Now().Add(time.Duration(rnd.IntN(20)) * time.Millisecond))
	_, _ = io.CopyN(io.Discard, c, int64(rnd.IntN(400)))
	switch tc := c.(*net.TCPConn); rnd.IntN(3) {
	case 0:
		_ = tc.SetLinger(0) // a reset
	case 1:
		_ = tc.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	}
	return false
}

package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy"
)

func TestConnectionIsReused(t *testing.T) {
	address := serve(t, func(_ int, p *peer) {
		for p.head() != "" {
			p.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	tr, m := transport(t, address)
	for range 5 {
		status, body := roundTrip(t.Context(), t, tr, get(t))
		require.Equal(t, 200, status)
		require.Equal(t, "ok", body)
	}
	require.InDelta(t, 1, testutil.ToFloat64(m.UpstreamConnections.WithLabelValues("c")), 0)
	require.InDelta(t, 4, testutil.ToFloat64(m.UpstreamRequests.WithLabelValues("c", "true")), 0)
	require.InDelta(t, 1, testutil.ToFloat64(m.UpstreamOpen.WithLabelValues("c")), 0)
}

func TestAnswers(t *testing.T) {
	long := strings.Repeat("x", 20<<10)
	for name, tc := range map[string]struct {
		method, answer string
		body           string
		length         int64
		status         int
		reused         bool
	}{
		"fixed":           {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc", 3, 200, true},
		"chunked":         {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\n\r\n", "abcde", -1, 200, true},
		"chunk size case": {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", "0123456789", -1, 200, true},
		"no content":      {"GET", "HTTP/1.1 204 No Content\r\n\r\n", "", 0, 204, true},
		"not modified":    {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "", 0, 304, true},
		"head":            {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "", 0, 200, true},
		"close":           {"GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na", "a", 1, 200, false},
		"1.0":             {"GET", "HTTP/1.0 200 OK\r\n\r\nuntil the end", "until the end", -1, 200, false},
		"broke down":      {"GET", "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 1\r\n\r\na", "a", 1, 500, false},
		"continue first":  {"GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", "a", 1, 200, true},
		"large head":      {"GET", "HTTP/1.1 200 OK\r\nX: " + long + "\r\nContent-Length: 1\r\n\r\na", "a", 1, 200, false},
		"more than asked": {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc", "a", 1, 200, false},
	} {
		t.Run(name, func(t *testing.T) {
			address := serve(t, func(_ int, p *peer) {
				for p.head() != "" {
					p.send(tc.answer)
					if !tc.reused {
						return
					}
				}
			})
			tr, m := transport(t, address)
			for range 2 {
				resp, err := tr.Handle(t.Context(), request(t, tc.method+" / HTTP/1.1\r\nHost: h\r\n\r\n", nil))
				require.NoError(t, err)
				require.Equal(t, tc.length, resp.Body.Len())
				b, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.Equal(t, tc.body, string(b))
				require.Equal(t, tc.status, resp.Header.StatusCode())
				require.NoError(t, resp.Close())
			}
			want := 2.0
			if tc.reused {
				want = 1
			}
			require.InDelta(t, want, testutil.ToFloat64(m.UpstreamConnections.WithLabelValues("c")), 0)
		})
	}
}

func TestBadAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		answer  string
		status  int
		flag    proxy.Flag
		inBody  bool
		message string
	}{
		"nothing":         {"", 503, proxy.FlagUpstreamReset, false, "connection termination"},
		"half a head":     {"HTTP/1.1 200 OK\r\nConte", 503, proxy.FlagUpstreamReset, false, ""},
		"no http":         {"SSH-2.0-OpenSSH\r\n\r\n", 502, proxy.FlagUpstreamProtocol, false, "protocol error"},
		"head too large":  {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", 502, proxy.FlagUpstreamProtocol, false, ""},
		"two lengths":     {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 502, proxy.FlagUpstreamProtocol, false, ""},
		"body cut":        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", 0, "", true, "unexpected EOF"},
		"chunk cut":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", 0, "", true, "unexpected EOF"},
		"no last chunk":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", 0, "", true, "unexpected EOF"},
		"bad chunk size":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n", 0, "", true, "bad chunk size"},
		"chunk too long":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 0, "", true, "chunk longer"},
		"huge chunk size": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 0, "", true, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			address := serve(t, func(_ int, p *peer) {
				p.head()
				p.send(tc.answer)
			})
			tr, m := transport(t, address)
			resp, err := tr.Handle(t.Context(), get(t))
			if !tc.inBody {
				var pe *proxy.Error
				require.ErrorAs(t, err, &pe)
				require.Equal(t, tc.status, pe.Status)
				require.Equal(t, tc.flag, pe.Flag)
				require.Contains(t, pe.Message, tc.message)
				require.False(t, pe.Unsent)
			} else {
				require.NoError(t, err)
				_, err = io.ReadAll(resp.Body)
				require.ErrorContains(t, err, tc.message)
				require.NoError(t, resp.Close())
			}
			require.InDelta(t, 0, testutil.ToFloat64(m.UpstreamOpen.WithLabelValues("c")), 0, "connection left open")
		})
	}
}

func TestRefused(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	tr, _ := transport(t, ln.Addr().String())
	_, err = tr.Handle(t.Context(), get(t))
	var pe *proxy.Error
	require.ErrorAs(t, err, &pe)
	require.Equal(t, 503, pe.Status)
	require.Equal(t, proxy.FlagUpstreamConnection, pe.Flag)
	require.True(t, pe.Unsent)
	require.Contains(t, pe.Message, "Connection refused")
}

func TestChunksArriveAsTheyCome(t *testing.T) {
	next := make(chan struct{})
	address := serve(t, func(_ int, p *peer) {
		p.head()
		p.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n")
		for i := range 3 {
			<-next
			p.send(fmt.Sprintf("5\r\ntok %d\r\n", i))
		}
		<-next
		p.send("0\r\nx-sum: 3\r\n\r\n")
	})
	tr, _ := transport(t, address)
	resp, err := tr.Handle(t.Context(), get(t)) // the head comes before any chunk
	require.NoError(t, err)
	buf := make([]byte, 4096)
	for i := range 3 {
		next <- struct{}{}
		n, err := resp.Body.Read(buf)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("tok %d", i), string(buf[:n]))
		require.Nil(t, resp.Body.Trailer())
	}
	next <- struct{}{}
	_, err = resp.Body.Read(buf)
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, "3", string(resp.Body.Trailer().Peek("x-sum")))
	require.NoError(t, resp.Close())
}

func TestRequestAsSent(t *testing.T) {
	for name, tc := range map[string]struct{ sent, want string }{
		"plain": {
			"GET /a%2Fb?q=1 HTTP/1.1\r\nHost: h\r\nx-lower: 1\r\nCookie: a=b;  c = d\r\nX-Two: 1\r\nX-Two: 2\r\n\r\n",
			"GET /a%2Fb?q=1 HTTP/1.1\r\nHost: h\r\nx-lower: 1\r\nCookie: a=b;  c = d\r\nX-Two: 1\r\nX-Two: 2\r\n\r\n",
		},
		"hop by hop": {
			"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, X-Mine, close\r\nKeep-Alive: timeout=5\r\nx-mine: 1\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nTE: gzip\r\nExpect: 100-continue\r\nA: 1\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\n\r\n",
		},
		"no type":           {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n"},
		"te trailers":       {"GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\n\r\n"},
		"named but guarded": {"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: x\r\nConnection: Authorization, Host\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: x\r\n\r\n"},
		"1.0":               {"GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan string, 1)
			address := serve(t, func(_ int, p *peer) {
				got <- p.head()
				p.send("HTTP/1.1 204 No Content\r\n\r\n")
			})
			tr, _ := transport(t, address)
			req := request(t, tc.sent, nil)
			req.Header.SetNoDefaultContentType(false) // as fasthttp hands it out
			if n := req.Header.ContentLength(); n > 0 {
				req.Body = proxy.NewBytesBody(make([]byte, n))
			}
			roundTrip(t.Context(), t, tr, req)
			require.Equal(t, tc.want, <-got)
		})
	}
}

func TestStreamedRequestBody(t *testing.T) {
	for name, tc := range map[string]struct {
		length int64
		want   string
	}{
		"chunked": {-1, "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"},
		"fixed":   {6, "abcdef"},
	} {
		t.Run(name, func(t *testing.T) {
			first := make(chan struct{})
			address := serve(t, func(_ int, p *peer) {
				p.head()
				buf := make([]byte, len(tc.want))
				_, err := io.ReadFull(p.br, buf[:3])
				if err != nil {
					return
				}
				close(first) // the first piece came before the second was written
				if _, err = io.ReadFull(p.br, buf[3:]); err != nil || string(buf) != tc.want {
					p.t.Errorf("body %q, %v", buf, err)
				}
				p.send("HTTP/1.1 204 No Content\r\n\r\n")
			})
			tr, _ := transport(t, address)
			pr, pw := io.Pipe()
			go func() {
				io.WriteString(pw, "abc")
				<-first
				io.WriteString(pw, "def")
				pw.Close()
			}()
			head := "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
			status, _ := roundTrip(t.Context(), t, tr, request(t, head, pipeBody{pr, tc.length}))
			require.Equal(t, 204, status)
		})
	}
}

func TestEarlyAnswerIsHeard(t *testing.T) {
	address := serve(t, func(_ int, p *peer) {
		p.head()
		p.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
	})
	tr, _ := transport(t, address)
	pr, pw := io.Pipe() // nobody ever writes: the body never ends
	defer pw.Close()
	status, body := roundTrip(t.Context(), t, tr, request(t, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", pipeBody{pr, -1}))
	require.Equal(t, 413, status)
	require.Equal(t, "no", body)
}

func TestRequestBodyFails(t *testing.T) {
	closed := make(chan struct{})
	address := serve(t, func(_ int, p *peer) {
		p.head()
		io.Copy(io.Discard, p.br)
		close(closed)
	})
	tr, _ := transport(t, address)
	pr, pw := io.Pipe()
	pw.CloseWithError(&proxy.Error{Status: 413, Flag: proxy.FlagDownstreamTooLarge})
	_, err := tr.Handle(t.Context(), request(t, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", pipeBody{pr, -1}))
	var pe *proxy.Error
	require.ErrorAs(t, err, &pe)
	require.Equal(t, 413, pe.Status)
	<-closed // the server is not left waiting for the rest
}

func TestCancelClosesTheConnection(t *testing.T) {
	for _, when := range []string{"thinking", "streaming"} {
		t.Run(when, func(t *testing.T) {
			asked, closed := make(chan struct{}), make(chan struct{})
			address := serve(t, func(_ int, p *peer) {
				p.head()
				if when == "streaming" {
					p.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
				}
				close(asked)
				io.Copy(io.Discard, p.br)
				close(closed)
			})
			tr, _ := transport(t, address)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			if when == "thinking" {
				go func() { <-asked; cancel(proxy.ErrCallerGone) }()
			}
			resp, err := tr.Handle(ctx, get(t))
			if when == "streaming" {
				require.NoError(t, err)
				cancel(proxy.ErrCallerGone)
				_, err = io.ReadAll(resp.Body)
				require.Error(t, err)
				require.NoError(t, resp.Close())
			} else {
				var pe *proxy.Error
				require.ErrorAs(t, err, &pe)
				require.Equal(t, 499, pe.Status)
			}
			<-closed
		})
	}
}

func TestCloseEndsARead(t *testing.T) {
	closed := make(chan struct{})
	address := serve(t, func(_ int, p *peer) {
		p.head()
		p.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
		io.Copy(io.Discard, p.br)
		close(closed)
	})
	tr, _ := transport(t, address)
	resp, err := tr.Handle(t.Context(), get(t))
	require.NoError(t, err)
	buf := make([]byte, 10)
	_, err = resp.Body.Read(buf)
	require.NoError(t, err)
	reading := make(chan error)
	go func() { _, err := resp.Body.Read(buf); reading <- err }()
	require.NoError(t, resp.Body.Close())
	require.Error(t, <-reading)
	<-closed
	require.NoError(t, resp.Close())
}

func TestIdleConnectionsAgeOut(t *testing.T) {
	closed := make(chan struct{})
	address := serve(t, func(_ int, p *peer) {
		p.head()
		p.send("HTTP/1.1 204 No Content\r\n\r\n")
		io.Copy(io.Discard, p.br)
		close(closed)
	})
	_, m := transport(t, address)
	tr := New(address, Config{Cluster: "c", IdleTimeout: 20 * time.Millisecond}, m)
	defer tr.Close()
	roundTrip(t.Context(), t, tr, get(t))
	<-closed
	require.Nil(t, tr.pool.get())
}

func TestServerClosesIdleConnection(t *testing.T) {
	closed := make(chan struct{}, 10)
	address := serve(t, func(_ int, p *peer) {
		p.head()
		p.send("HTTP/1.1 204 No Content\r\n\r\n")
		p.Close()
		closed <- struct{}{}
	})
	tr, m := transport(t, address)
	for range 3 {
		roundTrip(t.Context(), t, tr, get(t))
		<-closed
	}
	require.InDelta(t, 3, testutil.ToFloat64(m.UpstreamConnections.WithLabelValues("c")), 0)
}

// The race of connection reuse: the server closes while the request is on its
// way. What the kernel has not acknowledged cannot have been acted on.
func TestUnsentIsProved(t *testing.T) {
	for name, tc := range map[string]struct {
		reads, resets, unsent bool
	}{
		"closed before the request":  {false, false, true},
		"closed after reading it":    {true, false, false},
		"reset after reading it":     {true, true, false},
		"reset before, so not known": {false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			closeNow, closed := make(chan struct{}), make(chan struct{})
			address := serve(t, func(_ int, p *peer) {
				p.head()
				p.send("HTTP/1.1 204 No Content\r\n\r\n")
				<-closeNow
				if tc.reads {
					p.head()
				}
				if tc.resets {
					p.Conn.(*net.TCPConn).SetLinger(0)
				}
				p.Close()
				close(closed)
			})
			tr, _ := transport(t, address)
			roundTrip(t.Context(), t, tr, get(t))
			close(closeNow)
			c := tr.pool.pop() // without asking whether it lives
			require.NotNil(t, c)
			if !tc.reads {
				<-closed
			}
			x := &exchange{t: tr, c: c, req: get(t), stop: func() bool { return true }}
			_, err := x.run()
			require.Error(t, err)
			x.fail()
			pe := x.explain(err)
			require.Equal(t, 503, pe.Status, "%v", errors.Unwrap(pe))
			require.Equal(t, tc.unsent, pe.Unsent)
		})
	}
}

func TestHeadPromisesNoBodyThatWasTaken(t *testing.T) {
	for _, framing := range []string{"Content-Length: 5", "Transfer-Encoding: chunked"} {
		got := make(chan string, 1)
		address := serve(t, func(_ int, p *peer) {
			got <- p.head()
			p.send("HTTP/1.1 204 No Content\r\n\r\n")
		})
		tr, _ := transport(t, address)
		roundTrip(t.Context(), t, tr, request(t, "POST / HTTP/1.1\r\nHost: h\r\n"+framing+"\r\n\r\n", proxy.NewBytesBody(nil)))
		require.Equal(t, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", <-got)
	}
}

func TestEarlyAnswerToALargeBodyInMemory(t *testing.T) {
	done := make(chan struct{})
	address := serve(t, func(_ int, p *peer) {
		p.head()
		p.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		<-done // neither reads nor closes
	})
	defer close(done)
	tr, _ := transport(t, address)
	req := request(t, "POST / HTTP/1.1\r\nHost: h\r\n\r\n", proxy.NewBytesBody(make([]byte, 32<<20)))
	status, _ := roundTrip(t.Context(), t, tr, req)
	require.Equal(t, 413, status)
}

// panicBody is a request body whose Read panics, as a filter's might.
type panicBody struct{ pipeBody }

func (panicBody) Read([]byte) (int, error) { panic("bug") }

func TestPanicInTheRequestBody(t *testing.T) {
	address := serve(t, func(_ int, p *peer) {
		p.head()
		io.Copy(io.Discard, p.br)
	})
	tr, _ := transport(t, address)
	pr, pw := io.Pipe()
	defer pw.Close()
	_, err := tr.Handle(t.Context(), request(t, "POST / HTTP/1.1\r\nHost: h\r\n\r\n", panicBody{pipeBody{pr, -1}}))
	var pe *proxy.Error
	require.ErrorAs(t, err, &pe)
	require.Equal(t, 500, pe.Status)
}

// TestReady: a Read that would have to wait is not promised, and what has come is not
// held back for what has only been announced.
func TestReady(t *testing.T) {
	next := make(chan struct{})
	address := serve(t, func(_ int, p *peer) {
		p.head()
		p.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n")
		<-next
		p.send("tok 0\n\r\n6\r\n") // the next one's size, and no more
		<-next
		p.send("tok 1\n\r\n6\r\ntok 2\n\r\n0\r\n\r\n")
	})
	tr, _ := transport(t, address)
	resp, err := tr.Handle(t.Context(), get(t))
	require.NoError(t, err)
	ready := resp.Body.(interface{ Ready() int })
	require.Zero(t, ready.Ready(), "a size is not a byte")
	buf := make([]byte, 4096)
	next <- struct{}{}
	n, err := resp.Body.Read(buf)
	require.NoError(t, err)
	require.Equal(t, "tok 0\n", string(buf[:n]))
	require.Zero(t, ready.Ready())
	next <- struct{}{}
	n, err = resp.Body.Read(buf[:6])
	require.NoError(t, err)
	require.Equal(t, "tok 1\n", string(buf[:n]))
	n, err = resp.Body.Read(buf)
	require.Equal(t, "tok 2\n", string(buf[:n]))
	require.ErrorIs(t, err, io.EOF, "the end was there, too")
	require.Zero(t, ready.Ready())
	require.NoError(t, resp.Close())
}

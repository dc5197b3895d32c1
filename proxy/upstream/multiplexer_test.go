package upstream

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// frame writes an HTTP/2 frame (RFC 9113 section 4.1).
func (p *peer) frame(kind byte, stream uint32, payload ...byte) {
	b := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, 0}
	p.send(string(binary.BigEndian.AppendUint32(b, stream)) + string(payload))
}

// The kinds of frames in use.
const (
	frameHeaders  = 1
	frameReset    = 3
	frameSettings = 4
	frameGoodbye  = 7
)

// hello is a server's and a client's.
func (p *peer) hello() {
	if _, err := io.ReadFull(p.br, make([]byte, 24)); err == nil {
		p.frame(frameSettings, 0)
	}
}

// requests says hello and calls each for every request's stream.
func (p *peer) requests(each func(stream uint32)) {
	p.hello()
	p.streams(each)
}

func (p *peer) streams(each func(stream uint32)) {
	for {
		var head [9]byte
		if _, err := io.ReadFull(p.br, head[:]); err != nil {
			return
		}
		if _, err := p.br.Discard(int(head[0])<<16 | int(head[1])<<8 | int(head[2])); err != nil {
			return
		}
		if head[3] == frameHeaders {
			each(binary.BigEndian.Uint32(head[5:]))
		}
	}
}

func multiplexer(t *testing.T, address string, config Config) (*Multiplexer, *telemetry.Metrics) {
	t.Helper()
	config.Cluster = "c"
	m := telemetry.New(prometheus.NewRegistry())
	tr := NewMultiplexer(address, config, m)
	t.Cleanup(func() {
		require.NoError(t, tr.Close())
		require.Eventually(t, func() bool { return testutil.ToFloat64(m.UpstreamOpen.WithLabelValues("c")) == 0 }, 10*time.Second, time.Millisecond)
	})
	return tr, m
}

// server2 speaks HTTP/2, and HTTP/1.1, in cleartext until the test ends.
func server2(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	return server2Of(t, 250, handler)
}

// server2Of takes so many streams on a connection.
func server2Of(t *testing.T, streams int, handler http.HandlerFunc) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &http.Server{Handler: handler, Protocols: new(http.Protocols), HTTP2: &http.HTTP2Config{MaxConcurrentStreams: streams}}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.ErrorIs(t, <-done, http.ErrServerClosed)
	})
	return ln.Addr().String()
}

func TestMultiplexerSaysWhatWasSent(t *testing.T) {
	const refused, internal = 7, 2
	for name, tc := range map[string]struct {
		script func(p *peer)
		status int
		flag   proxy.Flag
		unsent bool
	}{
		"refused": {func(p *peer) {
			p.requests(func(s uint32) { p.frame(frameReset, s, 0, 0, 0, refused) })
		}, 503, proxy.FlagUpstreamReset, true},
		"reset": {func(p *peer) {
			p.requests(func(s uint32) { p.frame(frameReset, s, 0, 0, 0, internal) })
		}, 503, proxy.FlagUpstreamReset, false},
		"goodbye before it": {func(p *peer) {
			p.requests(func(uint32) { p.frame(frameGoodbye, 0, make([]byte, 8)...) })
		}, 503, proxy.FlagUpstreamReset, true},
		"goodbye after it": {func(p *peer) {
			p.requests(func(s uint32) {
				p.frame(frameGoodbye, 0, append(binary.BigEndian.AppendUint32(nil, s), 0, 0, 0, 0)...)
				p.Close()
			})
		}, 503, proxy.FlagUpstreamReset, false},
		"closed": {func(p *peer) {
			p.requests(func(uint32) { p.Close() })
		}, 503, proxy.FlagUpstreamReset, false},
		"closed before it began": {func(p *peer) { p.Close() }, 503, proxy.FlagUpstreamConnection, true},
		"HTTP/1.1": {func(p *peer) {
			if _, err := io.ReadFull(p.br, make([]byte, 24)); err != nil {
				return
			}
			p.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		}, 502, proxy.FlagUpstreamProtocol, false},
	} {
		for _, body := range []proxy.Body{proxy.NoBody, proxy.NewBytesBody([]byte("abc"))} {
			t.Run(name, func(t *testing.T) {
				tr, _ := multiplexer(t, serve(t, func(_ int, p *peer) { tc.script(p) }), Config{})
				_, err := tr.Handle(t.Context(), request(t, "POST / HTTP/1.1\r\nHost: h\r\n\r\n", body))
				pe, ok := errors.AsType[*proxy.Error](err)
				require.True(t, ok, "%v", err)
				require.Equal(t, tc.status, pe.Status, "%v", err)
				require.Equal(t, tc.flag, pe.Flag, "%v", err)
				require.Equal(t, tc.unsent, pe.Unsent, "%v", err)
			})
		}
	}
}

// A place that was reserved is of no use where the server says goodbye, or closes,
// before the request goes out; nothing was processed then.
func TestUnprocessed(t *testing.T) {
	for name, end := range map[string]func(p *peer){
		"goodbye": func(p *peer) { p.frame(frameGoodbye, 0, make([]byte, 8)...) },
		"closed":  func(p *peer) { p.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			now := make(chan struct{})
			address := serve(t, func(_ int, p *peer) {
				p.hello()
				<-now
				end(p)
				io.Copy(io.Discard, p.br)
			})
			tr, _ := multiplexer(t, address, Config{})
			l, _, err := tr.links.take(t.Context())
			require.NoError(t, err)
			close(now)
			require.Eventually(t, func() bool { return !l.conn.Usable() }, 10*time.Second, time.Millisecond)
			x := &call{t: tr, req: get(t)}
			_, err = x.run(t.Context(), l.conn)
			require.Error(t, err)
			require.True(t, x.explain(err).Unsent, "%v", err)
		})
	}
}

func TestMultiplexerConnects(t *testing.T) {
	address := server2(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
	})
	tr, m := multiplexer(t, address, Config{MaxRequests: 10})
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			resp, err := tr.Handle(t.Context(), request(t, "POST /x HTTP/1.1\r\nHost: h\r\n\r\n", proxy.NewBytesBody([]byte("abc"))))
			if err == nil {
				err = resp.Close()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.InDelta(t, 4, testutil.ToFloat64(m.UpstreamConnections.WithLabelValues("c")), 0, "ten requests to a connection")
	require.InDelta(t, 36, testutil.ToFloat64(m.UpstreamRequests.WithLabelValues("c", "true")), 0)
	require.Eventually(t, func() bool { return testutil.ToFloat64(m.UpstreamOpen.WithLabelValues("c")) == 0 }, 10*time.Second, time.Millisecond, "the last one is used up, too")

	// Nobody is there.
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	tr, _ = multiplexer(t, ln.Addr().String(), Config{})
	_, err = tr.Handle(t.Context(), get(t))
	pe, ok := errors.AsType[*proxy.Error](err)
	require.True(t, ok)
	require.Equal(t, proxy.FlagUpstreamConnection, pe.Flag)
	require.True(t, pe.Unsent)
}

func TestMultiplexerClosed(t *testing.T) {
	release := make(chan struct{})
	address := server2(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-release
		io.WriteString(w, "late")
	})
	tr, m := multiplexer(t, address, Config{})
	first, err := tr.Handle(t.Context(), get(t))
	require.NoError(t, err)
	require.NoError(t, tr.Close())
	second, err := tr.Handle(t.Context(), get(t))
	require.NoError(t, err, "what begins later is served")
	close(release)
	for _, resp := range []*proxy.Response{first, second} {
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "late", string(b))
		require.NoError(t, resp.Close())
	}
	require.Eventually(t, func() bool { return testutil.ToFloat64(m.UpstreamOpen.WithLabelValues("c")) == 0 }, 10*time.Second, time.Millisecond)
}

func TestMultiplexerGivesUpIdleConnections(t *testing.T) {
	tr, m := multiplexer(t, server2(t, func(http.ResponseWriter, *http.Request) {}), Config{IdleTimeout: time.Millisecond})
	for range 2 {
		resp, err := tr.Handle(t.Context(), get(t))
		require.NoError(t, err)
		require.NoError(t, resp.Close())
		require.Eventually(t, func() bool { return testutil.ToFloat64(m.UpstreamOpen.WithLabelValues("c")) == 0 }, 10*time.Second, time.Millisecond)
	}
}

// Cancelling and closing end one stream; the connection and the others go on.
func TestMultiplexerCancelsOneStream(t *testing.T) {
	asked, ended := make(chan struct{}), make(chan struct{})
	address := server2(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/wait":
			close(asked)
			<-r.Context().Done()
			ended <- struct{}{}
		case "/stream":
			io.WriteString(w, "some")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			ended <- struct{}{}
		}
	})
	tr, m := multiplexer(t, address, Config{})
	ctx, cancel := context.WithCancelCause(t.Context())
	got := make(chan error, 1)
	waiting := request(t, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n", nil)
	go func() {
		_, err := tr.Handle(ctx, waiting)
		got <- err
	}()
	resp, err := tr.Handle(t.Context(), request(t, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n", nil))
	require.NoError(t, err)
	b := make([]byte, 10)
	n, err := resp.Body.Read(b)
	require.NoError(t, err)
	require.Equal(t, "some", string(b[:n]))
	read := make(chan error, 1)
	go func() {
		_, err := resp.Body.Read(b)
		read <- err
	}()
	<-asked
	cancel(proxy.ErrCallerGone)
	pe, ok := errors.AsType[*proxy.Error](<-got)
	require.True(t, ok)
	require.Equal(t, 499, pe.Status)
	require.NoError(t, resp.Body.Close())
	require.Error(t, <-read, "a Read in flight returns")
	_, err = resp.Body.Read(b)
	require.Error(t, err)
	require.NoError(t, resp.Close())
	<-ended
	<-ended
	resp, err = tr.Handle(t.Context(), get(t))
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	require.InDelta(t, 1, testutil.ToFloat64(m.UpstreamConnections.WithLabelValues("c")), 0)
}

// A request's body that fails takes its stream along, and says why.
func TestMultiplexerRequestBodyFails(t *testing.T) {
	tr, _ := multiplexer(t, server2(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }), Config{})
	want := &proxy.Error{Status: 413, Flag: proxy.FlagDownstreamTooLarge}
	for why, status := range map[error]int{want: 413, errors.New("cut"): 400} {
		pr, pw := io.Pipe()
		go func() {
			io.WriteString(pw, "some")
			pw.CloseWithError(why)
		}()
		_, err := tr.Handle(t.Context(), request(t, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", pipeBody{pr, -1}))
		pe, ok := errors.AsType[*proxy.Error](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, status, pe.Status)
	}
}

// An early answer is heard while the request is still being sent.
func TestMultiplexerEarlyAnswer(t *testing.T) {
	tr, _ := multiplexer(t, server2(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusForbidden) }), Config{})
	pr, pw := io.Pipe()
	defer pw.Close()
	go io.WriteString(pw, "some") // and no more
	resp, err := tr.Handle(t.Context(), request(t, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", pipeBody{pr, -1}))
	require.NoError(t, err)
	require.Equal(t, 403, resp.Header.StatusCode())
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "no\n", string(b))
	require.NoError(t, resp.Close())
}

// What is sent is what the caller sent.
func TestMultiplexerTargets(t *testing.T) {
	tr, _ := multiplexer(t, server2(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Method+" "+r.RequestURI+" "+r.Host+" "+r.Header.Get("User-Agent")+" "+r.Header.Get("Accept-Encoding"))
	}), Config{})
	for target, want := range map[string]string{
		"/a%2Fb?c=d+e":       "GET /a%2Fb?c=d+e h  ",
		"/":                  "GET / h  ",
		"//a/b":              "GET //a/b h  ",
		"//a%2Fb?x":          "GET //a%2Fb?x h  ",
		"http://other:1/x?y": "GET /x?y other:1  ",
		"http://other:1?y":   "GET /?y other:1  ",
		"/x?u=http://y/":     "GET /x?u=http://y/ h  ",
		"/?":                 "GET /? h  ",
	} {
		resp, err := tr.Handle(t.Context(), request(t, "GET "+target+" HTTP/1.1\r\nHost: h\r\nConnection: x-gone\r\nX-Gone: 1\r\n\r\n", nil))
		require.NoError(t, err, target)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Close())
		require.Equal(t, want, string(b), target)
	}
}

func TestPairChooses(t *testing.T) {
	grpc := "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/grpc\r\n\r\n"
	plain := "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\r\n"
	for _, tc := range []struct {
		protocol proxy.UpstreamProtocol
		caller   string
		head     string
		want     bool
	}{
		{proxy.UpstreamHTTP1, "http1", plain, false},
		{proxy.UpstreamHTTP1, "http2", plain, false},
		{proxy.UpstreamHTTP1, "grpc", grpc, true},
		{proxy.UpstreamHTTP1, "http1", strings.Replace(plain, "json", "grpc-web", 1), false},
		{proxy.UpstreamHTTP1, "http2", strings.Replace(plain, "json", "GRPC+json", 1), true},
		{proxy.UpstreamHTTP2, "http1", plain, true},
		{proxy.UpstreamAsCaller, "http1", plain, false},
		{proxy.UpstreamAsCaller, "http2", plain, true},
		{proxy.UpstreamAsCaller, "grpc", grpc, true},
	} {
		p := NewPair("127.0.0.1:1", tc.protocol, Config{Cluster: "c"}, telemetry.New(prometheus.NewRegistry()))
		req := request(t, tc.head, nil)
		req.Protocol = tc.caller
		require.Equal(t, tc.want, p.http2(req), "%+v", tc)
		require.NoError(t, p.Close())
	}
}

package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
)

// http2Caller speaks HTTP/2 with prior knowledge.
func http2Caller(t *testing.T) *http.Client {
	t.Helper()
	tr := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// http2Server is a model server that speaks both protocols on one port.
func http2Server(t *testing.T, handler http.HandlerFunc) (address string) {
	t.Helper()
	up := httptest.NewUnstartedServer(handler)
	up.Config.Protocols = new(http.Protocols)
	up.Config.Protocols.SetHTTP1(true)
	up.Config.Protocols.SetUnencryptedHTTP2(true)
	up.Start()
	t.Cleanup(up.Close)
	return strings.TrimPrefix(up.URL, "http://")
}

// speaking is a running server before one that speaks both, and is spoken to in p.
func speaking(t *testing.T, p proxy.UpstreamProtocol, handler http.HandlerFunc) *house {
	t.Helper()
	h := newHouse(t, Options{})
	r := resources(http2Server(t, handler))
	r.Clusters[0].Protocol = p
	require.NoError(t, h.Apply(r))
	return h
}

// Any caller reaches any server, and head, body and trailers stay what they are.
func TestEveryProtocolToEveryOther(t *testing.T) {
	for _, tc := range []struct {
		name     string
		caller   func(*testing.T) *http.Client
		upstream proxy.UpstreamProtocol
		want     string
	}{
		{"1 to 1", caller, proxy.UpstreamHTTP1, "HTTP/1.1"},
		{"1 to 2", caller, proxy.UpstreamHTTP2, "HTTP/2.0"},
		{"2 to 1", http2Caller, proxy.UpstreamHTTP1, "HTTP/1.1"},
		{"2 to 2", http2Caller, proxy.UpstreamHTTP2, "HTTP/2.0"},
		{"1 as it comes", caller, proxy.UpstreamAsCaller, "HTTP/1.1"},
		{"2 as it comes", http2Caller, proxy.UpstreamAsCaller, "HTTP/2.0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := speaking(t, tc.upstream, func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				w.Header().Set("Trailer", "X-Sum")
				w.Header().Add("Set-Cookie", "a=1; Path=/")
				w.Header().Add("Set-Cookie", "b=2")
				w.Header().Set("Content-Type", "application/json")
				w.Header()["Date"] = []string{"Tue, 24 Nov 2026 10:00:00 GMT"}
				w.WriteHeader(http.StatusTeapot)
				fmt.Fprintf(w, "%s %s %s %s %d %q %q %s", r.Proto, r.Method, r.RequestURI, r.Host, len(b), r.Header.Get("Cookie"), r.Header.Values("X-Many"), r.Header.Get("User-Agent"))
				w.Header().Set("X-Sum", "7")
			})
			client := tc.caller(t)
			for _, size := range []int{0, 3, 20 << 10, 3 << 20} {
				req, err := http.NewRequest(http.MethodPost, "http://"+h.address()+"/v1/x%2Fy//z?q=a+b&", strings.NewReader(strings.Repeat("x", size)))
				require.NoError(t, err)
				req.Host = "model.test:80"
				req.Header.Set("Cookie", "a=1; b=2")
				req.Header["X-Many"] = []string{"1", "2"}
				req.Header.Set("User-Agent", "me/1")
				resp, err := client.Do(req)
				require.NoError(t, err)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				require.Equal(t, fmt.Sprintf(`%s POST /v1/x%%2Fy//z?q=a+b& model.test:80 %d "a=1; b=2" ["1" "2"] me/1`, tc.want, size), string(body))
				require.Equal(t, http.StatusTeapot, resp.StatusCode)
				require.Equal(t, []string{"a=1; Path=/", "b=2"}, resp.Header.Values("Set-Cookie"))
				require.Equal(t, []string{"Tue, 24 Nov 2026 10:00:00 GMT"}, resp.Header.Values("Date"), "the server's own")
				require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
				require.Equal(t, "7", resp.Trailer.Get("X-Sum"))
			}
		})
	}
}

func TestHTTP2HeadAndNoContent(t *testing.T) {
	for _, upstream := range []proxy.UpstreamProtocol{proxy.UpstreamHTTP1, proxy.UpstreamHTTP2} {
		h := speaking(t, upstream, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/none" {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			w.Header().Set("Content-Length", "12345")
			w.WriteHeader(http.StatusOK)
		})
		for _, client := range []*http.Client{caller(t), http2Caller(t)} {
			for range 2 {
				resp, err := client.Head("http://" + h.address())
				require.NoError(t, err)
				require.EqualValues(t, 12345, resp.ContentLength)
				require.NoError(t, resp.Body.Close())
				resp, err = client.Get("http://" + h.address() + "/none")
				require.NoError(t, err)
				require.Equal(t, http.StatusNoContent, resp.StatusCode)
				require.Empty(t, resp.Header.Values("Content-Length"))
				require.NoError(t, resp.Body.Close())
			}
		}
	}
}

// All calls share one connection, also those that come before it is there.
func TestHTTP2OneConnectionUpstream(t *testing.T) {
	h, c := grpcHouse(t, &service{unary: func(_ context.Context, in *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
		return &grpc_testing.SimpleResponse{Payload: in.GetPayload()}, nil
	}})
	const calls = 50
	errs := make(chan error, calls)
	for range calls {
		go func() {
			_, err := c.UnaryCall(t.Context(), simple("x"))
			errs <- err
		}()
	}
	for range calls {
		require.NoError(t, <-errs)
	}
	require.InDelta(t, 1, testutil.ToFloat64(h.Metrics().UpstreamConnections.WithLabelValues("up")), 0)
	require.InDelta(t, 1, testutil.ToFloat64(h.Metrics().UpstreamOpen.WithLabelValues("up")), 0)
	require.InDelta(t, 1, testutil.ToFloat64(h.Metrics().UpstreamRequests.WithLabelValues("up", "false")), 0)
	require.InDelta(t, calls-1, testutil.ToFloat64(h.Metrics().UpstreamRequests.WithLabelValues("up", "true")), 0)
}

func TestHTTP2CutAnswerResetsTheStream(t *testing.T) {
	for _, upstream := range []proxy.UpstreamProtocol{proxy.UpstreamHTTP1, proxy.UpstreamHTTP2} {
		h := speaking(t, upstream, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/whole" {
				return
			}
			w.WriteHeader(200)
			io.WriteString(w, "some")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		})
		client := http2Caller(t)
		resp, err := client.Get("http://" + h.address())
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.ErrorContains(t, err, "stream error")
		require.Equal(t, "some", string(b))
		require.NoError(t, resp.Body.Close())
		require.Eventually(t, func() bool { return h.access.FilterField(zap.String("response_flag", "UC")).Len() == 1 }, patience, time.Millisecond)
		resp, err = client.Get("http://" + h.address() + "/whole")
		require.NoError(t, err, "only the stream was reset")
		require.NoError(t, resp.Body.Close())
	}
}

func TestGRPCErrorsOfItsOwn(t *testing.T) {
	closed, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	hang := func(ctx context.Context, _ *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for name, tc := range map[string]struct {
		change func(*config.Resources)
		code   codes.Code
		says   string
		flag   string
	}{
		"no server":   {func(r *config.Resources) { r.Clusters[0].Endpoints[0].Address = closed.Addr().String() }, codes.Unavailable, "Connection refused", "UF"},
		"no endpoint": {func(r *config.Resources) { r.Clusters[0].Endpoints = nil }, codes.Unavailable, "no healthy upstream", "UH"},
		"no route": {func(r *config.Resources) {
			r.Listeners[0].Default.HTTP.Table.VirtualHosts[0].Routes[0].Match.Prefix = "/x"
		}, codes.Unimplemented, "Not Found", "NR"},
		"no time": {func(r *config.Resources) {
			r.Listeners[0].Default.HTTP.Table.VirtualHosts[0].Routes[0].Timeout = time.Millisecond
		}, codes.DeadlineExceeded, "upstream request timeout", "UT"},
		"too large": {func(r *config.Resources) { r.Listeners[0].Default.HTTP.MaxBodyBytes = 1 }, codes.ResourceExhausted, "Payload Too Large", "DTL"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, Options{})
			r := resources(serveGRPC(t, &service{unary: hang}))
			tc.change(r)
			require.NoError(t, h.Apply(r))
			_, err := clientOf(t, h.address()).UnaryCall(t.Context(), simple("long enough"))
			require.Equal(t, tc.code, status.Code(err), "%v", err)
			require.Contains(t, status.Convert(err).Message(), tc.says)
			require.Eventually(t, func() bool { return h.access.FilterField(zap.String("response_flag", tc.flag)).Len() == 1 }, patience, time.Millisecond)
		})
	}
}

// The caller's own deadline holds, also where the caller does not keep it.
func TestGRPCTimeoutHeader(t *testing.T) {
	ended := make(chan struct{})
	h := speaking(t, proxy.UpstreamHTTP2, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(ended)
	})
	req, err := http.NewRequest(http.MethodPost, "http://"+h.address()+"/s/m", http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/grpc+proto")
	req.Header.Set("Te", "trailers")
	req.Header.Set("Grpc-Timeout", "20m")
	resp, err := http2Caller(t).Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "4", resp.Header.Get("Grpc-Status"))
	require.Equal(t, []string(nil), resp.Header.Values("Content-Length"))
	<-ended
}

// The server's goodbye is no error: its calls end, the next go elsewhere.
func TestGRPCServerSaysGoodbye(t *testing.T) {
	asked, release := make(chan struct{}, 1), make(chan struct{})
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := grpc.NewServer()
	var slow atomic.Bool
	slow.Store(true)
	grpc_testing.RegisterTestServiceServer(g, &service{unary: func(context.Context, *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
		if slow.Load() {
			asked <- struct{}{}
			<-release
		}
		return &grpc_testing.SimpleResponse{}, nil
	}})
	done := make(chan error, 1)
	go func() { done <- g.Serve(ln) }()
	other := serveGRPC(t, &service{unary: func(context.Context, *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
		return &grpc_testing.SimpleResponse{Username: "other"}, nil
	}})
	h := newHouse(t, Options{})
	require.NoError(t, h.Apply(resources(ln.Addr().String())))
	c := clientOf(t, h.address())
	first := make(chan error, 1)
	go func() {
		_, err := c.UnaryCall(t.Context(), simple("a"))
		first <- err
	}()
	<-asked
	slow.Store(false)
	gone := make(chan struct{})
	go func() { g.GracefulStop(); close(gone) }()
	r := resources(ln.Addr().String(), other)
	require.NoError(t, h.Apply(r))
	for others := 0; others < 20; { // it serves what comes until its goodbye has been heard
		out, err := c.UnaryCall(t.Context(), simple("b"))
		require.NoError(t, err)
		if out.GetUsername() == "other" {
			others++
		}
	}
	close(release)
	require.NoError(t, <-first)
	<-gone
	require.NoError(t, <-done)
}

// A drain lets calls end, takes no new ones, and ends the connection.
func TestGRPCDrain(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	h, c := grpcHouse(t, &service{output: func(_ *grpc_testing.StreamingOutputCallRequest, out grpc.ServerStreamingServer[grpc_testing.StreamingOutputCallResponse]) error {
		if err := out.Send(output("one")); err != nil {
			return err
		}
		close(asked)
		<-release
		return out.Send(output("two"))
	}, unary: func(_ context.Context, in *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
		return &grpc_testing.SimpleResponse{Payload: in.GetPayload()}, nil
	}})
	s, err := c.StreamingOutputCall(t.Context(), &grpc_testing.StreamingOutputCallRequest{})
	require.NoError(t, err)
	_, err = s.Recv()
	require.NoError(t, err)
	<-asked
	h.Drain()
	require.Eventually(t, func() bool { // what was on its way is served
		_, err = c.UnaryCall(t.Context(), simple("late"))
		return status.Code(err) == codes.Unavailable
	}, 10*time.Second, time.Millisecond)
	close(release)
	m, err := s.Recv()
	require.NoError(t, err)
	require.Equal(t, "two", string(m.GetPayload().GetBody()))
	_, err = s.Recv()
	require.ErrorIs(t, err, io.EOF)
	h.closed.Store(true)
	require.NoError(t, h.Close())
}

// What the drain timeout ends is told so.
func TestGRPCDrainTimeout(t *testing.T) {
	asked := make(chan struct{})
	h := newHouse(t, Options{DrainTimeout: time.Millisecond})
	require.NoError(t, h.Apply(resources(serveGRPC(t, &service{unary: func(ctx context.Context, _ *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
		close(asked)
		<-ctx.Done()
		return nil, ctx.Err()
	}}))))
	c := clientOf(t, h.address())
	got := make(chan error, 1)
	go func() {
		_, err := c.UnaryCall(t.Context(), simple("x"))
		got <- err
	}()
	<-asked
	h.closed.Store(true)
	require.NoError(t, h.Close())
	err := <-got
	require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
	require.Contains(t, status.Convert(err).Message(), "draining")
}

// One port serves both protocols: bytes that come one by one, and those that only
// begin like a preface, are HTTP/1.1's.
func TestFirstBytesTellTheProtocol(t *testing.T) {
	h := started(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Method+" "+r.URL.Path) })
	for _, text := range []string{
		"GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
		"PRI /c HTTP/1.1\r\nHost: h\r\n\r\n",
		"P /d HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		c, br := raw(t, h.address(), "")
		for i := range len(text) {
			_, err := c.Write([]byte{text[i]})
			require.NoError(t, err)
		}
		resp, err := http.ReadResponse(br, nil)
		require.NoError(t, err, text)
		require.Equal(t, 1, resp.ProtoMajor)
		require.NoError(t, resp.Body.Close())
	}
	resp, err := http2Caller(t).Get("http://" + h.address() + "/e")
	require.NoError(t, err)
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "GET /e", string(b))
	require.Equal(t, 2, resp.ProtoMajor)
}

// A connection that has sent nothing, or half a preface, holds up no drain.
func TestDrainClosesWhoHasSaidNothing(t *testing.T) {
	h := started(t, func(http.ResponseWriter, *http.Request) {})
	var readers []*bufio.Reader
	for _, text := range []string{"", "PRI * HT"} {
		_, br := raw(t, h.address(), text)
		readers = append(readers, br)
	}
	require.Eventually(t, func() bool {
		return testutil.ToFloat64(h.Metrics().DownstreamConnections.WithLabelValues("in")) == 2
	}, patience, time.Millisecond)
	h.closed.Store(true)
	require.NoError(t, h.Close())
	for _, br := range readers {
		_, err := br.ReadByte()
		require.Error(t, err)
	}
}

// What could become a second request in HTTP/1.1 is refused.
func TestHTTP2NothingIsSmuggled(t *testing.T) {
	var seen atomic.Int64
	h := speaking(t, proxy.UpstreamHTTP1, func(http.ResponseWriter, *http.Request) { seen.Add(1) })
	client := http2Caller(t)
	for _, target := range []string{"/a HTTP/1.1", "/a b?c d"} {
		resp, err := client.Do(&http.Request{Method: http.MethodGet, Host: "h", URL: &url.URL{Scheme: "http", Host: h.address(), Opaque: target}})
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusBadRequest, resp.StatusCode, "%q", target)
	}
	require.Zero(t, seen.Load())
}

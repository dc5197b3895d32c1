package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"

	"github.com/fridaymesh/friday/proxy"
)

// A thousand HTTP/1.1 callers at once reach an HTTP/2 server over few connections, of
// which each is full before the next is made.
func TestThousandCallersOverFewConnections(t *testing.T) {
	const callers = 1000
	var (
		mu    sync.Mutex
		conns = map[string]int{}
		all   = make(chan struct{})
		there atomic.Int32
	)
	h := speaking(t, proxy.UpstreamHTTP2, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		conns[r.RemoteAddr]++
		mu.Unlock()
		if there.Add(1) == callers {
			close(all)
		}
		<-all // until every one of them is served
		fmt.Fprint(w, r.URL.Path)
	})
	var wg sync.WaitGroup
	client := caller(t)
	for i := range callers {
		wg.Go(func() {
			resp, err := client.Get(fmt.Sprintf("http://%s/%d", h.address(), i))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil || string(b) != fmt.Sprintf("/%d", i) || resp.StatusCode != http.StatusOK {
				t.Errorf("%d: %d %q %v", i, resp.StatusCode, b, err)
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, len(conns), 10)
	require.InDelta(t, len(conns), testutil.ToFloat64(h.Metrics().UpstreamConnections.WithLabelValues("up")), 0)
}

// clientStreaming is the service of TestGRPCClientStream.
type clientStreaming struct {
	service
}

func (*clientStreaming) StreamingInputCall(in grpc.ClientStreamingServer[grpc_testing.StreamingInputCallRequest, grpc_testing.StreamingInputCallResponse]) error {
	n := 0
	for {
		m, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return in.SendAndClose(&grpc_testing.StreamingInputCallResponse{AggregatedPayloadSize: int32(n)})
		}
		if err != nil {
			return err
		}
		n += len(m.GetPayload().GetBody())
	}
}

// grpc-go streams what it sends, more than any window holds.
func TestGRPCClientStream(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := grpc.NewServer()
	grpc_testing.RegisterTestServiceServer(g, &clientStreaming{})
	done := make(chan error, 1)
	go func() { done <- g.Serve(ln) }()
	t.Cleanup(func() {
		g.Stop()
		require.NoError(t, <-done)
	})
	h := newHouse(t, Options{})
	require.NoError(t, h.Apply(resources(ln.Addr().String())))
	s, err := clientOf(t, h.address()).StreamingInputCall(t.Context())
	require.NoError(t, err)
	const messages, size = 100, 50_000
	for range messages {
		require.NoError(t, s.Send(&grpc_testing.StreamingInputCallRequest{Payload: &grpc_testing.Payload{Body: make([]byte, size)}}))
	}
	m, err := s.CloseAndRecv()
	require.NoError(t, err)
	require.EqualValues(t, messages*size, m.GetAggregatedPayloadSize())
}

// Many small gRPC calls at once, through and through.
func TestGRPCManyAtOnce(t *testing.T) {
	_, c := grpcHouse(t, &service{unary: func(_ context.Context, in *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
		return &grpc_testing.SimpleResponse{Payload: in.GetPayload()}, nil
	}})
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for n := range 50 {
				text := strings.Repeat(fmt.Sprint(i, n), 1+n*20)
				m, err := c.UnaryCall(t.Context(), simple(text))
				if err != nil || string(m.GetPayload().GetBody()) != text {
					t.Errorf("%d, %d: %v", i, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

var finished = regexp.MustCompile(`requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored`)

// h2load is nghttp2's: 100 streams on each of 10 connections.
func TestH2load(t *testing.T) {
	program, err := exec.LookPath("h2load")
	if err != nil {
		t.Skip("SKIPPED: h2load is not there; it is in Debian's nghttp2-client")
	}
	for _, upstream := range []proxy.UpstreamProtocol{proxy.UpstreamHTTP1, proxy.UpstreamHTTP2} {
		h := speaking(t, upstream, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(w, r.Body)
			fmt.Fprint(w, strings.Repeat("x", 1024))
		})
		out, err := exec.CommandContext(t.Context(), program, "-n", "5000", "-c", "10", "-m", "100", "-t", "1", "http://"+h.address()+"/").CombinedOutput() // #nosec G204 -- a test
		require.NoError(t, err, "%s", out)
		require.Regexp(t, finished, string(out))
		require.Equal(t, []string{"5000", "5000", "0", "0"}, finished.FindStringSubmatch(string(out))[1:], "%s", out)
	}
}

// tunnel2 is a WebSocket over HTTP/2 (RFC 8441), by hand.
type tunnel2 struct {
	*http2.Framer

	t *testing.T
}

func openTunnel2(t *testing.T, address, protocol string) *tunnel2 {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(c, http2.ClientPreface)
	require.NoError(t, err)
	f := &tunnel2{Framer: http2.NewFramer(c, c), t: t}
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	require.NoError(t, f.WriteSettings())
	first, err := f.ReadFrame()
	require.NoError(t, err)
	allowed, ok := first.(*http2.SettingsFrame).Value(http2.SettingEnableConnectProtocol)
	require.True(t, ok)
	require.EqualValues(t, 1, allowed)
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, p := range [][2]string{
		{":method", "CONNECT"},
		{":protocol", protocol},
		{":scheme", "http"},
		{":path", "/v1/realtime"},
		{":authority", "h"},
		{"sec-websocket-version", "13"},
	} {
		require.NoError(t, enc.WriteField(hpack.HeaderField{Name: p[0], Value: p[1]}))
	}
	require.NoError(t, f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true}))
	return f
}

// next is the next frame of the stream.
func (f *tunnel2) next() http2.Frame {
	f.t.Helper()
	for {
		frame, err := f.ReadFrame()
		require.NoError(f.t, err)
		if frame.Header().StreamID == 1 && frame.Header().Type != http2.FrameWindowUpdate {
			return frame
		}
	}
}

func upgradingTo(t *testing.T, p proxy.UpstreamProtocol, address string) *house {
	t.Helper()
	h := newHouse(t, Options{})
	r := resources(address)
	r.Clusters[0].Protocol = p
	r.Listeners[0].Default.HTTP.Upgrades = []string{"websocket"}
	r.Listeners[0].Default.HTTP.AllowConnect = true
	require.NoError(t, h.Apply(r))
	return h
}

// A WebSocket over HTTP/2 reaches a server that knows it over HTTP/1.1 only, directly
// and through another Friday that is spoken to in HTTP/2; and so does one over HTTP/1.1.
func TestWebSocketOverHTTP2(t *testing.T) {
	heads := make(chan string, 10)
	last := upgradingTo(t, proxy.UpstreamHTTP1, scripted(t, func(head string, c *net.TCPConn, br *bufio.Reader) {
		heads <- head
		echoBytes(head, c, br)
	}))
	first := upgradingTo(t, proxy.UpstreamHTTP2, last.address())
	for name, h := range map[string]*house{"directly": last, "through HTTP/2": first} {
		t.Run(name, func(t *testing.T) {
			f := openTunnel2(t, h.address(), "websocket")
			require.NoError(t, f.WriteData(1, false, []byte("hello")))
			head, ok := f.next().(*http2.MetaHeadersFrame)
			require.True(t, ok)
			require.Equal(t, "200", head.PseudoValue("status"))
			for _, hf := range head.Fields {
				require.NotContains(t, []string{"connection", "upgrade", "sec-websocket-accept"}, hf.Name)
			}
			require.Equal(t, "hello", string(f.next().(*http2.DataFrame).Data()))
			got := <-heads
			require.True(t, strings.HasPrefix(got, "GET /v1/realtime HTTP/1.1\r\n"), got)
			require.Regexp(t, `(?i)sec-websocket-key: \S{24}`, got)
			require.NoError(t, f.WriteData(1, true, nil)) // the server's end follows
			for {
				if d, ok := f.next().(*http2.DataFrame); ok && d.StreamEnded() {
					break
				}
			}
		})
	}
	t.Run("from HTTP/1.1", func(t *testing.T) {
		c, br := tunnelled(t, first, "hello")
		b := make([]byte, 5)
		_, err := io.ReadFull(br, b)
		require.NoError(t, err)
		require.Equal(t, "hello", string(b))
		require.NoError(t, c.(*net.TCPConn).CloseWrite())
		rest, err := io.ReadAll(br)
		require.NoError(t, err)
		require.Empty(t, rest)
	})
}

func TestUpgradeOverHTTP2Refused(t *testing.T) {
	h := upgradingTo(t, proxy.UpstreamHTTP1, scripted(t, echoBytes))
	head, ok := openTunnel2(t, h.address(), "chat").next().(*http2.MetaHeadersFrame)
	require.True(t, ok)
	require.Equal(t, "501", head.PseudoValue("status"), "not configured")

	// A server that takes none.
	h = upgradingTo(t, proxy.UpstreamHTTP2, http2Server(t, func(http.ResponseWriter, *http.Request) {}))
	_, br := raw(t, h.address(), askUpgrade)
	resp, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadGateway, resp.StatusCode)
}

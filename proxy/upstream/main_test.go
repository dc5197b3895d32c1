package upstream

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// peer is one accepted connection of a scripted server.
type peer struct {
	net.Conn

	t  *testing.T
	br *bufio.Reader
}

// head reads a request's head, as it was sent.
func (p *peer) head() string {
	var sb strings.Builder
	for {
		line, err := p.br.ReadString('\n')
		if err != nil {
			return sb.String()
		}
		sb.WriteString(line)
		if line == "\r\n" {
			return sb.String()
		}
	}
}

func (p *peer) send(text string) {
	_, err := io.WriteString(p, text)
	if err != nil {
		p.t.Logf("scripted server: %v", err)
	}
}

// serve runs script for every connection, with its number.
func serve(t *testing.T, script func(n int, p *peer)) (address string) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		conns []net.Conn
	)
	wg.Go(func() {
		for n := 0; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				script(n, &peer{Conn: c, t: t, br: bufio.NewReader(c)})
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return ln.Addr().String()
}

func transport(t *testing.T, address string) (*Transport, *telemetry.Metrics) {
	t.Helper()
	m := telemetry.New(prometheus.NewRegistry())
	tr := New(address, Config{Cluster: "c"}, m)
	t.Cleanup(func() { require.NoError(t, tr.Close()) })
	return tr, m
}

// request parses a head as the codec does.
func request(t testing.TB, head string, body proxy.Body) *proxy.Request {
	t.Helper()
	h := new(fasthttp.RequestHeader)
	h.DisableNormalizing()
	h.SetNoDefaultContentType(true)
	require.NoError(t, h.Read(bufio.NewReader(strings.NewReader(head))))
	if body == nil {
		body = proxy.NoBody
	}
	return &proxy.Request{Header: h, Body: body}
}

func get(t *testing.T) *proxy.Request {
	t.Helper()
	return request(t, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", nil)
}

// roundTrip reads the whole answer.
func roundTrip(ctx context.Context, t *testing.T, tr *Transport, req *proxy.Request) (status int, body string) {
	t.Helper()
	resp, err := tr.Handle(ctx, req)
	require.NoError(t, err)
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	status = resp.Header.StatusCode()
	require.NoError(t, resp.Close())
	return status, string(b)
}

// pipeBody is a request body that arrives piece by piece.
type pipeBody struct {
	*io.PipeReader

	n int64
}

func (b pipeBody) Len() int64                        { return b.n }
func (b pipeBody) Trailer() *fasthttp.ResponseHeader { return nil }

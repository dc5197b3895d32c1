package h1

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/exchange"
	"github.com/fridaymesh/friday/proxy/router"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server answers everything with 200 and "ok".
func server(t testing.TB) (*Server, *observer.ObservedLogs) {
	t.Helper()
	c, err := config.NewBuilder(zap.NewNop(), prometheus.NewRegistry(), config.Defaults{}).Build(&config.Resources{
		Listeners: []*config.Listener{{Name: "in", Address: "127.0.0.1:0", Default: &config.FilterChain{HTTP: &config.HTTP{
			AccessLog: config.LogAll,
			Table: &config.RouteTable{VirtualHosts: []*config.VirtualHost{{Domains: []string{"*"}, Routes: []*config.Route{{
				Name: "all", Match: router.Match{Prefix: "/"}, Direct: &config.DirectResponse{Status: 200, Body: "ok"},
			}}}}},
		}}}},
	})
	require.NoError(t, err)
	t.Cleanup(c.Abort)
	core, logs := observer.New(zapcore.DebugLevel)
	m := telemetry.New(prometheus.NewRegistry())
	active := c.Snapshot.Listeners["in"].Default.HTTP
	return New(exchange.Options{
		Listener: func() *config.Active { return active },
		Recorder: telemetry.NewRecorder(m, zap.New(core)), Metrics: m, Log: zap.NewNop(),
	}), logs
}

// canned is a connection on which in has arrived, and then its end.
type canned struct {
	net.Conn

	in  *bytes.Reader
	out bytes.Buffer
}

func (c *canned) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *canned) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *canned) Close() error                     { return nil }
func (c *canned) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *canned) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *canned) SetDeadline(time.Time) error      { return nil }
func (c *canned) SetReadDeadline(time.Time) error  { return nil }
func (c *canned) SetWriteDeadline(time.Time) error { return nil }

func answer(s *Server, in string) string {
	c := &canned{in: bytes.NewReader([]byte(in))}
	s.ServeConn(c)
	return c.out.String()
}

func TestAccessLog(t *testing.T) {
	s, logs := server(t)
	answer(s, "GET /v1/models?api_key=secret HTTP/1.1\r\nHost: h\r\nX-Request-Id: 7\r\n\r\n")
	require.Equal(t, 1, logs.Len())
	f := logs.All()[0].ContextMap()
	require.Equal(t, "/v1/models", f["path"], "a query may hold a key")
	require.Equal(t, "GET", f["method"])
	require.EqualValues(t, 200, f["status"])
	require.EqualValues(t, 2, f["bytes_sent"])
	require.Equal(t, "all", f["route"])
	require.Equal(t, "http1", f["protocol"])
}

func TestDrainingTakesNoNewConnections(t *testing.T) {
	s, _ := server(t)
	require.NotContains(t, answer(s, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"), "Connection: close")
	s.Drain()
	require.Empty(t, answer(s, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
}

// Whatever arrives, the codec answers or closes, each answer is HTTP, and there
// are no more answers than there can be requests.
func FuzzServe(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
		"GET / HTTP/1.0\r\n\r\n", "\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET http://h/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n",
	} {
		f.Add(s)
	}
	s, _ := server(f)
	f.Fuzz(func(t *testing.T, in string) {
		out := answer(s, in)
		require.LessOrEqual(t, strings.Count(out, "HTTP/1.1 "), 1+strings.Count(in, "\n"))
		if out != "" {
			require.True(t, strings.HasPrefix(out, "HTTP/1.1 "), "%q", out)
		}
	})
}

func TestBodyLimits(t *testing.T) {
	b := &requestBody{x: new(exchange.Exchange), conn: &canned{}, header: new(fasthttp.RequestHeader), stream: strings.NewReader("0123456789"), length: -1, limit: 5}
	_, err := io.ReadAll(b)
	var pe *proxy.Error
	require.ErrorAs(t, err, &pe)
	require.Equal(t, 413, pe.Status)

	b = &requestBody{x: new(exchange.Exchange), conn: &canned{}, header: new(fasthttp.RequestHeader), stream: strings.NewReader("012"), length: 5, limit: 50}
	_, err = io.ReadAll(b)
	require.ErrorAs(t, err, &pe)
	require.Equal(t, 499, pe.Status, "cut short: the caller has gone")

	require.NoError(t, b.Close())
	require.NoError(t, b.Close())
}

// racing is a connection on which Close comes between the look whether the body was
// closed and the deadline of its Read.
type racing struct {
	canned

	waits, past chan struct{}
}

func (c *racing) SetReadDeadline(d time.Time) error {
	if d.Before(time.Now()) {
		close(c.past)
		return nil
	}
	close(c.waits)
	<-c.past
	return nil
}

// neverReads waits for ever.
type neverReads struct{}

func (neverReads) Read([]byte) (int, error) { select {} }

func TestCloseMeetsRead(t *testing.T) {
	c := &racing{waits: make(chan struct{}), past: make(chan struct{})}
	b := &requestBody{x: new(exchange.Exchange), conn: c, header: new(fasthttp.RequestHeader), stream: neverReads{}, length: -1, limit: 5, idle: time.Hour}
	read := make(chan error, 1)
	go func() {
		_, err := b.Read(make([]byte, 1))
		read <- err
	}()
	<-c.waits
	require.NoError(t, b.Close())
	require.ErrorIs(t, <-read, errClosed)
}

// opened is a connection whose first byte is there when it is asked for.
type opened struct {
	canned

	asked, answer, closed chan struct{}
	once                  sync.Once
}

func (c *opened) Read(p []byte) (int, error) {
	c.once.Do(func() { close(c.asked) })
	select {
	case <-c.answer:
		return c.canned.Read(p)
	case <-c.closed:
		return 0, net.ErrClosed
	}
}

func (c *opened) Close() error {
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	return nil
}

// A connection whose first request has come is not closed by a drain, though nobody has
// read it yet.
func TestDrainServesWhatHasCome(t *testing.T) {
	s, _ := server(t)
	c := &opened{asked: make(chan struct{}), answer: make(chan struct{}), closed: make(chan struct{})}
	c.in = bytes.NewReader([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ServeConn(c)
	}()
	<-c.asked
	s.Drain()
	close(c.answer)
	<-done
	require.Contains(t, c.out.String(), "HTTP/1.1 200 OK\r\n")
	require.Contains(t, c.out.String(), "Connection: close\r\n")
}

package server

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/tlscontext"
	"github.com/fridaymesh/friday/proxy/tlscontext/tlstest"
)

// bytesServer serves each connection by serve and closes it.
func bytesServer(t *testing.T, serve func(*net.TCPConn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				serve(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return ln.Addr().String()
}

// asBytes has the listener relay bytes.
func asBytes(r *config.Resources) *config.TCP {
	t := &config.TCP{Clusters: []config.WeightedCluster{{Name: "up", Weight: 1}}, AccessLog: config.LogAll}
	chain := *r.Listeners[0].Default
	chain.HTTP, chain.TCP = nil, t
	r.Listeners[0].Default = &chain
	return t
}

func dialed(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	return c.(*net.TCPConn)
}

// TestHalfClose: each side may end its sending by itself, in either order, and gets
// all of what the other one sends.
func TestHalfClose(t *testing.T) {
	const size = 3 << 20
	reply := strings.Repeat("r", size)
	address := bytesServer(t, func(c *net.TCPConn) {
		first := make([]byte, 1)
		if _, err := io.ReadFull(c, first); err != nil {
			return
		}
		if first[0] == 'q' { // answers once the caller has ended
			all, _ := io.ReadAll(c)
			_, _ = io.WriteString(c, reply[:len(all)])
			return
		}
		_, _ = io.WriteString(c, reply) // ends first and listens on
		_ = c.CloseWrite()
		n, _ := io.Copy(io.Discard, c)
		if n != size {
			t.Errorf("the server got %d bytes", n)
		}
	})
	h := newHouse(t, Options{})
	r := resources(address)
	asBytes(r)
	require.NoError(t, h.Apply(r))

	c := dialed(t, h.address())
	_, err := io.WriteString(c, "q"+strings.Repeat("x", size))
	require.NoError(t, err)
	require.NoError(t, c.CloseWrite())
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Len(t, got, size)

	c = dialed(t, h.address())
	_, err = io.WriteString(c, "a")
	require.NoError(t, err)
	got, err = io.ReadAll(c)
	require.NoError(t, err)
	require.Len(t, got, size)
	_, err = io.WriteString(c, strings.Repeat("x", size))
	require.NoError(t, err)
	require.NoError(t, c.CloseWrite())
	require.Eventually(t, func() bool { return h.access.FilterMessage("connection").Len() == 2 }, 10*time.Second, time.Millisecond)
	line := h.access.FilterMessage("connection").All()[0].ContextMap()
	require.Equal(t, "tcp", line["protocol"])
	require.EqualValues(t, size+1, line["bytes_received"])
	require.EqualValues(t, size, line["bytes_sent"])
	require.Equal(t, address, line["upstream_address"])
	require.Equal(t, 2, value(t, h.metrics.TCPConnections.WithLabelValues("in", "up", "ok")))
	require.Zero(t, value(t, h.metrics.TCPActive.WithLabelValues("in", "up")))
	require.EqualValues(t, 0, h.Snapshot().Clusters["up"].All()[0].Active.Load())
}

// TestBytesThatCannotBeRelayed: the caller's connection is closed, and why is told.
func TestBytesThatCannotBeRelayed(t *testing.T) {
	gone := bytesServer(t, func(*net.TCPConn) {})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	for name, tt := range map[string]struct {
		change func(*config.Resources, *config.TCP)
		flag   string
		result string
	}{
		"no such cluster": {func(_ *config.Resources, c *config.TCP) { c.Clusters[0].Name = "x" }, "NC", "failed"},
		"no endpoint":     {func(r *config.Resources, _ *config.TCP) { r.Clusters[0].Endpoints = nil }, "UH", "failed"},
		"nobody there": {func(r *config.Resources, c *config.TCP) {
			r.Clusters[0].Endpoints[0].Address = closed.Addr().String()
			c.ConnectAttempts = 3
		}, "UF", "failed"},
		"idle": {func(r *config.Resources, c *config.TCP) {
			r.Clusters[0].Endpoints[0].Address = bytesServer(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
			c.IdleTimeout = 50 * time.Millisecond
		}, "UC", "cut"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, Options{})
			r := resources(gone)
			tt.change(r, asBytes(r))
			require.NoError(t, h.Apply(r))
			c := dialed(t, h.address())
			got, err := io.ReadAll(c)
			require.NoError(t, err)
			require.Empty(t, got)
			require.Eventually(t, func() bool { return h.access.FilterMessage("connection").Len() == 1 }, 10*time.Second, time.Millisecond)
			line := h.access.FilterMessage("connection").All()[0].ContextMap()
			require.Equal(t, tt.flag, line["response_flag"])
			name := r.Listeners[0].Default.TCP.Clusters[0].Name
			require.Equal(t, 1, value(t, h.metrics.TCPConnections.WithLabelValues("in", name, tt.result)))
		})
	}
}

// TestBytesOfManyClusters: connections are shared out by weight, and one that an endpoint
// refuses goes to another.
func TestBytesOfManyClusters(t *testing.T) {
	says := func(word string) string {
		return bytesServer(t, func(c *net.TCPConn) { _, _ = io.WriteString(c, word) })
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	h := newHouse(t, Options{})
	r := resources(closed.Addr().String(), says("a"))
	tcp := asBytes(r)
	tcp.ConnectAttempts = 5
	tcp.Clusters = []config.WeightedCluster{{Name: "up", Weight: 3}, {Name: "b", Weight: 1}}
	r.Clusters = append(r.Clusters, &cluster.Config{Name: "b", Endpoints: []cluster.EndpointConfig{{Address: says("b")}}})
	require.NoError(t, h.Apply(r))
	words := map[string]int{}
	for range 100 {
		got, err := io.ReadAll(dialed(t, h.address()))
		require.NoError(t, err)
		words[string(got)]++
	}
	require.Equal(t, 100, words["a"]+words["b"])
	require.Greater(t, words["a"], words["b"])
	require.NotZero(t, words["b"])
}

// TestBytesOverTLS: TLS ends here, and another is spoken with the endpoint; each end
// says goodbye to the other.
func TestBytesOverTLS(t *testing.T) {
	ca := tlstest.NewCA(t)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{ca.Issue("up.test").TLS(t)}, NextProtos: []string{"mine"}})
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() {
		defer ln.Close()
		c, err := ln.Accept()
		if err != nil {
			served <- err
			return
		}
		defer c.Close()
		all, err := io.ReadAll(c)
		if err == nil {
			_, err = c.Write(append([]byte(c.(*tls.Conn).ConnectionState().NegotiatedProtocol+" "), all...))
		}
		served <- err
	}()
	h := newHouse(t, Options{})
	r := resources(ln.Addr().String())
	asBytes(r)
	r.Listeners[0].Default.TLS = mutual()
	r.Secrets = mesh(ca, ca.Issue("in.test"))
	r.Clusters[0].TLS = &tlscontext.Upstream{Common: tlscontext.Common{Validation: ca.Trust(), Protocols: []string{"mine"}}, SNI: "up.test", SANFromSNI: true}
	require.NoError(t, h.Apply(r))
	c, err := tls.Dial("tcp", h.address(), &tls.Config{
		RootCAs: ca.Pool(), ServerName: "in.test", Certificates: []tls.Certificate{ca.Issue("spiffe://cluster.local/x").TLS(t)},
	})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(c, "hello")
	require.NoError(t, err)
	require.NoError(t, c.CloseWrite())
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "mine hello", string(got))
	require.NoError(t, <-served)
}

// TestBytesEndWithTheDrain: who is connected goes on until the drain timeout.
func TestBytesEndWithTheDrain(t *testing.T) {
	h := newHouse(t, Options{DrainTimeout: 100 * time.Millisecond})
	r := resources(bytesServer(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c) }))
	asBytes(r)
	require.NoError(t, h.Apply(r))
	c := dialed(t, h.address())
	_, err := io.WriteString(c, "x")
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, 1))
	require.NoError(t, err)
	h.Drain()
	_, err = io.WriteString(c, "y")
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, 1))
	require.NoError(t, err, "it goes on")
	require.True(t, h.closed.CompareAndSwap(false, true))
	require.NoError(t, h.Close())
	_, err = c.Read(make([]byte, 1))
	require.Error(t, err)
}

// TestProxyProtocol: the header says who the caller is and where it meant to go, which
// chooses the chain.
func TestProxyProtocol(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(up.Close)
	h := newHouse(t, Options{})
	r := resources(up.URL)
	l := r.Listeners[0]
	l.Inspect.ProxyProtocol = &config.ProxyProtocol{}
	tcp := *l.Default
	tcp.HTTP, tcp.TCP = nil, &config.TCP{Clusters: []config.WeightedCluster{{Name: "bytes", Weight: 1}}}
	tcp.Match.Port = 5432
	l.Chains = []*config.FilterChain{&tcp}
	r.Clusters = append(r.Clusters, &cluster.Config{Name: "bytes", Endpoints: []cluster.EndpointConfig{{
		Address: bytesServer(t, func(c *net.TCPConn) { _, _ = io.WriteString(c, "bytes") }),
	}}})
	require.NoError(t, h.Apply(r))
	const request = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	for name, tt := range map[string]struct {
		sent, answer, caller string
	}{
		"version 1":       {"PROXY TCP4 10.1.2.3 10.0.0.9 1234 80\r\n" + request, "GET /x ", "10.1.2.3:1234"},
		"version 2":       {"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x0a\x01\x02\x03\x0a\x00\x00\x09\x04\xd2\x00\x50" + request, "GET /x ", "10.1.2.3:1234"},
		"the proxy's own": {"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00" + request, "GET /x ", "127.0.0.1:"},
		"another port":    {"PROXY TCP6 ::1 ::2 1234 5432\r\n", "bytes", ""},
		"none":            {request, "", ""},
		"a bad one":       {"PROXY TCP4 x y z\r\n" + request, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h.access.TakeAll()
			c := dialed(t, h.address())
			_, err := io.WriteString(c, tt.sent)
			require.NoError(t, err)
			got, err := io.ReadAll(c)
			if tt.answer == "" {
				require.Empty(t, got)
				return
			}
			require.NoError(t, err)
			require.Contains(t, string(got), tt.answer)
			if tt.caller != "" {
				require.Eventually(t, func() bool { return h.access.FilterMessage("request").Len() == 1 }, 10*time.Second, time.Millisecond)
				require.Contains(t, h.access.FilterMessage("request").All()[0].ContextMap()["downstream_address"], tt.caller)
			}
		})
	}
	require.Equal(t, 2, value(t, h.metrics.DownstreamRefused.WithLabelValues("in", "listener_filters")))
}

// TestHandOver: a connection that was redirected is handed over to the listener of the
// address that it was meant for, which need not be bound; others stay.
func TestHandOver(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(up.Close)
	h := newHouse(t, Options{})
	r := resources(up.URL)
	in := r.Listeners[0]
	in.UseOriginalDst = true
	in.Inspect.ProxyProtocol = &config.ProxyProtocol{Optional: true}
	http80 := &config.Listener{Name: "0.0.0.0_80", Address: "0.0.0.0:80", Unbound: true, Default: in.Default}
	only := &config.Listener{Name: "10.0.0.9_81", Address: "10.0.0.9:81", Unbound: true, Default: in.Default}
	tcp := *in.Default
	tcp.HTTP, tcp.TCP = nil, &config.TCP{Clusters: []config.WeightedCluster{{Name: "bytes", Weight: 1}}}
	in.Default = &tcp
	r.Listeners = append(r.Listeners, http80, only)
	r.Clusters = append(r.Clusters, &cluster.Config{Name: "bytes", Endpoints: []cluster.EndpointConfig{{
		Address: bytesServer(t, func(c *net.TCPConn) { _, _ = io.WriteString(c, "bytes") }),
	}}})
	require.NoError(t, h.Apply(r))
	require.NotContains(t, h.Addresses(), "0.0.0.0_80")
	ask := func(to string) string {
		c := dialed(t, h.address())
		_, err := io.WriteString(c, "PROXY TCP4 10.1.2.3 "+to+"\r\nGET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		require.NoError(t, err)
		if strings.HasSuffix(to, "85") {
			require.NoError(t, c.CloseWrite())
		}
		got, err := io.ReadAll(bufio.NewReader(c))
		if err != nil {
			require.Contains(t, err.Error(), "reset") // what was sent was not read
		}
		return string(got)
	}
	require.Contains(t, ask("10.0.0.7 1234 80"), "GET /x ")
	require.Contains(t, ask("10.0.0.9 1234 81"), "GET /x ")
	require.NotContains(t, ask("10.0.0.7 1234 81"), "GET /x ", "another address of the port")
	require.NotContains(t, ask("10.0.0.7 1234 85"), "GET /x ")
	// A listener that has gone gives its connections back.
	next := *r
	next.Listeners = r.Listeners[:1]
	require.NoError(t, h.Apply(&next))
	require.NotContains(t, ask("10.0.0.7 1234 80"), "GET /x ")
}

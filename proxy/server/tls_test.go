package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/tlscontext"
	"github.com/fridaymesh/friday/proxy/tlscontext/tlstest"
)

var (
	ownRef   = tlscontext.Ref{Name: "default", Source: tlscontext.Source{Cluster: "sds-grpc"}}
	trustRef = tlscontext.Ref{Name: "ROOTCA", Source: tlscontext.Source{Cluster: "sds-grpc"}}
)

// mesh are the secrets of a workload.
func mesh(ca *tlstest.CA, own *tlstest.Certificate) map[tlscontext.Ref]*tlscontext.Secret {
	return map[tlscontext.Ref]*tlscontext.Secret{ownRef: {Certificate: own.Config()}, trustRef: {Validation: ca.Trust()}}
}

// mutual is a context as istiod has it.
func mutual() *tlscontext.Downstream {
	begins := tlscontext.NameMatch{Match: func(s string) bool { return strings.HasPrefix(s, "spiffe://cluster.local/") }}
	return &tlscontext.Downstream{
		Common: tlscontext.Common{
			ID: "mutual", Protocols: []string{"h2", "http/1.1"},
			CertificateRefs: []tlscontext.Ref{ownRef}, ValidationRef: &trustRef,
			Validation: &tlscontext.Validation{Names: []tlscontext.NameMatch{begins}},
		},
		RequireClientCertificate: true,
	}
}

// secureCaller speaks TLS as c.
func secureCaller(t *testing.T, ca *tlstest.CA, c *tlstest.Certificate, protocols ...string) *http.Client {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true, NextProtos: protocols, ServerName: "in.test"}
	if ca != nil {
		config.InsecureSkipVerify, config.RootCAs = false, ca.Pool()
	}
	if c != nil {
		pair := c.TLS(t)
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	tr := &http.Transport{TLSClientConfig: config, DisableCompression: true, MaxIdleConnsPerHost: 100, Protocols: new(http.Protocols)}
	for _, p := range protocols {
		switch p {
		case "h2":
			tr.Protocols.SetHTTP2(true)
		default:
			tr.Protocols.SetHTTP1(true)
		}
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

func get(c *http.Client, url string) (status int, proto, body string, err error) {
	resp, err := c.Get(url)
	if err != nil {
		return 0, "", "", err
	}
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Proto, string(b), errors.Join(err, resp.Body.Close())
}

func echo(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, b)
}

// permissive has TLS and cleartext on one port, chosen by what the connection begins
// with.
func permissive(r *config.Resources, d *tlscontext.Downstream) {
	l := r.Listeners[0]
	plain := *l.Default
	plain.Match.Transport = "raw_buffer"
	secure := *l.Default
	secure.Match.Transport = "tls"
	secure.TLS = d
	l.Default, l.Chains = nil, []*config.FilterChain{&plain, &secure}
	l.Inspect.TLS = &config.Inspection{}
}

func secured(t *testing.T, change func(*config.Resources)) *house {
	t.Helper()
	up := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(up.Close)
	h := newHouse(t, Options{})
	r := resources(up.URL)
	change(r)
	require.NoError(t, h.Apply(r))
	return h
}

// TestPermissive: callers of the mesh speak TLS, others do not, and both are served on
// one port, in either HTTP.
func TestPermissive(t *testing.T) {
	ca, other := tlstest.NewCA(t), tlstest.NewCA(t)
	h := secured(t, func(r *config.Resources) {
		permissive(r, mutual())
		r.Secrets = mesh(ca, ca.Issue("in.test", "spiffe://cluster.local/ns/models/sa/llama"))
	})
	friend := ca.Issue("spiffe://cluster.local/ns/app/sa/web")
	for name, tt := range map[string]struct {
		caller *http.Client
		scheme string
		proto  string // empty: refused
	}{
		"cleartext":            {caller(t), "http", "HTTP/1.1"},
		"HTTP/2 in cleartext":  {cleartext2(t), "http", "HTTP/2.0"},
		"HTTP/2 by ALPN":       {secureCaller(t, ca, friend, "h2"), "https", "HTTP/2.0"},
		"HTTP/1.1 by ALPN":     {secureCaller(t, ca, friend, "http/1.1"), "https", "HTTP/1.1"},
		"no certificate":       {secureCaller(t, ca, nil, "http/1.1"), "https", ""},
		"another trust domain": {secureCaller(t, ca, ca.Issue("spiffe://other/ns/app/sa/web"), "http/1.1"), "https", ""},
		"another CA":           {secureCaller(t, ca, other.Issue("spiffe://cluster.local/ns/app/sa/web"), "h2"), "https", ""},
	} {
		t.Run(name, func(t *testing.T) {
			status, proto, body, err := get(tt.caller, tt.scheme+"://"+h.address()+"/x")
			if tt.proto == "" {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, 200, status)
			require.Equal(t, tt.proto, proto)
			require.Equal(t, "GET /x ", body)
		})
	}
	require.Equal(t, 3, value(t, h.metrics.DownstreamTLS.WithLabelValues("in", "failed")))
}

func value(t *testing.T, c prometheus.Collector) int {
	t.Helper()
	return int(testutil.ToFloat64(c))
}

func cleartext2(t *testing.T) *http.Client {
	t.Helper()
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// TestTLSAlone: a listener that speaks nothing else needs no inspection, and tells the
// protocol without ALPN too.
func TestTLSAlone(t *testing.T) {
	ca := tlstest.NewCA(t)
	h := secured(t, func(r *config.Resources) {
		r.Listeners[0].Default.TLS = &tlscontext.Downstream{Common: tlscontext.Common{ID: "x", Certificates: []*tlscontext.Certificate{ca.Issue("in.test").Config()}}}
	})
	c := secureCaller(t, ca, nil, "http/1.1")
	_, proto, _, err := get(c, "https://"+h.address()+"/")
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1", proto)
	// A caller's connection ends with a goodbye when it is drained.
	nc, err := tls.Dial("tcp", h.address(), &tls.Config{RootCAs: ca.Pool(), ServerName: "in.test"})
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, nc.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(nc, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	require.NoError(t, err)
	_, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.True(t, h.closed.CompareAndSwap(false, true))
	require.NoError(t, h.Close())
	_, err = nc.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

// TestRotationUnderLoad: certificate and CA are changed under callers who keep their
// connections, and others who make new ones. No request fails, no connection is
// dropped.
func TestRotationUnderLoad(t *testing.T) {
	ca := tlstest.NewCA(t)
	r := &config.Resources{}
	h := secured(t, func(res *config.Resources) {
		permissive(res, mutual())
		res.Secrets = mesh(ca, ca.Issue("in.test", "spiffe://cluster.local/a"))
		*r = *res
	})
	friend := ca.Issue("spiffe://cluster.local/ns/app/sa/web")
	var (
		wg       sync.WaitGroup
		stop     atomic.Bool
		requests atomic.Int64
	)
	url := "https://" + h.address() + "/"
	// Connections of the test's own: net/http's client now and then dials another
	// although the first is fine.
	for range 3 {
		pair := friend.TLS(t)
		nc, err := tls.Dial("tcp", h.address(), &tls.Config{RootCAs: ca.Pool(), ServerName: "in.test", Certificates: []tls.Certificate{pair}})
		require.NoError(t, err)
		t.Cleanup(func() { nc.Close() })
		wg.Go(func() {
			br := bufio.NewReader(nc)
			for !stop.Load() {
				_, err := io.WriteString(nc, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				if err == nil {
					var resp *http.Response
					if resp, err = http.ReadResponse(br, nil); err == nil {
						_, err = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
						if resp.StatusCode != 200 || resp.Close {
							t.Errorf("kept: %d, closes: %v", resp.StatusCode, resp.Close)
							return
						}
					}
				}
				if err != nil {
					t.Errorf("kept: %v", err)
					return
				}
				requests.Add(1)
			}
		})
	}
	for i := range 4 {
		protocol := []string{"h2", "http/1.1"}[i%2]
		c := secureCaller(t, ca, friend, protocol)
		c.Transport.(*http.Transport).DisableKeepAlives = i >= 2
		wg.Go(func() {
			for !stop.Load() {
				status, _, _, err := get(c, url)
				if err != nil || status != 200 {
					t.Errorf("%s: %d %v", protocol, status, err)
					return
				}
				requests.Add(1)
			}
		})
	}
	certificates := map[string]bool{}
	for range 20 {
		next := *r
		own := ca.Issue("in.test", "spiffe://cluster.local/a")
		next.Secrets = mesh(ca, own)
		require.NoError(t, h.Apply(&next))
		before := requests.Load()
		require.Eventually(t, func() bool { return requests.Load() > before+20 || t.Failed() }, 10*time.Second, time.Millisecond)
		pair := friend.TLS(t)
		nc, err := tls.Dial("tcp", h.address(), &tls.Config{RootCAs: ca.Pool(), ServerName: "in.test", Certificates: []tls.Certificate{pair}})
		require.NoError(t, err)
		require.Equal(t, own.X509.Raw, nc.ConnectionState().PeerCertificates[0].Raw, "the new one counts at once")
		certificates[string(nc.ConnectionState().PeerCertificates[0].Raw)] = true
		require.NoError(t, nc.Close())
	}
	stop.Store(true)
	wg.Wait()
	require.Len(t, certificates, 20)
	t.Logf("%d requests", requests.Load())
}

// TestTLSChanged: with another context, connections of the old one end after their next
// answer.
func TestTLSChanged(t *testing.T) {
	ca := tlstest.NewCA(t)
	r := &config.Resources{}
	h := secured(t, func(res *config.Resources) {
		res.Listeners[0].Default.TLS = &tlscontext.Downstream{Common: tlscontext.Common{ID: "open", Certificates: []*tlscontext.Certificate{ca.Issue("in.test").Config()}}}
		*r = *res
	})
	nc, err := tls.Dial("tcp", h.address(), &tls.Config{RootCAs: ca.Pool(), ServerName: "in.test"})
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, nc.SetDeadline(time.Now().Add(10*time.Second)))
	br := bufio.NewReader(nc)
	ask := func() *http.Response {
		_, err := io.WriteString(nc, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		require.NoError(t, err)
		resp, err := http.ReadResponse(br, nil)
		require.NoError(t, err)
		_, err = io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp
	}
	require.False(t, ask().Close)
	next, l, chain, d := *r, *r.Listeners[0], *r.Listeners[0].Default, mutual()
	chain.TLS, l.Default, next.Listeners = d, &chain, []*config.Listener{&l}
	next.Secrets = mesh(ca, ca.Issue("in.test"))
	require.NoError(t, h.Apply(&next))
	resp := ask()
	require.Equal(t, 200, resp.StatusCode)
	require.True(t, resp.Close, "it was made without a certificate")
	_, err = tls.Dial("tcp", h.address(), &tls.Config{RootCAs: ca.Pool(), ServerName: "in.test", MaxVersion: tls.VersionTLS12})
	require.Error(t, err)
}

// upstreamTLS is a server of TLS that says what it was called by, and in which
// protocol.
func upstreamTLS(t *testing.T, c *tlstest.Certificate, callers *tlstest.CA, http2 bool) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer := ""
		if len(r.TLS.PeerCertificates) > 0 {
			peer = r.TLS.PeerCertificates[0].URIs[0].String()
		}
		fmt.Fprintf(w, "%s %s %s %s resumed=%v", r.Proto, r.TLS.ServerName, r.TLS.NegotiatedProtocol, peer, r.TLS.DidResume)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{c.TLS(t)}}
	if callers != nil {
		s.TLS.ClientAuth, s.TLS.ClientCAs = tls.RequireAndVerifyClientCert, callers.Pool()
	}
	s.EnableHTTP2 = http2
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// TestUpstreamTLS: endpoints are spoken with in TLS, as the cluster says.
func TestUpstreamTLS(t *testing.T) {
	ca, other := tlstest.NewCA(t), tlstest.NewCA(t)
	llama := "spiffe://cluster.local/ns/models/sa/llama"
	uri := func(s string) tlscontext.NameMatch { return tlscontext.NameMatch{Type: tlscontext.URIName, Exact: s} }
	server := ca.Issue(llama, "a.test")
	for name, tt := range map[string]struct {
		server  *tlstest.Certificate
		callers *tlstest.CA
		http2   bool
		change  func(*cluster.Config)
		want    string // the answer; empty: 503 UF
	}{
		"HTTP/1.1":                    {server, nil, false, func(c *cluster.Config) { c.TLS.SNI = "a.test" }, "HTTP/1.1 a.test http/1.1  resumed=false"},
		"HTTP/1.1 where both could":   {server, nil, true, func(*cluster.Config) {}, "HTTP/1.1    resumed=false"},
		"HTTP/2":                      {server, nil, true, func(c *cluster.Config) { c.Protocol = proxy.UpstreamHTTP2 }, "HTTP/2.0  h2  resumed=false"},
		"the server chooses HTTP/2":   {server, nil, true, func(c *cluster.Config) { c.Protocol = proxy.UpstreamByALPN }, "HTTP/2.0  h2  resumed=false"},
		"the server chooses HTTP/1.1": {server, nil, false, func(c *cluster.Config) { c.Protocol = proxy.UpstreamByALPN }, "HTTP/1.1  http/1.1  resumed=false"},
		"mutual": {server, ca, false, func(c *cluster.Config) {
			c.TLS.Certificates = []*tlscontext.Certificate{ca.Issue("spiffe://cluster.local/me").Config()}
		}, "HTTP/1.1  http/1.1 spiffe://cluster.local/me resumed=false"},
		"no certificate to show": {server, ca, false, func(*cluster.Config) {}, ""},
		"another name":           {ca.Issue("spiffe://cluster.local/other"), nil, false, func(*cluster.Config) {}, ""},
		"another CA":             {other.Issue(llama), nil, true, func(c *cluster.Config) { c.Protocol = proxy.UpstreamByALPN }, ""},
		"the endpoint's hostname": {server, nil, false, func(c *cluster.Config) {
			c.TLS.HostSNI = true
			c.Endpoints[0].Hostname = "a.test"
		}, "HTTP/1.1 a.test http/1.1  resumed=false"},
		"the caller's host": {server, nil, false, func(c *cluster.Config) { c.AutoSNI = true }, "HTTP/1.1 a.test http/1.1  resumed=false"},
		"the caller's host, checked": {server, nil, true, func(c *cluster.Config) {
			c.AutoSNI, c.AutoSAN, c.Protocol = true, true, proxy.UpstreamByALPN
		}, "HTTP/2.0 a.test h2  resumed=false"},
		"the caller's host, which it is not": {ca.Issue(llama, "b.test"), nil, false, func(c *cluster.Config) { c.AutoSNI, c.AutoSAN = true, true }, ""},
		"by metadata": {server, nil, false, func(c *cluster.Config) {
			c.Sockets = []cluster.Socket{
				{Match: map[string]any{"tlsMode": "istio", "x": 1.}},
				{Match: map[string]any{"tlsMode": "istio"}, TLS: c.TLS},
				{Match: map[string]any{}},
			}
			c.TLS = nil
			c.Endpoints[0].Metadata = map[string]map[string]any{"envoy.transport_socket_match": {"tlsMode": "istio"}}
		}, "HTTP/1.1  http/1.1  resumed=false"},
	} {
		t.Run(name, func(t *testing.T) {
			address := upstreamTLS(t, tt.server, tt.callers, tt.http2)
			h := newHouse(t, Options{})
			r := resources(address)
			r.Clusters[0].TLS = &tlscontext.Upstream{Common: tlscontext.Common{ID: name, Validation: ca.Trust(uri(llama))}, Sessions: 1}
			tt.change(r.Clusters[0])
			require.NoError(t, h.Apply(r))
			c := caller(t)
			for range 3 {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+h.address()+"/", http.NoBody)
				require.NoError(t, err)
				req.Host = "a.test"
				resp, err := c.Do(req)
				require.NoError(t, err)
				b, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				if tt.want == "" {
					require.Equal(t, 503, resp.StatusCode, "%s", b)
					// In TLS 1.3 the server's refusal comes after the client's handshake.
					require.Regexp(t, "TLS_error|connection termination", string(b))
					continue
				}
				require.Equal(t, tt.want, string(b))
			}
			if tt.want == "" {
				return
			}
			require.Equal(t, 1, value(t, h.metrics.UpstreamConnections.WithLabelValues("up")), "one connection serves all")
		})
	}
}

// TestUpstreamSessionsAreResumed: a connection that is made anew resumes, and the
// stale-connection race is told apart within TLS, too.
func TestUpstreamSessionsAreResumed(t *testing.T) {
	ca := tlstest.NewCA(t)
	var closing atomic.Bool
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if closing.Load() {
			w.Header().Set("Connection", "close")
		}
		fmt.Fprint(w, r.TLS.DidResume)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Issue("a.test").TLS(t)}}
	s.StartTLS()
	defer s.Close()
	h := newHouse(t, Options{})
	r := resources(s.Listener.Addr().String())
	r.Clusters[0].TLS = &tlscontext.Upstream{Common: tlscontext.Common{Validation: ca.Trust()}, SNI: "a.test", Sessions: 1}
	require.NoError(t, h.Apply(r))
	closing.Store(true)
	c := caller(t)
	for i := range 20 {
		status, _, body, err := get(c, "http://"+h.address()+"/")
		require.NoError(t, err)
		require.Equal(t, 200, status)
		require.Equal(t, fmt.Sprint(i > 0), body)
	}
	require.Equal(t, 19, value(t, h.metrics.UpstreamTLS.WithLabelValues("up", "resumed")))
	require.Equal(t, 1, value(t, h.metrics.UpstreamTLS.WithLabelValues("up", "full")))
	// The server closes idle connections under steady requests: none is lost.
	closing.Store(false)
	for range 50 {
		s.CloseClientConnections()
		status, _, _, err := get(c, "http://"+h.address()+"/")
		require.NoError(t, err)
		require.Equal(t, 200, status)
	}
}

// TestCallersTLSIsKnown: whoever handles a request sees who the caller is.
func TestCallersTLSIsKnown(t *testing.T) {
	ca := tlstest.NewCA(t)
	who := make(chan *x509.Certificate, 2)
	h := secured(t, func(r *config.Resources) {
		permissive(r, mutual())
		r.Secrets = mesh(ca, ca.Issue("in.test"))
		r.Listeners[0].Chains[1].HTTP.Filters = []config.Filter{{Name: "who", Factory: whoFactory{who}, Config: new(int)}}
	})
	friend := ca.Issue("spiffe://cluster.local/ns/app/sa/web")
	for _, p := range []string{"h2", "http/1.1"} {
		_, _, _, err := get(secureCaller(t, ca, friend, p), "https://"+h.address()+"/")
		require.NoError(t, err)
		require.Equal(t, friend.X509.Raw, (<-who).Raw)
	}
}

// whoFactory makes a filter that tells the caller's certificate.
type whoFactory struct{ who chan *x509.Certificate }

func (whoFactory) TypeURL() string                              { return "who" }
func (whoFactory) Parse(*anypb.Any) (proxy.FilterConfig, error) { return nil, nil }
func (f whoFactory) Build(proxy.FilterConfig, proxy.Env) (proxy.Filter, error) {
	return whoFilter(f), nil
}

type whoFilter struct{ who chan *x509.Certificate }

func (f whoFilter) Handle(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	f.who <- req.TLS.PeerCertificates[0]
	return next.Handle(ctx, req)
}

// TestStreamsWithinTLS: pieces come as they are made, in either HTTP, and a caller that
// leaves is noticed through TLS.
func TestStreamsWithinTLS(t *testing.T) {
	ca := tlstest.NewCA(t)
	next, gone := make(chan struct{}), make(chan struct{}, 2)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			_, _ = io.WriteString(w, "data: x\n\n")
			_ = http.NewResponseController(w).Flush()
			<-next
		}
		<-r.Context().Done()
		gone <- struct{}{}
	}))
	defer up.Close()
	h := newHouse(t, Options{})
	r := resources(up.URL)
	permissive(r, mutual())
	r.Secrets = mesh(ca, ca.Issue("in.test"))
	require.NoError(t, h.Apply(r))
	for _, p := range []string{"h2", "http/1.1"} {
		c := secureCaller(t, ca, ca.Issue("spiffe://cluster.local/x"), p)
		resp, err := c.Get("https://" + h.address() + "/")
		require.NoError(t, err)
		for range 3 {
			piece := make([]byte, len("data: x\n\n"))
			_, err := io.ReadFull(resp.Body, piece)
			require.NoError(t, err)
			require.Equal(t, "data: x\n\n", string(piece))
			next <- struct{}{}
		}
		require.NoError(t, resp.Body.Close())
		c.CloseIdleConnections()
		<-gone
	}
}

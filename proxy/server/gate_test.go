package server

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/telemetry"
	"github.com/fridaymesh/friday/proxy/tlscontext/tlstest"
)

// gated puts a gate before every chain.
func gated(r *config.Resources, id string, gate config.Gate) {
	l := *r.Listeners[0]
	put := func(c *config.FilterChain) *config.FilterChain {
		if c == nil {
			return nil
		}
		own := *c
		own.Gates = []config.GateConfig{{ID: id, Build: func(*telemetry.Metrics) config.Gate { return gate }}}
		return &own
	}
	l.Default = put(l.Default)
	chains := l.Chains
	l.Chains = nil
	for _, c := range chains {
		l.Chains = append(l.Chains, put(c))
	}
	r.Listeners = []*config.Listener{&l}
}

func denied(*proxy.Request) error { return errors.New("denied") }

// TestGateBeforeBytes: of a connection that is denied, nothing reaches the upstream.
func TestGateBeforeBytes(t *testing.T) {
	var reached atomic.Int64
	address := bytesServer(t, func(c *net.TCPConn) {
		reached.Add(1)
		_, _ = io.WriteString(c, "welcome")
	})
	h := newHouse(t, Options{})
	r := resources(address)
	asBytes(r)
	require.NoError(t, h.Apply(r))
	b, err := io.ReadAll(dialed(t, h.address()))
	require.NoError(t, err)
	require.Equal(t, "welcome", string(b))

	closed := resources(address)
	asBytes(closed)
	gated(closed, "deny", denied)
	require.NoError(t, h.Apply(closed))
	c := dialed(t, h.address())
	_, _ = io.WriteString(c, "let me in") // it may be closed already
	b, _ = io.ReadAll(c)                  // reset, where it was
	require.Empty(t, b)
	require.EqualValues(t, 1, reached.Load())
	require.InDelta(t, 1, testutil.ToFloat64(h.Metrics().DownstreamRefused.WithLabelValues(closed.Listeners[0].Name, "rbac")), 0)
}

// TestGateKnowsTheCaller: a gate is asked after the handshake, and a connection that was
// let in before the rules changed ends after its next answer.
func TestGateKnowsTheCaller(t *testing.T) {
	ca := tlstest.NewCA(t)
	var seen atomic.Pointer[proxy.Request]
	up := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(up.Close)
	own := ca.Issue("in.test", "spiffe://cluster.local/ns/models/sa/llama")
	h := newHouse(t, Options{})
	behind := func(id string, gate config.Gate) {
		r := resources(up.URL)
		permissive(r, mutual())
		r.Secrets = mesh(ca, own)
		gated(r, id, gate)
		require.NoError(t, h.Apply(r))
	}
	behind("look", func(req *proxy.Request) error {
		seen.Store(req)
		return nil
	})
	c := secureCaller(t, ca, ca.Issue("spiffe://cluster.local/ns/app/sa/web"), "http/1.1")
	status, _, _, err := get(c, "https://"+h.address()+"/x")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
	req := seen.Load()
	require.Equal(t, "spiffe://cluster.local/ns/app/sa/web", req.TLS.PeerCertificates[0].URIs[0].String())
	require.Equal(t, "in.test", req.TLS.ServerName)
	require.Equal(t, h.address(), req.Local.String())

	behind("deny", denied)
	require.Eventually(t, func() bool {
		_, _, _, err := get(c, "https://"+h.address()+"/x")
		return err != nil
	}, 10*time.Second, time.Millisecond, "the connection that was let in is used up, and no other is let in")
}

package server

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/config"
)

// TestLoop: a connection of which both ends are those of one that Friday has made is
// Friday's own, redirected back to it: a request gets 508 and goes no further, and bytes
// are not taken. What the kernel would say of the ends is said here by the PROXY header.
func TestLoop(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RemoteAddr) }))
	t.Cleanup(up.Close)
	address := bytesServer(t, func(c *net.TCPConn) {
		_, _ = io.WriteString(c, c.RemoteAddr().String()+"\n")
		_, _ = io.Copy(io.Discard, c)
	})
	h := newHouse(t, Options{})
	r := resources(up.URL)
	r.Clusters[0].IdleTimeout = time.Hour // what was made is there until the end
	l := r.Listeners[0]
	l.Inspect.ProxyProtocol = &config.ProxyProtocol{Optional: true}
	relay := *l.Default
	relay.HTTP, relay.TCP = nil, &config.TCP{Clusters: []config.WeightedCluster{{Name: "bytes", Weight: 1}}}
	relay.Match.Port = portOf(t, address)
	l.Chains = []*config.FilterChain{&relay}
	bytes := *r.Clusters[0]
	bytes.Name, bytes.Endpoints = "bytes", []cluster.EndpointConfig{{Address: address}}
	r.Clusters = append(r.Clusters, &bytes)
	require.NoError(t, h.Apply(r))

	from := func(text, server string) string { // a PROXY header of one of Friday's own connections
		own := netip.MustParseAddrPort(strings.TrimSpace(text))
		return fmt.Sprintf("PROXY TCP4 %s 127.0.0.1 %d %d\r\n", own.Addr(), own.Port(), portOf(t, server))
	}
	get := func(header string) (int, string) {
		_, br := raw(t, h.address(), header+"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(br, nil)
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(b)
	}
	status, own := get("")
	require.Equal(t, 200, status)
	server := strings.TrimPrefix(up.URL, "http://")
	status, text := get(from(own, server))
	require.Equal(t, http.StatusLoopDetected, status, text)
	require.Contains(t, text, "--uid")
	require.Equal(t, 1, value(t, h.metrics.Failures.WithLabelValues("", "LP")))
	status, text = get(from("127.0.0.1:1", server))
	require.Equal(t, 200, status, "another's: %s", text)

	kept := fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 2 %d\r\n", portOf(t, address))
	_, br := raw(t, h.address(), kept)
	own, err := br.ReadString('\n')
	require.NoError(t, err)
	_, br = raw(t, h.address(), from(own, address))
	_, err = br.ReadByte()
	require.Error(t, err)
	require.Equal(t, 1, value(t, h.metrics.DownstreamRefused.WithLabelValues("in", refusedLoop)))
}

func portOf(t *testing.T, address string) uint16 {
	t.Helper()
	ap, err := netip.ParseAddrPort(address)
	require.NoError(t, err)
	return ap.Port()
}

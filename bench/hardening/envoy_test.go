//go:build interop

package hardening

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/envoy"
	"github.com/fridaymesh/friday/bench/process"
)

// bootstrap is Envoy with the settings that the table is about: its own, but for the
// sizes of heads and bodies, which are Friday's.
const bootstrap = `
admin: {address: {socket_address: {address: 127.0.0.1, port_value: %[1]s}}}
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: %[2]s}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          max_request_headers_kb: 16
          http_protocol_options: {accept_http_10: true}
          server_header_transformation: PASS_THROUGH
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: up, timeout: 0s}}]}]}
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, suppress_envoy_headers: true}}]
  clusters:
  - name: up
    load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %[3]s}}}}]}]}
`

// TestEnvoy holds what the table says of Envoy against a real one.
func TestEnvoy(t *testing.T) {
	path, err := envoy.PathWith(t.Context(), "", func(s string) { t.Log(s) })
	if errors.Is(err, envoy.ErrUnavailable) {
		t.Skipf("SKIPPED: %v", err)
	}
	require.NoError(t, err)
	up := upstream(t)
	addresses, err := process.FreeAddresses(0, 0)
	require.NoError(t, err)
	var ports []any
	for _, address := range append(addresses, up.Address()) {
		_, port, err := net.SplitHostPort(address)
		require.NoError(t, err)
		ports = append(ports, port)
	}
	file := filepath.Join(t.TempDir(), "envoy.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, bootstrap, ports...), 0o600))
	g, err := process.NewGroup(t.TempDir())
	require.NoError(t, err)
	defer g.Close()
	p, err := g.Start("envoy", nil, path, "-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "warning")
	require.NoError(t, err)
	require.NoError(t, p.Await(t.Context(), 20*time.Second, process.OK("http://"+addresses[0]+"/ready")), "%s", g.Tails(20))
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			want := c.Want
			if d, ok := differences()[c.Name]; ok {
				want = d.Envoy
			}
			want = strings.ReplaceAll(want, "SERVER", up.Address())
			require.Equal(t, want, answers(t, addresses[1], c.Raw), "%s: %.200q", c.Rule, c.Raw)
		})
	}
}

package resource_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

func networkRBAC(fields string) string {
	return `{name: rbac, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC, stat_prefix: tcp., ` + fields + `}}`
}

// connection is what is known of one; identity is of the caller's certificate, empty: in
// cleartext.
func connection(t *testing.T, from, to, identity string) *proxy.Request {
	t.Helper()
	address := func(s string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", s)
		require.NoError(t, err)
		return a
	}
	req := &proxy.Request{Remote: address(from), Local: address(to)}
	if identity != "" {
		u, err := url.Parse(identity)
		require.NoError(t, err)
		req.TLS = &tls.ConnectionState{ServerName: "in.test", PeerCertificates: []*x509.Certificate{{URIs: []*url.URL{u}}}}
	}
	return req
}

// TestNetworkRBAC: who may connect, before bytes and before HTTP.
func TestNetworkRBAC(t *testing.T) {
	t.Parallel()
	const anything, anybody = `permissions: [{any: true}]`, `principals: [{any: true}]`
	web, other := "spiffe://mesh.test/ns/models/sa/web", "spiffe://mesh.test/ns/other/sa/x"
	for name, tt := range map[string]struct {
		fields         string
		from, identity string
		pass           bool
	}{
		"no rules":                            {``, "10.0.0.1:1", "", true},
		"rules without policies let none in":  {`rules: {}`, "10.0.0.1:1", web, false},
		"by port":                             {`rules: {policies: {p: {permissions: [{destination_port: 9000}], ` + anybody + `}}}`, "10.0.0.1:1", "", true},
		"by another port":                     {`rules: {policies: {p: {permissions: [{destination_port: 9001}], ` + anybody + `}}}`, "10.0.0.1:1", "", false},
		"by a range of ports":                 {`rules: {policies: {p: {permissions: [{destination_port_range: {start: 9000, end: 9001}}], ` + anybody + `}}}`, "10.0.0.1:1", "", true},
		"by identity":                         {`rules: {policies: {p: {` + anything + `, principals: [{authenticated: {principal_name: {prefix: "spiffe://mesh.test/ns/models/"}}}]}}}`, "10.0.0.1:1", web, true},
		"by another identity":                 {`rules: {policies: {p: {` + anything + `, principals: [{authenticated: {principal_name: {prefix: "spiffe://mesh.test/ns/models/"}}}]}}}`, "10.0.0.1:1", other, false},
		"by identity, in cleartext":           {`rules: {policies: {p: {` + anything + `, principals: [{authenticated: {principal_name: {prefix: "spiffe://"}}}]}}}`, "10.0.0.1:1", "", false},
		"denied by address":                   {`rules: {action: DENY, policies: {p: {` + anything + `, principals: [{direct_remote_ip: {address_prefix: 10.0.0.0, prefix_len: 8}}]}}}`, "10.0.0.1:1", web, false},
		"denied by an address that it is not": {`rules: {action: DENY, policies: {p: {` + anything + `, principals: [{direct_remote_ip: {address_prefix: 10.0.0.0, prefix_len: 8}}]}}}`, "11.0.0.1:1", web, true},
		"logged":                              {`rules: {action: LOG, policies: {p: {` + anything + `, ` + anybody + `}}}`, "10.0.0.1:1", "", true},
		"in the shadow":                       {`shadow_rules: {}`, "10.0.0.1:1", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, last := range []string{tcpFilter, httpFilter} {
				m := decode(t, listenerOf(`filter_chains: [{filters: [`+networkRBAC(tt.fields)+`, `+last+`]}]`), new(listenerv3.Listener))
				l, err := parser().Listener(m)
				require.NoError(t, err)
				gates := l.Chains[0].Gates
				require.Len(t, gates, 1)
				require.NotEmpty(t, gates[0].ID)
				err = gates[0].Build(telemetry.New(prometheus.NewRegistry()))(connection(t, tt.from, "10.9.9.9:9000", tt.identity))
				require.Equal(t, tt.pass, err == nil, "%v", err)
			}
		})
	}
}

// TestNetworkRBACErrors: what a connection does not tell is refused, as in Envoy, for a
// rule that never matches denies nothing.
func TestNetworkRBACErrors(t *testing.T) {
	t.Parallel()
	const at = "filter_chains[0].filters[0].typed_config"
	for name, tt := range map[string]struct {
		filters string
		want    []string
	}{
		"heads": {networkRBAC(`rules: {action: DENY, policies: {p: {permissions: [{or_rules: {rules: [{header: {name: x, present_match: true}}]}}, {not_rule: {url_path: {path: {exact: /x}}}}], principals: [{header: {name: x-b, present_match: true}}]}}}`) + `, ` + tcpFilter, []string{
			at + `.rules.policies["p"].permissions[0].or_rules.rules[0].header: a connection has no request to look at`,
			at + `.rules.policies["p"].permissions[1].not_rule.url_path: a connection has no request to look at`,
			at + `.rules.policies["p"].principals[0].header: a connection has no request to look at`,
		}},
		"a name that is not heard": {networkRBAC(`shadow_rules: {policies: {p: {permissions: [{requested_server_name: {exact: a}}], principals: [{any: true}]}}}`) + `, ` + tcpFilter, []string{
			at + `.shadow_rules.policies["p"].permissions[0].requested_server_name: not supported where the filter chain has no transport_socket of TLS`,
		}},
		"a matcher": {networkRBAC(`delay_deny: 1s, matcher: {on_no_match: {action: {name: x, typed_config: {"@type": type.googleapis.com/google.protobuf.Empty}}}}`) + `, ` + tcpFilter, []string{
			at + `.matcher: not supported`,
			at + `.delay_deny: 1s: not supported`,
		}},
		"last": {networkRBAC(``), []string{at + `: "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC": the last filter must be an HttpConnectionManager or a TcpProxy`}},
		"another": {`{name: x, typed_config: {"@type": type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/envoy.extensions.filters.network.ext_authz.v3.ExtAuthz}}, ` + tcpFilter, []string{
			at + `: "type.googleapis.com/envoy.extensions.filters.network.ext_authz.v3.ExtAuthz": not supported`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := decode(t, listenerOf(`filter_chains: [{filters: [`+tt.filters+`]}]`), new(listenerv3.Listener))
			_, err := parser().Listener(m)
			require.ElementsMatch(t, tt.want, lines(t, `listener "l": `, err))
		})
	}
}

// httpFilter is an HttpConnectionManager.
const httpFilter = `{name: http, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, ` +
	`stat_prefix: x, route_config: {name: r}, http_filters: [` + routerFilter + `]}}`

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/proxy/tlscontext/tlstest"
)

const securedBootstrap = `
node: {id: sidecar-1, cluster: secured, metadata: {tier: gold}}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}
dynamic_resources:
  ads_config:
    api_type: %s
    transport_api_version: V3
    grpc_services: [{envoy_grpc: {cluster_name: control-plane}}]
  lds_config: {ads: {}, resource_api_version: V3}
  cds_config: {ads: {}, resource_api_version: V3}
static_resources:
  clusters:
  - name: control-plane
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        common_tls_context:
          tls_certificates: [{certificate_chain: {filename: %s/node.pem}, private_key: {filename: %s/node.key}}]
          validation_context: {trusted_ca: {filename: %s/ca.pem}}
    load_assignment:
      cluster_name: control-plane
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}}]}]
`

// fridayd and a sidecar show each other certificates, and the sidecar gets what
// its metadata asks for, in both forms of the protocol.
func TestControlPlaneInTLS(t *testing.T) {
	bin, files := build(t), t.TempDir()
	put := func(name string, text []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(files, name), text, 0o600))
	}
	ca := tlstest.NewCA(t)
	put("ca.pem", ca.PEM)
	for _, name := range []string{"fridayd", "node"} {
		c := ca.Issue("127.0.0.1")
		put(name+".pem", c.Chain)
		put(name+".key", c.Key)
	}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer up.Close()
	for _, api := range []string{"GRPC", "DELTA_GRPC"} {
		t.Run(api, func(t *testing.T) {
			addresses, err := process.FreeAddresses(0, 0, 0, 0)
			require.NoError(t, err)
			listen, xds, ctlAdmin, admin := addresses[0], addresses[1], addresses[2], addresses[3]
			port := func(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }
			policies, bootstrap := t.TempDir(), filepath.Join(t.TempDir(), "bootstrap.yaml")
			require.NoError(t, os.WriteFile(filepath.Join(policies, "a.yaml"), fmt.Appendf(nil,
				"apiVersion: friday.dev/v1alpha1\nkind: InferencePolicy\nmetadata: {name: echo}\nspec:\n  selector: {node_metadata: {tier: gold}}\n  address: 127.0.0.1\n  port: %s\n  server: {endpoints: [%q]}\n",
				port(listen), strings.TrimPrefix(up.URL, "http://")), 0o600))
			require.NoError(t, os.WriteFile(bootstrap, fmt.Appendf(nil, securedBootstrap, port(admin), api, files, files, files, port(xds)), 0o600))
			g := run(t)
			_, err = g.Start("fridayd", nil, filepath.Join(bin, "fridayd"), "--policies", policies, "--listen", xds, "--admin", ctlAdmin,
				"--tls-cert", filepath.Join(files, "fridayd.pem"), "--tls-key", filepath.Join(files, "fridayd.key"), "--client-ca", filepath.Join(files, "ca.pem"))
			require.NoError(t, err)
			s, err := g.Start("friday", nil, filepath.Join(bin, "friday"), "proxy", "-c", bootstrap)
			require.NoError(t, err)
			require.NoError(t, s.Await(t.Context(), patience, process.Listening(listen)))
			resp, err := http.Get("http://" + listen)
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, http.StatusNoContent, resp.StatusCode)
			nodes, err := process.Get(t.Context(), "http://"+ctlAdmin+"/nodes")
			require.NoError(t, err)
			require.Contains(t, string(nodes), `"friday.dev/metrics": "`+admin+`"`)
		})
	}
}

package bootstrap_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/xds/bootstrap"
	"github.com/fridaymesh/friday/xds/xdstest"
)

const identity = "spiffe://cluster.local/ns/friday/sa/fridayd"

// handshake is what both sides say of a connection to a server that asks for a
// certificate.
func handshake(t *testing.T, client *tls.Config, cert, key, roots string) (clientErr, serverErr error) {
	t.Helper()
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM([]byte(roots)))
	near, far := net.Pipe()
	defer near.Close()
	served := make(chan error, 1)
	go func() {
		defer far.Close()
		served <- tls.Server(far, &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}).Handshake()
	}()
	clientErr = tls.Client(near, client).Handshake()
	near.Close()
	return clientErr, <-served
}

// The control plane must be who it is said to be, the sidecar shows its own
// certificate, and files that are replaced count from the next connection on.
func TestTLSToTheControlPlane(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	save := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	ca, other := xdstest.NewCA(t), xdstest.NewCA(t)
	own := func(ca *xdstest.CA) (string, string) { return ca.Issue(t, "spiffe://cluster.local/ns/a/sa/b") }
	cert, key := own(ca)
	text := strings.NewReplacer("CA", save("ca", ca.PEM), "CERT", save("cert", cert), "KEY", save("key", key), "NAME", identity).Replace(
		strings.Replace(dynamic, "    load_assignment", `    transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext,
      sni: fridayd.local, common_tls_context: {tls_certificates: [{certificate_chain: {filename: "CERT"}, private_key: {filename: "KEY"}}],
      validation_context: {trusted_ca: {filename: "CA"}, match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "NAME"}}]}}}}
    load_assignment`, 1))
	b, err := bootstrap.Decode([]byte(text))
	require.NoError(t, err)
	got, err := bootstrap.Compile(b, parser())
	require.NoError(t, err)
	require.Len(t, got.ADS.Targets, 2)
	config := got.ADS.Targets[0].TLS.Config()

	good, goodKey := ca.Issue(t, identity)
	clientErr, serverErr := handshake(t, config, good, goodKey, ca.PEM)
	require.NoError(t, clientErr)
	require.NoError(t, serverErr)

	somebody, somebodyKey := ca.Issue(t, "spiffe://cluster.local/ns/evil/sa/fridayd")
	clientErr, _ = handshake(t, config, somebody, somebodyKey, ca.PEM)
	require.ErrorContains(t, clientErr, "none of the names expected")
	stranger, strangerKey := other.Issue(t, identity)
	clientErr, _ = handshake(t, config, stranger, strangerKey, ca.PEM)
	require.ErrorContains(t, clientErr, "unknown authority")

	// Both sides move to another CA.
	cert, key = own(other)
	save("ca", other.PEM)
	save("cert", cert)
	save("key", key)
	clientErr, serverErr = handshake(t, config, stranger, strangerKey, other.PEM)
	require.NoError(t, clientErr)
	require.NoError(t, serverErr)
}

func TestSeveralControlPlanes(t *testing.T) {
	t.Parallel()
	text := strings.Replace(dynamic, "{envoy_grpc: {cluster_name: xds}}",
		`{google_grpc: {target_uri: 'unix:/run/xds', stat_prefix: x}, initial_metadata: [{key: Tenant, value: a}]}, {envoy_grpc: {cluster_name: xds}}`, 1)
	b, err := bootstrap.Decode([]byte(strings.Replace(text, "api_type: GRPC", "api_type: DELTA_GRPC", 1)))
	require.NoError(t, err)
	got, err := bootstrap.Compile(b, parser())
	require.NoError(t, err)
	require.True(t, got.ADS.Delta)
	require.Equal(t, []string{"unix:/run/xds", "fridayd.local:19010", "[::1]:19010"}, uris(got.ADS.Targets))
	require.Equal(t, []string{"tenant", "a"}, got.ADS.Targets[0].Metadata)
	require.Empty(t, got.Static.Clusters)
}

func TestServerOfSecrets(t *testing.T) {
	t.Parallel()
	text := dynamic + `  - name: sds-grpc
    type: STATIC
    http2_protocol_options: {}
    load_assignment: {cluster_name: sds-grpc, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: ./run/sds}}}}]}]}
`
	b, err := bootstrap.Decode([]byte(text))
	require.NoError(t, err)
	got, err := bootstrap.Compile(b, parser())
	require.NoError(t, err)
	require.Equal(t, []string{"unix:./run/sds"}, uris(got.Servers["sds-grpc"]))
	require.Empty(t, got.Static.Clusters, "nothing can be routed to a unix socket")
	b, err = bootstrap.Decode([]byte(strings.Replace(text, "    http2_protocol_options: {}\n", "", 1)))
	require.NoError(t, err)
	_, err = bootstrap.Compile(b, parser())
	require.EqualError(t, err, `cluster "sds-grpc": typed_extension_protocol_options: http2_protocol_options missing: a control plane speaks gRPC`)
}

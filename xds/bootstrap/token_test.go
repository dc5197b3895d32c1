package bootstrap_test

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy/tlscontext/tlstest"
	"github.com/fridaymesh/friday/xds/bootstrap"
)

// Flags say who the control plane must be, and who the sidecar is.
func TestSecureFlags(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewCA(t)
	roots, token := filepath.Join(t.TempDir(), "ca.pem"), filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(roots, ca.PEM, 0o600))
	b, err := bootstrap.Flags{XDS: "fridayd.friday:19010", XDSCA: roots, XDSToken: token, NodeID: "me"}.Bootstrap(t.Context())
	require.NoError(t, err)
	got, err := bootstrap.Compile(b, parser())
	require.NoError(t, err)
	require.Len(t, got.ADS.Targets, 1)
	target := got.ADS.Targets[0]
	require.Equal(t, "fridayd.friday:19010", target.URI)
	require.Equal(t, roots, target.TLS.CA.File)
	_, _, err = target.Token.Header()
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(token, []byte(" abc \n"), 0o600))
	key, value, err := target.Token.Header()
	require.NoError(t, err)
	require.Equal(t, "authorization: Bearer abc", key+": "+value)
	for _, bad := range []string{"", " \n", "a\nb"} {
		require.NoError(t, os.WriteFile(token, []byte(bad), 0o600))
		_, _, err = target.Token.Header()
		require.ErrorContains(t, err, "no token in it", "%q", bad)
	}

	plain, err := bootstrap.Flags{XDS: "[::1]:1", XDSCA: roots, NodeID: "me"}.Bootstrap(t.Context())
	require.NoError(t, err)
	got, err = bootstrap.Compile(plain, parser())
	require.NoError(t, err)
	require.Nil(t, got.ADS.Targets[0].Token)
	require.Equal(t, "[::1]:1", got.ADS.Targets[0].URI)
}

const callCredentials = `
node: {id: me}
dynamic_resources:
  ads_config:
    api_type: GRPC
    transport_api_version: V3
    grpc_services:
    - google_grpc:
        target_uri: x:1
        stat_prefix: x
        SSL
        call_credentials:
        - PLUGIN
  lds_config: {ads: {}, resource_api_version: V3}
  cds_config: {ads: {}, resource_api_version: V3}
`

func TestCallCredentials(t *testing.T) {
	t.Parallel()
	const (
		ssl    = "channel_credentials: {ssl_credentials: {}}"
		config = `"@type": type.googleapis.com/envoy.config.grpc_credential.v3.FileBasedMetadataConfig`
		name   = "name: envoy.grpc_credentials.file_based_metadata"
		good   = "from_plugin: {" + name + ", typed_config: {" + config + ", secret_data: {inline_string: abc}, header_key: X-Token}}"
		at     = "dynamic_resources.ads_config.grpc_services[0].google_grpc.call_credentials"
	)
	for what, c := range map[string]struct{ ssl, plugin, want string }{
		"good":           {ssl, good, ""},
		"in plain text":  {"", good, at + ": a token in plain text is everybody's"},
		"no secret":      {ssl, "from_plugin: {" + name + ", typed_config: {" + config + "}}", at + "[0].from_plugin.typed_config.secret_data: missing"},
		"another plugin": {ssl, "from_plugin: {name: other}", `from_plugin.name: other: not supported yet, only envoy.grpc_credentials.file_based_metadata`},
		"another kind":   {ssl, "access_token: x", at + "[0].access_token: x: not supported"},
		"two":            {ssl, good + "\n        - " + good, at + ": 2 of them: only one"},
	} {
		b, err := bootstrap.Load(write(t, strings.NewReplacer("SSL", c.ssl, "PLUGIN", c.plugin).Replace(callCredentials)))
		require.NoError(t, err, what)
		got, err := bootstrap.Compile(b, parser())
		if c.want != "" {
			require.ErrorContains(t, err, c.want, what)
			continue
		}
		require.NoError(t, err, what)
		key, value, err := got.ADS.Targets[0].Token.Header()
		require.NoError(t, err)
		require.Equal(t, "x-token: abc", key+": "+value)
	}
}

// What the control plane has issued is shown and trusted beside what the bootstrap says.
func TestIssued(t *testing.T) {
	t.Parallel()
	old, young := tlstest.NewCA(t), tlstest.NewCA(t)
	roots := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(roots, old.PEM, 0o600))
	own := young.Issue("spiffe://mesh.test/node/me").TLS(t)
	issued := false
	c := bootstrap.TLS{CA: bootstrap.Source{File: roots}, ServerName: "fridayd", Issued: func() (*tls.Certificate, []byte) {
		if !issued {
			return nil, nil
		}
		return &own, young.PEM
	}}
	shake := func(by *tlstest.CA) (shown int, err error) {
		// With buffers, which a pipe has not: an alert must not wait for who is sending, too.
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		client, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer client.Close()
		server, err := l.Accept()
		require.NoError(t, err)
		defer server.Close()
		require.NoError(t, client.SetDeadline(time.Now().Add(time.Minute)))
		config := by.Issue("fridayd").ServerConfig(t)
		config.ClientAuth = tls.RequestClientCert
		s := tls.Server(server, config)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = s.HandshakeContext(t.Context()) // the client's side says what was wrong
			shown = len(s.ConnectionState().PeerCertificates)
		}()
		err = tls.Client(client, c.Config()).HandshakeContext(t.Context())
		if err != nil {
			client.Close()
		}
		<-done
		return shown, err
	}
	shown, err := shake(old)
	require.NoError(t, err)
	require.Zero(t, shown)
	_, err = shake(young)
	require.ErrorContains(t, err, "unknown authority")
	issued = true
	for _, by := range []*tlstest.CA{old, young} {
		shown, err = shake(by)
		require.NoError(t, err)
		require.Equal(t, 1, shown)
	}
}

package client

import (
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fridaymesh/friday/proxy/tlscontext"
	"github.com/fridaymesh/friday/xds/xdstest"
)

// agent is the source of secrets in the tests, as istio's bootstrap names it.
const agent = "sds-grpc"

// secured is a listener with a certificate from the agent.
func secured(t testing.TB, name, address, routes, secret string, source *corev3.ConfigSource) *listenerv3.Listener {
	t.Helper()
	l := xdstest.Listener(t, name, address, routes)
	tls, err := anypb.New(&tlsv3.DownstreamTlsContext{CommonTlsContext: &tlsv3.CommonTlsContext{
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: secret, SdsConfig: source}},
	}})
	require.NoError(t, err)
	l.FilterChains[0].TransportSocket = &corev3.TransportSocket{
		Name: "envoy.transport_sockets.tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: tls},
	}
	return l
}

// fromAgent says that a secret comes from the agent, and that it is waited for.
func fromAgent() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion: corev3.ApiVersion_V3, InitialFetchTimeout: durationpb.New(0),
		ConfigSourceSpecifier: &corev3.ConfigSource_ApiConfigSource{ApiConfigSource: &corev3.ApiConfigSource{
			ApiType: corev3.ApiConfigSource_GRPC, TransportApiVersion: corev3.ApiVersion_V3, SetNodeOnFirstMessageOnly: true,
			GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
				EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: agent},
			}}},
		}},
	}
}

func (d *drive) serve(m ...proto.Message) error {
	d.Helper()
	d.version++
	next := d.s.clone()
	err := next.accept(agent, ofWorld(sds, xdstest.Response(d, sds.typeURL(), "s", "n", m...)), d.now)
	next.settle(d.now)
	d.s = next
	return err
}

func TestListenerWaitsForItsSecrets(t *testing.T) {
	t.Parallel()
	ca := xdstest.NewCA(t)
	d := first(t)
	l := secured(t, "tls", "127.0.0.1:2", "r", "default", fromAgent())
	require.EqualError(t, d.recv(lds, xdstest.Listener(t, "in", "127.0.0.1:1", "r"), l),
		`listener "tls": secret "default": sds_config.api_config_source.grpc_services[0].envoy_grpc.cluster_name: "sds-grpc": not one of the bootstrap's static clusters that speak HTTP/2`)
	d.s.reachable = map[string]bool{agent: true}
	require.NoError(t, d.recv(lds, xdstest.Listener(t, "in", "127.0.0.1:1", "r"), l))
	require.Equal(t, []string{"default"}, d.s.lists[part{sds, agent}])
	require.Empty(t, d.s.names(sds), "not of the control plane")
	d.pass(time.Hour)
	d.want("in>blue blue=10.0.0.1:80")
	d.s.connected(agent, d.now)
	require.NoError(t, d.serve(ca.Secret(t, "default", "a.local"), ca.Secret(t, "unasked", "a.local")))
	d.want("in>blue tls>blue blue=10.0.0.1:80")
	ref := tlscontext.Ref{Name: "default", Source: tlscontext.Source{Cluster: agent}}
	before := d.s.resources()
	require.Len(t, before.Secrets, 1)

	// It is rotated, and the listener is the same.
	require.NoError(t, d.serve(ca.Secret(t, "default", "a.local")))
	after := d.s.resources()
	require.NotSame(t, before.Secrets[ref], after.Secrets[ref])
	require.False(t, same(before, after))
	require.Equal(t, before.Listeners, after.Listeners)

	// The agent's silence takes nothing away, the listener's end does.
	d.s.disconnected(agent)
	d.pass(time.Hour)
	require.Len(t, d.s.resources().Secrets, 1)
	require.NoError(t, d.recv(lds, xdstest.Listener(t, "in", "127.0.0.1:1", "r")))
	require.Empty(t, d.s.resources().Secrets)
	require.Empty(t, d.s.servers)
}

// A listener whose next secret is on its way goes on with what it has.
func TestSecretOfTheListenerInForceStays(t *testing.T) {
	t.Parallel()
	ca := xdstest.NewCA(t)
	d := first(t)
	d.s.reachable = map[string]bool{agent: true}
	require.NoError(t, d.recv(lds, secured(t, "in", "127.0.0.1:1", "r", "old", fromAgent())))
	d.s.connected(agent, d.now)
	require.NoError(t, d.serve(ca.Secret(t, "old", "a.local")))
	require.NoError(t, d.recv(lds, secured(t, "in", "127.0.0.1:1", "r", "new", fromAgent())))
	require.Contains(t, d.s.resources().Secrets, tlscontext.Ref{Name: "old", Source: tlscontext.Source{Cluster: agent}})
	require.NoError(t, d.serve(ca.Secret(t, "new", "a.local")))
	require.Len(t, d.s.resources().Secrets, 1)
	require.Contains(t, d.s.resources().Secrets, tlscontext.Ref{Name: "new", Source: tlscontext.Source{Cluster: agent}})
}

func TestSecretsOverADS(t *testing.T) {
	t.Parallel()
	ca := xdstest.NewCA(t)
	d := first(t)
	require.NoError(t, d.recv(lds, secured(t, "tls", "127.0.0.1:2", "r", "default", xdstest.ADS())))
	require.Equal(t, []string{"default"}, d.s.names(sds))
	d.pass(14 * time.Second)
	require.Nil(t, d.s.listeners["tls"])
	d.pass(time.Second)
	require.NotNil(t, d.s.listeners["tls"], "after 15 s it opens, and handshakes fail until the secret is there")
	require.NoError(t, d.recv(sds, ca.Secret(t, "default", "a.local")))
	require.Len(t, d.s.resources().Secrets, 1)
}

// What is secret is neither shown nor written to disk.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	ca := xdstest.NewCA(t)
	d := first(t)
	d.s.reachable = map[string]bool{agent: true}
	held := ca.Secret(t, "default", "a.local")
	pem := strings.Split(string(held.GetTlsCertificate().GetPrivateKey().GetInlineBytes()), "\n")[1]
	inline := secured(t, "inline", "127.0.0.1:3", "r", "x", xdstest.ADS())
	tls, err := anypb.New(&tlsv3.DownstreamTlsContext{CommonTlsContext: &tlsv3.CommonTlsContext{TlsCertificates: []*tlsv3.TlsCertificate{held.GetTlsCertificate()}}})
	require.NoError(t, err)
	inline.FilterChains[0].TransportSocket.ConfigType = &corev3.TransportSocket_TypedConfig{TypedConfig: tls}
	require.NoError(t, d.recv(lds, secured(t, "in", "127.0.0.1:1", "r", "default", fromAgent()), inline))
	require.NoError(t, d.serve(held))
	require.Error(t, d.serve(&tlsv3.Secret{Name: "default", Type: &tlsv3.Secret_GenericSecret{GenericSecret: &tlsv3.GenericSecret{
		Secret: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "TOP SECRET"}},
	}}}))
	c := New(Options{Parser: d.s.parser})
	c.state.Store(d.s)
	for what, m := range map[string]proto.Message{"config dump": c.ConfigDump(), "CSDS": c.ClientConfig(true)} {
		data, err := proto.Marshal(m)
		require.NoError(t, err)
		require.NotContains(t, string(data), "TOP SECRET", what)
		require.NotContains(t, string(data), pem, what)
		require.Contains(t, string(data), "[redacted]", what)
		require.Contains(t, string(data), "BEGIN CERTIFICATE", what)
	}
	state := decoded(t, d.s)
	for _, g := range state.GetGenericXdsConfigs() {
		require.NotEqual(t, sds.typeURL(), g.GetTypeUrl())
	}
}

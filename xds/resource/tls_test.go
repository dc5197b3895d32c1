package resource_test

import (
	"crypto/tls"
	"strconv"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/tlscontext"
	"github.com/fridaymesh/friday/proxy/tlscontext/tlstest"
	"github.com/fridaymesh/friday/xds/resource"
)

const (
	tcpFilter = `{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: x, cluster: c}}`
	sds       = `sds_config: {api_config_source: {api_type: GRPC, transport_api_version: V3, set_node_on_first_message_only: true, grpc_services: [{envoy_grpc: {cluster_name: sds-grpc}}]}, initial_fetch_timeout: 0s, resource_api_version: V3}`
)

func quoted(b []byte) string { return strconv.Quote(string(b)) }

func downstreamSocket(fields string) string {
	return `{name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, ` + fields + `}}`
}

func upstreamSocket(fields string) string {
	return strings.Replace(downstreamSocket(fields), "Downstream", "Upstream", 1)
}

func listenerOf(chains string) string {
	return `{name: l, address: {socket_address: {address: 1.2.3.4, port_value: 1}}, ` + chains + `}`
}

// TestDownstreamTLS: a context as istiod has it.
func TestDownstreamTLS(t *testing.T) {
	t.Parallel()
	m := decode(t, listenerOf(`filter_chains: [{transport_socket_connect_timeout: 3s, filters: [`+tcpFilter+`], transport_socket: `+downstreamSocket(`
  require_client_certificate: true, session_timeout: 60s,
  common_tls_context: {
    tls_params: {tls_minimum_protocol_version: TLSv1_2, tls_maximum_protocol_version: TLSv1_3, cipher_suites: [ECDHE-ECDSA-AES256-GCM-SHA384, "[AES128-GCM-SHA256|AES128-SHA]"], ecdh_curves: [P-256]},
    alpn_protocols: [istio-peer-exchange, h2, http/1.1],
    tls_certificate_sds_secret_configs: [{name: default, `+sds+`}],
    combined_validation_context: {
      default_validation_context: {match_subject_alt_names: [{prefix: "spiffe://cluster.local/"}, {exact: "SPIFFE://X", ignore_case: true}, {safe_regex: {regex: "a+"}}, {suffix: z}, {contains: "::"}],
                                   match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "spiffe://x"}}]},
      validation_context_sds_secret_config: {name: ROOTCA, `+sds+`}}}`)+`}]`), new(listenerv3.Listener))
	l, err := parser().Listener(m)
	require.NoError(t, err)
	d := l.Chains[0].TLS
	require.True(t, d.RequireClientCertificate)
	require.Equal(t, time.Minute, d.SessionTimeout)
	require.Equal(t, 3*time.Second, l.Chains[0].HandshakeTimeout)
	require.Equal(t, []string{"h2", "http/1.1"}, d.Protocols)
	require.EqualValues(t, tls.VersionTLS12, d.MinVersion)
	require.EqualValues(t, tls.VersionTLS13, d.MaxVersion)
	require.Equal(t, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_128_CBC_SHA}, d.Ciphers)
	require.Equal(t, []tls.CurveID{tls.CurveP256}, d.Curves)
	from := tlscontext.Source{Cluster: "sds-grpc"}
	require.Equal(t, []tlscontext.Ref{{Name: "default", Source: from}}, d.CertificateRefs)
	require.Equal(t, &tlscontext.Ref{Name: "ROOTCA", Source: from}, d.ValidationRef)
	require.Equal(t, []resource.Need{{Ref: d.CertificateRefs[0]}, {Ref: *d.ValidationRef}}, l.Secrets, "0s: for ever")
	names := d.Validation.Names
	require.Len(t, names, 6)
	require.Equal(t, tlscontext.URIName, names[0].Type)
	require.Equal(t, "spiffe://x", names[0].Exact)
	for i, says := range map[int]map[string]bool{
		1: {"spiffe://cluster.local/a": true, "spiffe://cluster.locale": false},
		2: {"spiffe://x": true, "spiffe://xy": false},
		3: {"aaa": true, "ab": false},
		4: {"xyz": true, "z1": false},
		5: {"a::b": true, "a:b": false},
	} {
		for s, want := range says {
			require.Equal(t, want, names[i].Match(s), s)
		}
	}
}

// TestUpstreamTLS: a cluster as istiod has it.
func TestUpstreamTLS(t *testing.T) {
	t.Parallel()
	m := decode(t, `{name: c, type: STATIC, transport_socket_matches: [
  {name: tlsMode-istio, match: {tlsMode: istio}, transport_socket: `+upstreamSocket(`sni: outbound_.80_._.llama, max_session_keys: 4, common_tls_context: {alpn_protocols: [istio-peer-exchange, istio], tls_certificate_sds_secret_configs: [{name: default, sds_config: {ads: {}}}], validation_context_sds_secret_config: {name: ROOTCA}}`)+`},
  {name: tlsMode-disabled, match: {}, transport_socket: {name: raw, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}],
  typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, auto_config: {http2_protocol_options: {}}, upstream_http_protocol_options: {auto_sni: true, auto_san_validation: true}}},
  load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [
    {endpoint: {address: {socket_address: {address: 1.1.1.1, port_value: 1}}}, metadata: {filter_metadata: {envoy.transport_socket_match: {tlsMode: istio}}}},
    {endpoint: {address: {socket_address: {address: 1.1.1.2, port_value: 1}}}}]}]}}`, new(clusterv3.Cluster))
	c, err := parser().Cluster(m)
	require.NoError(t, err)
	require.Equal(t, proxy.UpstreamByALPN, c.Protocol)
	require.True(t, c.AutoSNI && c.AutoSAN)
	require.Nil(t, c.TLS)
	u := c.SocketOf(&c.Endpoints[0])
	require.NotNil(t, u)
	require.Nil(t, c.SocketOf(&c.Endpoints[1]))
	require.Equal(t, "outbound_.80_._.llama", u.SNI)
	require.Equal(t, 4, u.Sessions)
	require.Equal(t, []string{"istio"}, u.Protocols)
	require.Equal(t, []resource.Need{
		{Ref: tlscontext.Ref{Name: "default"}, FetchTimeout: 15 * time.Second},
		{Ref: tlscontext.Ref{Name: "ROOTCA", Source: tlscontext.Source{Static: true}}, FetchTimeout: 15 * time.Second},
	}, c.Secrets)
}

func TestTLSErrors(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewCA(t)
	own, other := ca.Issue("a.test"), ca.Issue("a.test")
	certificate := `{certificate_chain: {inline_string: ` + quoted(own.Chain) + `}, private_key: {inline_string: ` + quoted(own.Key) + `}}`
	context := func(common string) string {
		return downstreamSocket(`common_tls_context: {tls_certificates: [` + certificate + `], ` + common + `}`)
	}
	validation := func(fields string) string { return context(`validation_context: {` + fields + `}`) }
	const at = "filter_chains[0].transport_socket.typed_config."
	const v = at + "common_tls_context.validation_context."
	for name, tt := range map[string]struct {
		socket string
		want   []string
	}{
		"good":             {validation(`trusted_ca: {inline_string: ` + quoted(ca.PEM) + `}, crl: {inline_string: ` + quoted(ca.Revoke(time.Now().Add(time.Hour))) + `}`), nil},
		"no certificate":   {downstreamSocket(`common_tls_context: {}`), []string{at + `common_tls_context: no certificate: tls_certificates or tls_certificate_sds_secret_configs is needed`}},
		"another's key":    {downstreamSocket(`common_tls_context: {tls_certificates: [{certificate_chain: {inline_string: ` + quoted(own.Chain) + `}, private_key: {inline_string: ` + quoted(other.Key) + `}}]}`), []string{at + `common_tls_context.tls_certificates[0]: tls: private key does not match public key`}},
		"no key":           {downstreamSocket(`common_tls_context: {tls_certificates: [{certificate_chain: {filename: /x}}]}`), []string{at + `common_tls_context.tls_certificates[0].private_key: missing`}},
		"a password":       {downstreamSocket(`common_tls_context: {tls_certificates: [{certificate_chain: {filename: /x}, private_key: {filename: /y}, password: {inline_string: hidden}}]}`), []string{at + `common_tls_context.tls_certificates[0].password: not supported`}},
		"the other side's": {upstreamSocket(`sni: x`), []string{strings.TrimSuffix(at, ".") + `: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext": not a transport socket of this side`}},
		"ciphers and curves": {context(`tls_params: {cipher_suites: [RC4-SHA, "[AES256-SHA|x]"], ecdh_curves: [brainpool], tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_2, signature_algorithms: [x]}`), []string{
			at + `common_tls_context.tls_params.signature_algorithms: not supported`,
			at + `common_tls_context.tls_params.tls_maximum_protocol_version: less than tls_minimum_protocol_version`,
			at + `common_tls_context.tls_params.cipher_suites[0]: "RC4-SHA": not supported`,
			at + `common_tls_context.tls_params.cipher_suites[1]: "x": not supported`,
			at + `common_tls_context.tls_params.ecdh_curves[0]: "brainpool": not supported`,
		}},
		"an old maximum alone": {context(`tls_params: {tls_maximum_protocol_version: TLSv1_1}`), []string{at + `common_tls_context.tls_params.tls_minimum_protocol_version: missing: the default, TLS 1.2, is above the maximum`}},
		"no CA":                {validation(`trusted_ca: {inline_string: nothing}`), []string{v[:len(v)-1] + `: trusted_ca: no certificate in PEM`}},
		"names without a CA":   {validation(`match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: a}}]`), []string{v + `trusted_ca: missing: names are worth nothing without it`}},
		"names": {validation(`trusted_ca: {filename: /x}, match_typed_subject_alt_names: [{san_type: OTHER_NAME, matcher: {exact: a}, oid: "1.2"}, {san_type: IP_ADDRESS, matcher: {exact: a}}, {san_type: URI, matcher: {safe_regex: {regex: "("}}}]`), []string{
			v + `match_typed_subject_alt_names[0].san_type: OTHER_NAME: not supported yet, only EMAIL, DNS, URI, IP_ADDRESS`,
			v + `match_typed_subject_alt_names[0].oid: 1.2: not supported`,
			v + `match_typed_subject_alt_names[1].matcher.exact: "a": not an IP address`,
			v + "match_typed_subject_alt_names[2].matcher.safe_regex.regex: \"(\": error parsing regexp: missing closing ): `(`",
		}},
		"hashes": {validation(`verify_certificate_spki: ["YQ=="], verify_certificate_hash: ["zz"]`), []string{
			v + `verify_certificate_spki[0]: value length must be at least 44 runes`,
			v + `verify_certificate_hash[0]: value length must be at least 64 runes`,
			v + `verify_certificate_spki[0]: "YQ==": not a SHA-256`,
			v + `verify_certificate_hash[0]: "zz": not a SHA-256`,
		}},
		"others": {validation(`custom_validator_config: {name: x}, max_verify_depth: 3, require_signed_certificate_timestamp: true`), []string{
			v + `require_signed_certificate_timestamp: true: not supported yet, only false`,
			v + `custom_validator_config: not supported`,
			v + `max_verify_depth: 3: not supported`,
		}},
		"a secret": {downstreamSocket(`common_tls_context: {tls_certificate_sds_secret_configs: [{sds_config: {path: /x}}, {name: a, sds_config: {api_config_source: {api_type: GRPC, grpc_services: [{google_grpc: {target_uri: x, stat_prefix: x}}]}}}]}`), []string{
			at + `common_tls_context.tls_certificate_sds_secret_configs[0].sds_config.path: /x: not supported`,
			at + `common_tls_context.tls_certificate_sds_secret_configs[1].sds_config.api_config_source.grpc_services[0].google_grpc: not supported`,
			at + `common_tls_context.tls_certificate_sds_secret_configs[0].name: value length must be at least 1 runes`,
			at + `common_tls_context.tls_certificate_sds_secret_configs[0].name: missing`,
			at + `common_tls_context.tls_certificate_sds_secret_configs[0].sds_config: missing: ads or api_config_source`,
			at + `common_tls_context.tls_certificate_sds_secret_configs[1].sds_config.api_config_source.grpc_services[0].envoy_grpc.cluster_name: missing`,
		}},
		"ticket keys": {downstreamSocket(`session_ticket_keys: {keys: [{inline_string: short}]}, common_tls_context: {tls_certificates: [` + certificate + `]}`), []string{
			at + `session_ticket_keys.keys[0]: 5 bytes: a session ticket key has exactly 80 bytes`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := decode(t, listenerOf(`filter_chains: [{filters: [`+tcpFilter+`], transport_socket: `+tt.socket+`}]`), new(listenerv3.Listener))
			_, err := parser().Listener(m)
			if tt.want == nil {
				require.NoError(t, err)
				return
			}
			require.Equal(t, tt.want, lines(t, `listener "l": `, err))
			require.NotContains(t, err.Error(), "PRIVATE KEY")
			require.NotContains(t, err.Error(), "hidden")
		})
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewCA(t)
	own := ca.Issue("a.test")
	for name, tt := range map[string]struct {
		yaml string
		bad  string
	}{
		"certificate": {`tls_certificate: {certificate_chain: {inline_string: ` + quoted(own.Chain) + `}, private_key: {inline_string: ` + quoted(own.Key) + `}}`, ""},
		"validation":  {`validation_context: {trusted_ca: {inline_string: ` + quoted(ca.PEM) + `}}`, ""},
		"keys":        {`session_ticket_keys: {keys: [{inline_string: "` + strings.Repeat("k", 80) + `"}]}`, ""},
		"generic":     {`generic_secret: {secret: {inline_string: hidden}}`, `secret "s": generic_secret: not supported`},
		"nothing":     {``, `secret "s": type: missing`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := pack(t, decode(t, `{name: s, `+tt.yaml+`}`, new(tlsv3.Secret)))
			require.Equal(t, "s", resource.Name(a))
			got, parsed, err := parser().ParseAny(resource.SecretType, a)
			require.Equal(t, "s", got)
			if tt.bad != "" {
				require.EqualError(t, err, tt.bad)
				return
			}
			require.NoError(t, err)
			s := parsed.(*resource.Secret)
			require.Equal(t, "s", s.Name)
			require.True(t, s.Certificate != nil || s.Validation != nil || s.TicketKeys != nil)
		})
	}
}

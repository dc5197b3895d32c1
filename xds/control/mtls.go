package control

import (
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	inspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	policyv1alpha1 "github.com/fridaymesh/friday/xds/api/friday/policy/v1alpha1"
)

const (
	tlsSocket    = "envoy.transport_sockets.tls"
	tlsInspector = "envoy.filters.listener.tls_inspector"
)

// secure has a listener of one chain speak TLS: always, or with those callers who do.
func secure(l *listenerv3.Listener, tls *policyv1alpha1.CallerTls, domain string) error {
	if tls == nil {
		return nil
	}
	socket, err := transportSocket(&tlsv3.DownstreamTlsContext{
		CommonTlsContext:         mutual(tls.GetIdentities(), domain, "h2", "http/1.1"),
		RequireClientCertificate: wrapperspb.Bool(true),
	})
	if err != nil {
		return err
	}
	chain := l.GetFilterChains()[0]
	if tls.GetMode() == policyv1alpha1.CallerTls_PERMISSIVE {
		look, err := pack(&inspectorv3.TlsInspector{})
		if err != nil {
			return err
		}
		l.ListenerFilters = []*listenerv3.ListenerFilter{{
			Name: tlsInspector, ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: look},
		}}
		plain := proto.CloneOf(chain)
		plain.FilterChainMatch = &listenerv3.FilterChainMatch{TransportProtocol: "raw_buffer"}
		chain.FilterChainMatch = &listenerv3.FilterChainMatch{TransportProtocol: "tls"}
		l.FilterChains = append(l.FilterChains, plain)
	}
	chain.TransportSocket = socket
	return nil
}

// secureUpstream has a cluster spoken to in TLS.
func secureUpstream(c *clusterv3.Cluster, tls *policyv1alpha1.ServerTls, domain string) (err error) {
	if tls != nil {
		c.TransportSocket, err = transportSocket(&tlsv3.UpstreamTlsContext{CommonTlsContext: mutual(tls.GetIdentities(), domain)})
	}
	return err
}

func transportSocket(context proto.Message) (*corev3.TransportSocket, error) {
	config, err := pack(context)
	return &corev3.TransportSocket{Name: tlsSocket, ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: config}}, err
}

// mutual is TLS by the sidecar's own secrets, with peers of those identities; none:
// of the trust domain.
func mutual(identities []string, domain string, protocols ...string) *tlsv3.CommonTlsContext {
	if len(identities) == 0 {
		identities = []string{"spiffe://" + domain + "/*"}
	}
	names := make([]*tlsv3.SubjectAltNameMatcher, len(identities))
	for i, id := range identities {
		match := &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: id}}
		if begin, all := strings.CutSuffix(id, "*"); all {
			match.MatchPattern = &matcherv3.StringMatcher_Prefix{Prefix: begin}
		}
		names[i] = &tlsv3.SubjectAltNameMatcher{SanType: tlsv3.SubjectAltNameMatcher_URI, Matcher: match}
	}
	return &tlsv3.CommonTlsContext{
		AlpnProtocols:                  protocols,
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{secret(ownSecret)},
		ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext:         &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: names},
				ValidationContextSdsSecretConfig: secret(rootsSecret),
			},
		},
	}
}

// secret is one that comes over ADS. It is waited for: nobody is served without.
func secret(name string) *tlsv3.SdsSecretConfig {
	source := ads()
	source.InitialFetchTimeout = durationpb.New(0)
	return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: source}
}

package bootstrap

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fridaymesh/friday/proxy/tlscontext"
)

// speakTLS has a cluster spoken with in TLS: its certificate must be for host, from an
// authority that the system trusts. It returns what the server is called: one that
// has a name expects it, whatever the callers of Friday use; empty for an address.
func speakTLS(c *clusterv3.Cluster, host string, port uint32) (called string, err error) {
	kind, sni := tlsv3.SubjectAltNameMatcher_IP_ADDRESS, ""
	if _, err := netip.ParseAddr(host); err != nil {
		kind, sni, called = tlsv3.SubjectAltNameMatcher_DNS, host, host
		if port != 443 {
			called = net.JoinHostPort(host, strconv.FormatUint(uint64(port), 10))
		}
	}
	context, err := anypb.New(&tlsv3.UpstreamTlsContext{
		Sni: sni,
		CommonTlsContext: &tlsv3.CommonTlsContext{
			ValidationContextType: &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
				SystemRootCerts: &tlsv3.CertificateValidationContext_SystemRootCerts{},
				MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{{
					SanType: kind, Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: host}},
				}},
			}},
		},
	})
	if err != nil {
		return "", err
	}
	options, err := anypb.New(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_AutoConfig{AutoConfig: &httpv3.HttpProtocolOptions_AutoHttpConfig{
			HttpProtocolOptions: &corev3.Http1ProtocolOptions{}, Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
		}},
	})
	if err != nil {
		return "", err
	}
	c.TransportSocket = tlsSocket(context)
	c.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpOptions: options}
	return called, nil
}

// towardsCallers has callers spoken to in TLS, with the certificate that f names.
func (f Flags) towardsCallers() (*corev3.TransportSocket, error) {
	if _, err := tls.LoadX509KeyPair(f.Cert, f.Key); err != nil {
		return nil, fmt.Errorf("--tls-cert %q, --tls-key %q: %w", f.Cert, f.Key, err)
	}
	common := &tlsv3.CommonTlsContext{
		AlpnProtocols:   []string{"h2", "http/1.1"},
		TlsCertificates: []*tlsv3.TlsCertificate{{CertificateChain: file(f.Cert), PrivateKey: file(f.Key)}},
	}
	if f.ClientCA != "" {
		if err := (tlscontext.Data{Path: f.ClientCA}).CheckCA(); err != nil {
			return nil, fmt.Errorf("--tls-client-ca %q: %w", f.ClientCA, err)
		}
		common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{
			ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: file(f.ClientCA)},
		}
	}
	context, err := anypb.New(&tlsv3.DownstreamTlsContext{
		CommonTlsContext: common, RequireClientCertificate: wrapperspb.Bool(f.ClientCA != ""),
	})
	return tlsSocket(context), err
}

func tlsSocket(context *anypb.Any) *corev3.TransportSocket {
	return &corev3.TransportSocket{
		Name: "envoy.transport_sockets.tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: context},
	}
}

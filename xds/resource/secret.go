package resource

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/fridaymesh/friday/proxy/tlscontext"
)

// Secret is a parsed Secret.
type Secret struct {
	*tlscontext.Secret

	Name string
}

// Need is a secret that a resource refers to: a cluster enters when all of its own
// are there, a listener as well.
type Need struct {
	tlscontext.Ref

	// FetchTimeout is how long it is waited for; then the resource goes on without,
	// and handshakes fail. 0: for ever.
	FetchTimeout time.Duration
}

// Secret parses a Secret.
func (r *Parser) Secret(m *tlsv3.Secret) (*Secret, error) {
	p := newProblems("secret", m.GetName())
	p.check("", m.ProtoReflect())
	s := &tlscontext.Secret{}
	switch kind := m.GetType().(type) {
	case *tlsv3.Secret_TlsCertificate:
		s.Certificate = p.certificate("tls_certificate", kind.TlsCertificate)
	case *tlsv3.Secret_ValidationContext:
		s.Validation = p.validation("validation_context", kind.ValidationContext, false)
	case *tlsv3.Secret_SessionTicketKeys:
		s.TicketKeys = p.ticketKeys("session_ticket_keys", kind.SessionTicketKeys)
	case *tlsv3.Secret_GenericSecret: // the table refuses it
	default:
		p.addf("type", "missing")
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return &Secret{Secret: s, Name: m.GetName()}, nil
}

// needs collects the secrets of one resource.
type needs []Need

// need reads an SdsSecretConfig.
func (p *problems) need(path string, m *tlsv3.SdsSecretConfig, all *needs) tlscontext.Ref {
	n := Need{Ref: tlscontext.Ref{Name: m.GetName()}, FetchTimeout: FetchTimeout}
	if n.Name == "" {
		p.addf(path+".name", "missing")
	}
	source := m.GetSdsConfig()
	if d := source.GetInitialFetchTimeout(); d != nil {
		n.FetchTimeout = max(0, min(d.AsDuration(), Unlimited))
	}
	switch {
	case source == nil:
		n.Source.Static = true
	case source.GetApiConfigSource() != nil:
		n.Source.Cluster = p.secretServer(path+".sds_config.api_config_source", source.GetApiConfigSource())
	case source.GetAds() == nil && !p.under(path+".sds_config"):
		p.addf(path+".sds_config", "missing: ads or api_config_source")
	}
	for _, other := range *all {
		if other.Ref == n.Ref {
			return n.Ref
		}
	}
	*all = append(*all, n)
	return n.Ref
}

// secretServer reads which cluster has a server of secrets.
func (p *problems) secretServer(path string, m *corev3.ApiConfigSource) string {
	path += ".grpc_services"
	if len(m.GetGrpcServices()) != 1 {
		p.addf(path, "exactly one is needed")
		return ""
	}
	if p.under(path + "[0]") {
		return ""
	}
	name := m.GetGrpcServices()[0].GetEnvoyGrpc().GetClusterName()
	if name == "" {
		p.addf(path+"[0].envoy_grpc.cluster_name", "missing")
	}
	return name
}

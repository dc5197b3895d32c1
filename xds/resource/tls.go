package resource

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rawv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/fridaymesh/friday/proxy/tlscontext"
)

// peerExchange is a protocol of Istio's that a filter speaks which is left aside:
// agreeing on it would promise its bytes.
const peerExchange = "istio-peer-exchange"

// tlsContext is a context of either side.
type tlsContext interface {
	proto.Message
	GetCommonTlsContext() *tlsv3.CommonTlsContext
}

// downstream reads the transport socket of a filter chain; nil where it is none or
// raw_buffer.
func (p *problems) downstream(path string, m *corev3.TransportSocket, all *needs) *tlscontext.Downstream {
	t := new(tlsv3.DownstreamTlsContext)
	if !p.socket(path, m, t) {
		return nil
	}
	path += ".typed_config"
	d := &tlscontext.Downstream{
		Common:                   p.commonContext(path, t, all),
		RequireClientCertificate: t.GetRequireClientCertificate().GetValue(),
		RequireSNI:               t.GetRequireSni().GetValue(),
		NoTickets:                t.GetDisableStatelessSessionResumption(),
	}
	if d.Certificates == nil && d.CertificateRefs == nil {
		p.addf(path+".common_tls_context", "no certificate: tls_certificates or tls_certificate_sds_secret_configs is needed")
	}
	if t.GetSessionTimeout() != nil {
		d.SessionTimeout = t.GetSessionTimeout().AsDuration()
		d.NoTickets = d.NoTickets || d.SessionTimeout <= 0
	}
	if keys := t.GetSessionTicketKeys(); keys != nil {
		d.TicketKeys = p.ticketKeys(path+".session_ticket_keys", keys)
	}
	if c := t.GetSessionTicketKeysSdsSecretConfig(); c != nil {
		ref := p.need(path+".session_ticket_keys_sds_secret_config", c, all)
		d.TicketKeysRef = &ref
	}
	return d
}

// upstream reads the transport socket of a cluster, as downstream does.
func (p *problems) upstream(path string, m *corev3.TransportSocket, all *needs) *tlscontext.Upstream {
	t := new(tlsv3.UpstreamTlsContext)
	if !p.socket(path, m, t) {
		return nil
	}
	path += ".typed_config"
	u := &tlscontext.Upstream{
		Common:     p.commonContext(path, t, all),
		SNI:        t.GetSni(),
		HostSNI:    t.GetAutoHostSni(),
		SANFromSNI: t.GetAutoSniSanValidation(),
		Sessions:   1, // as in Envoy
	}
	if t.GetMaxSessionKeys() != nil {
		u.Sessions = int(min(t.GetMaxSessionKeys().GetValue(), 1<<16))
	}
	if u.SANFromSNI && u.Validation == nil && u.ValidationRef == nil {
		p.addf(path+".auto_sni_san_validation", "needs a validation_context with a trusted_ca")
	}
	return u
}

// socket decodes a transport socket; false where it is not TLS, or refused.
func (p *problems) socket(path string, m *corev3.TransportSocket, t tlsContext) bool {
	config := m.GetTypedConfig()
	switch {
	case m == nil || p.under(path+".typed_config"):
		return false
	case config == nil:
		p.addf(path+".typed_config", "missing")
		return false
	case config.MessageIs(&rawv3.RawBuffer{}):
		return false
	case config.UnmarshalTo(t) != nil:
		p.add(path+".typed_config", strconv.Quote(config.GetTypeUrl()), "not a transport socket of this side")
		return false
	}
	return true
}

// common reads what both sides have.
func (p *problems) commonContext(path string, m tlsContext, all *needs) tlscontext.Common {
	t := m.GetCommonTlsContext()
	path += ".common_tls_context"
	c := tlscontext.Common{ID: identity(m)}
	p.params(path+".tls_params", t.GetTlsParams(), &c)
	for _, protocol := range t.GetAlpnProtocols() {
		if protocol != peerExchange {
			c.Protocols = append(c.Protocols, protocol)
		}
	}
	for i, cert := range t.GetTlsCertificates() {
		c.Certificates = append(c.Certificates, p.certificate(path+"."+index("tls_certificates", i), cert))
	}
	for i, sds := range t.GetTlsCertificateSdsSecretConfigs() {
		c.CertificateRefs = append(c.CertificateRefs, p.need(path+"."+index("tls_certificate_sds_secret_configs", i), sds, all))
	}
	if len(c.Certificates) > 0 && len(c.CertificateRefs) > 0 {
		p.addf(path, "tls_certificates and tls_certificate_sds_secret_configs exclude each other")
	}
	sds := func(path string, m *tlsv3.SdsSecretConfig) {
		ref := p.need(path, m, all)
		c.ValidationRef = &ref
	}
	switch kind := t.GetValidationContextType().(type) {
	case *tlsv3.CommonTlsContext_ValidationContext:
		c.Validation = p.validation(path+".validation_context", kind.ValidationContext, false)
	case *tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig:
		sds(path+".validation_context_sds_secret_config", kind.ValidationContextSdsSecretConfig)
	case *tlsv3.CommonTlsContext_CombinedValidationContext:
		path += ".combined_validation_context"
		if v := kind.CombinedValidationContext.GetDefaultValidationContext(); v != nil {
			c.Validation = p.validation(path+".default_validation_context", v, true)
		}
		sds(path+".validation_context_sds_secret_config", kind.CombinedValidationContext.GetValidationContextSdsSecretConfig())
	}
	return c
}

// identity is equal for equal messages. It gives nothing away.
func identity(m proto.Message) string {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil { // of what has just been decoded
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// certificate reads a TlsCertificate. Files are read by whoever takes it.
func (p *problems) certificate(path string, m *tlsv3.TlsCertificate) *tlscontext.Certificate {
	c := &tlscontext.Certificate{
		Chain: data(m.GetCertificateChain()), Key: data(m.GetPrivateKey()), OCSP: data(m.GetOcspStaple()),
	}
	switch {
	case p.under(path+".certificate_chain") || p.under(path+".private_key"):
	case !c.Chain.Present():
		p.addf(path+".certificate_chain", "missing")
	case !c.Key.Present():
		p.addf(path+".private_key", "missing")
	default:
		if err := c.Check(); err != nil {
			p.cause(path, err)
		}
	}
	return c
}

// data reads a DataSource, whose kinds the table has checked.
func data(m *corev3.DataSource) tlscontext.Data {
	switch kind := m.GetSpecifier().(type) {
	case *corev3.DataSource_Filename:
		return tlscontext.Data{Path: kind.Filename}
	case *corev3.DataSource_InlineBytes:
		return tlscontext.Data{Inline: kind.InlineBytes}
	case *corev3.DataSource_InlineString:
		return tlscontext.Data{Inline: []byte(kind.InlineString)}
	}
	return tlscontext.Data{}
}

// ticketKeys reads keys of 80 bytes each, as OpenSSL has them.
func (p *problems) ticketKeys(path string, m *tlsv3.TlsSessionTicketKeys) (keys [][]byte) {
	const size = 80
	for i, source := range m.GetKeys() {
		at := path + "." + index("keys", i)
		d := data(source)
		switch {
		case p.under(at):
		case d.Path != "":
			p.addf(at+".filename", "not supported: give the bytes, or a secret")
		case len(d.Inline) != size:
			p.add(at, strconv.Itoa(len(d.Inline))+" bytes", "a session ticket key has exactly 80 bytes")
		default:
			keys = append(keys, slices.Clone(d.Inline))
		}
	}
	return keys
}

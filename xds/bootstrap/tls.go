package bootstrap

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// TLS is how the sidecar calls a gRPC server of its own. Files are read anew for
// each connection, so that certificates may be rotated in place.
type TLS struct {
	// CA are the roots that the server's certificate must lead to; empty: the
	// system's.
	CA Source
	// Cert and Key are the sidecar's own; empty: none.
	Cert, Key Source
	// ServerName is asked for and must be in the certificate; empty: the target's.
	ServerName string
	// Names, where there are any, take the place of the check of the server's name:
	// one of them must be in its certificate, as DNS name or URI.
	Names []string
	// Issued, where not nil, is what the control plane has given the sidecar so far:
	// its own certificate, shown where Cert is empty, and roots to be trusted beside
	// CA, in PEM. Either may be nil.
	Issued func() (own *tls.Certificate, roots []byte)
}

// Source is PEM, in a file or in place.
type Source struct {
	File string
	Text string
}

func (s Source) empty() bool { return s == Source{} }

func (s Source) read() ([]byte, error) {
	if s.File != "" {
		return os.ReadFile(s.File) // #nosec G304 -- the operator names the file
	}
	return []byte(s.Text), nil
}

// errName says that the server is somebody else.
var errName = errors.New("the server's certificate has none of the names expected")

// Config is for a connection to the server.
func (t *TLS) Config() *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	switch {
	case t.Cert.empty() && t.Issued != nil:
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if own, _ := t.Issued(); own != nil {
				return own, nil
			}
			return &tls.Certificate{}, nil
		}
	case !t.Cert.empty():
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, err := t.Cert.read()
			if err != nil {
				return nil, err
			}
			key, err := t.Key.read()
			if err != nil {
				return nil, err
			}
			pair, err := tls.X509KeyPair(cert, key)
			return &pair, err
		}
	}
	if !t.CA.empty() || len(t.Names) > 0 {
		config.InsecureSkipVerify = true // #nosec G402 -- verify does it, with roots that are read anew
		config.VerifyConnection = t.verify
	}
	return config
}

// verify does what crypto/tls does, but for the names.
func (t *TLS) verify(state tls.ConnectionState) error {
	options := x509.VerifyOptions{Intermediates: x509.NewCertPool()}
	if len(t.Names) == 0 {
		options.DNSName = state.ServerName
	}
	if !t.CA.empty() {
		pem, err := t.CA.read()
		if err != nil {
			return err
		}
		options.Roots = x509.NewCertPool()
		if !options.Roots.AppendCertsFromPEM(pem) {
			return errors.New("no certificates in the trusted CA")
		}
		if t.Issued != nil {
			_, roots := t.Issued()
			options.Roots.AppendCertsFromPEM(roots)
		}
	}
	leaf := state.PeerCertificates[0]
	for _, cert := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(cert)
	}
	if _, err := leaf.Verify(options); err != nil {
		return err
	}
	if len(t.Names) == 0 {
		return nil
	}
	names := slices.Clone(leaf.DNSNames)
	for _, uri := range leaf.URIs {
		names = append(names, uri.String())
	}
	if slices.ContainsFunc(t.Names, func(name string) bool { return slices.Contains(names, name) }) {
		return nil
	}
	return fmt.Errorf("%w: it has %q, expected one of %q", errName, names, t.Names)
}

// checkTLS looks at what stands in place. A file may be written later; that it is
// missing is told with each attempt to connect.
func (c *compiler) checkTLS(at string, t *TLS) {
	if t.Cert.empty() != t.Key.empty() {
		c.failf("%s: a certificate and its private key go together", at)
	}
	if t.Cert.Text != "" && t.Key.Text != "" {
		if _, err := tls.X509KeyPair([]byte(t.Cert.Text), []byte(t.Key.Text)); err != nil {
			c.failf("%s: %w", at, err)
		}
	}
	if t.CA.Text != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(t.CA.Text)) {
		c.failf("%s: no certificates in the trusted CA", at)
	}
}

// upstreamTLS reads the transport socket of a server's cluster.
func (c *compiler) upstreamTLS(at string, socket *corev3.TransportSocket) *TLS {
	m := new(tlsv3.UpstreamTlsContext)
	if err := socket.GetTypedConfig().UnmarshalTo(m); err != nil {
		c.failf("%s.typed_config: %q: only UpstreamTlsContext", at, socket.GetTypedConfig().GetTypeUrl())
		return nil
	}
	at += ".typed_config"
	c.only(at, m, "common_tls_context", "sni")
	t := &TLS{ServerName: m.GetSni()}
	at += ".common_tls_context"
	common := m.GetCommonTlsContext()
	c.only(at, common, "tls_certificates", "validation_context", "alpn_protocols", "tls_params")
	c.only(at+".tls_params", common.GetTlsParams(), "tls_minimum_protocol_version", "tls_maximum_protocol_version")
	switch certs := common.GetTlsCertificates(); {
	case len(certs) > 1:
		c.failf("%s.tls_certificates: %d certificates: only one", at, len(certs))
	case len(certs) == 1:
		c.only(at+".tls_certificates[0]", certs[0], "certificate_chain", "private_key")
		t.Cert = c.source(at+".tls_certificates[0].certificate_chain", certs[0].GetCertificateChain())
		t.Key = c.source(at+".tls_certificates[0].private_key", certs[0].GetPrivateKey())
	}
	v := common.GetValidationContext()
	c.only(at+".validation_context", v, "trusted_ca", "match_typed_subject_alt_names", "system_root_certs")
	t.CA = c.source(at+".validation_context.trusted_ca", v.GetTrustedCa())
	for i, name := range v.GetMatchTypedSubjectAltNames() {
		exact := name.GetMatcher().GetExact()
		if exact == "" {
			c.failf("%s.validation_context.match_typed_subject_alt_names[%d].matcher: only exact", at, i)
		}
		t.Names = append(t.Names, exact)
	}
	if v == nil {
		c.failf("%s.validation_context: missing: whom the sidecar takes its configuration from must be known", at)
	}
	c.checkTLS(at, t)
	return t
}

// source reads a DataSource.
func (c *compiler) source(at string, d *corev3.DataSource) Source {
	switch s := d.GetSpecifier().(type) {
	case *corev3.DataSource_Filename:
		return Source{File: s.Filename}
	case *corev3.DataSource_InlineString:
		return Source{Text: s.InlineString}
	case *corev3.DataSource_InlineBytes:
		return Source{Text: string(s.InlineBytes)}
	case *corev3.DataSource_EnvironmentVariable:
		text := os.Getenv(s.EnvironmentVariable)
		if text == "" {
			c.failf("%s.environment_variable: %q: not set", at, s.EnvironmentVariable)
		}
		return Source{Text: text}
	}
	return Source{}
}

// only refuses the fields of m that are set and not among names.
func (c *compiler) only(at string, m proto.Message, names ...string) {
	if !m.ProtoReflect().IsValid() {
		return
	}
	m.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if !slices.Contains(names, string(fd.Name())) {
			c.failf("%s.%s: not supported, only %s", at, fd.Name(), strings.Join(names, ", "))
		}
		return true
	})
}

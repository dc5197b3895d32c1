//go:build interop

package differential

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/fridaymesh/friday/proxy/tlscontext/tlstest"
)

// Hello is how a caller speaks TLS to the listener. It takes any certificate; what it got
// is part of the outcome.
type Hello struct {
	// ServerName is asked for; empty: none.
	ServerName string
	// Protocols are offered, by ALPN.
	Protocols []string
	// As is whose certificate is shown: "client", "other" (of another name) or "stranger"
	// (of another CA); empty: none.
	As string
	// Most is the highest version that is spoken; 0: any.
	Most uint16
}

// pki is who is who in the cases. ${ca}, ${own}, ${own.key}, ${second}, ${second.key},
// ${client}, ${client.key} and ${stranger.ca} in a configuration are its PEM.
type pki struct {
	texts map[string]string
	certs map[string]tls.Certificate
	roots *x509.CertPool
}

func newPKI(t *testing.T) *pki {
	t.Helper()
	ca, stranger := tlstest.NewCA(t), tlstest.NewCA(t)
	p := &pki{texts: map[string]string{"ca": string(ca.PEM), "stranger.ca": string(stranger.PEM)}, certs: map[string]tls.Certificate{}, roots: ca.Pool()}
	add := func(name string, by *tlstest.CA, names ...string) {
		c := by.Issue(names...)
		p.texts[name], p.texts[name+".key"], p.certs[name] = string(c.Chain), string(c.Key), c.TLS(t)
	}
	add("own", ca, "own.test")
	add("second", ca, "second.test")
	add("up", ca, "up.test", "spiffe://case.test/up")
	add("client", ca, "client.test", "spiffe://case.test/client")
	add("other", ca, "other.test", "spiffe://elsewhere.test/other")
	add("stranger", stranger, "client.test", "spiffe://case.test/client")
	return p
}

// servers are the endpoints that speak TLS, which a configuration has as ${NAME}: secure,
// mutual (which asks for a certificate of ours) and strange (of another CA).
func (p *pki) servers(t *testing.T) map[string]*tls.Config {
	t.Helper()
	of := func(name string) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{p.certs[name]}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	}
	mutual := of("up")
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, p.roots
	return map[string]*tls.Config{"secure": of("up"), "mutual": mutual, "strange": of("stranger")}
}

// client speaks TLS as h says, over a connection of its own.
func (p *pki) client(h *Hello, http2 bool) *http.Client {
	config := &tls.Config{InsecureSkipVerify: true, ServerName: h.ServerName, MaxVersion: h.Most, NextProtos: h.Protocols} // #nosec G402 -- what it got is compared
	if h.As != "" {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c := p.certs[h.As]
			return &c, nil
		}
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	return &http.Client{
		Transport:     &http.Transport{TLSClientConfig: config, Protocols: protocols, DisableCompression: true},
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// agreed tells what two have agreed to.
func agreed(s *tls.ConnectionState) string {
	if s == nil {
		return ""
	}
	var peer []string
	for _, c := range s.PeerCertificates {
		peer = append(peer, c.DNSNames...)
	}
	return fmt.Sprintf("%s %q %q %s", tls.VersionName(s.Version), s.NegotiatedProtocol, s.ServerName, strings.Join(peer, " "))
}

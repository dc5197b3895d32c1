package edge

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/url"
	"strings"

	"github.com/fridaymesh/friday/proxy"
)

// ClientCert is what becomes of x-forwarded-client-cert.
type ClientCert int

// The ways, by Envoy's names. All but AlwaysForwardCert drop the field where the caller
// has shown no certificate of its own.
const (
	SanitizeCert ClientCert = iota
	ForwardCert
	AppendCert
	SetCert
	AlwaysForwardCert
)

// CertDetails are what is told of a certificate, beside its hash.
type CertDetails struct{ Subject, Cert, Chain, DNS, URI bool }

// clientCert brings the field into the form that the configuration asks for: who the
// caller is must not be said by the caller.
func (e *Edge) clientCert(req *proxy.Request, there bool) {
	if e.ClientCert == AlwaysForwardCert {
		return
	}
	var chain []*x509.Certificate
	if req.TLS != nil {
		chain = req.TLS.PeerCertificates
	}
	switch {
	case e.ClientCert == SanitizeCert || len(chain) == 0:
		if there {
			proxy.RemoveField(req.Header, forwardedCert)
		}
	case e.ClientCert == AppendCert:
		old := ""
		if there {
			old, _ = proxy.FieldValue(req.Header, forwardedCert)
		}
		proxy.SetField(req.Header, forwardedCert, joined(old, e.CertDetails.element(chain), ","))
	case e.ClientCert == SetCert:
		proxy.SetField(req.Header, forwardedCert, e.CertDetails.element(chain))
	}
}

// element is one element of the field
// (https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert).
func (d CertDetails) element(chain []*x509.Certificate) string {
	leaf := chain[0]
	sum := sha256.Sum256(leaf.Raw)
	parts := []string{"Hash=" + hex.EncodeToString(sum[:])}
	if d.Cert {
		parts = append(parts, `Cert="`+url.QueryEscape(text(leaf))+`"`)
	}
	if d.Chain {
		var all strings.Builder
		for _, c := range chain {
			all.WriteString(text(c))
		}
		parts = append(parts, `Chain="`+url.QueryEscape(all.String())+`"`)
	}
	if d.Subject {
		parts = append(parts, `Subject="`+strings.ReplaceAll(leaf.Subject.String(), `"`, `\"`)+`"`)
	}
	if d.URI {
		for _, u := range leaf.URIs {
			parts = append(parts, "URI="+u.String())
		}
	}
	if d.DNS {
		for _, name := range leaf.DNSNames {
			parts = append(parts, "DNS="+name)
		}
	}
	return strings.Join(parts, ";")
}

func text(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

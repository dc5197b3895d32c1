// Package tlstest is a certificate authority for tests.
package tlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fridaymesh/friday/proxy/tlscontext"
)

// CA issues certificates.
type CA struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	// PEM is its certificate.
	PEM []byte
	// above are the certificates between it and the root.
	above []byte
}

// serial numbers are the same in no two certificates of a process.
var serial atomic.Int64 //nolint:gochecknoglobals // as it says

// NewCA makes a root.
func NewCA(t testing.TB) *CA {
	t.Helper()
	return newCA(t, nil)
}

// Intermediate makes a CA that ca vouches for.
func (ca *CA) Intermediate() *CA {
	ca.t.Helper()
	return newCA(ca.t, ca)
}

func newCA(t testing.TB, parent *CA) *CA {
	t.Helper()
	n := serial.Add(1)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: "test CA " + big.NewInt(n).String()},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	ca := &CA{t: t, key: newKey(t)}
	by, byKey := template, ca.key
	if parent != nil {
		by, byKey = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, ca.key.Public(), byKey)
	check(t, err)
	ca.cert, err = x509.ParseCertificate(der)
	check(t, err)
	ca.PEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if parent != nil {
		ca.above = append(append([]byte(nil), ca.PEM...), parent.above...)
	}
	return ca
}

// Certificate is one that a CA has issued.
type Certificate struct {
	X509       *x509.Certificate
	Chain, Key []byte // PEM
}

// Issue makes a certificate of alternative names: a URI, an IP address, an e-mail
// address, or else a DNS name.
func (ca *CA) Issue(names ...string) *Certificate {
	ca.t.Helper()
	return ca.Make(func(*x509.Certificate) {}, names...)
}

// Make is Issue of a certificate that change has had its way with.
func (ca *CA) Make(change func(*x509.Certificate), names ...string) *Certificate {
	ca.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: "leaf"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		switch ip := net.ParseIP(name); {
		case ip != nil:
			template.IPAddresses = append(template.IPAddresses, ip)
		case strings.Contains(name, "://"):
			u, err := url.Parse(name)
			check(ca.t, err)
			template.URIs = append(template.URIs, u)
		case strings.Contains(name, "@"):
			template.EmailAddresses = append(template.EmailAddresses, name)
		default:
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	change(template)
	key := newKey(ca.t)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	check(ca.t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	check(ca.t, err)
	c := &Certificate{
		Chain: append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), ca.above...),
		Key:   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
	}
	c.X509, err = x509.ParseCertificate(der)
	check(ca.t, err)
	return c
}

// Revoke lists certificates as revoked, in PEM.
func (ca *CA) Revoke(next time.Time, all ...*Certificate) []byte {
	ca.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(serial.Add(1)), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: next}
	for _, c := range all {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.X509.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, ca.cert, ca.key)
	check(ca.t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// Pool has ca alone.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// TLS is c as crypto/tls has it.
func (c *Certificate) TLS(t testing.TB) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(c.Chain, c.Key)
	check(t, err)
	return pair
}

// Config is c as a configuration has it.
func (c *Certificate) Config() *tlscontext.Certificate {
	return &tlscontext.Certificate{Chain: tlscontext.Data{Inline: c.Chain}, Key: tlscontext.Data{Inline: c.Key}}
}

// Trust is a validation that takes what ca has issued, of the given names.
func (ca *CA) Trust(names ...tlscontext.NameMatch) *tlscontext.Validation {
	return &tlscontext.Validation{CA: tlscontext.Data{Inline: ca.PEM}, Names: names}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	return key
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ServerConfig is for a server that shows c.
func (c *Certificate) ServerConfig(t testing.TB) *tls.Config {
	t.Helper()
	return &tls.Config{Certificates: []tls.Certificate{c.TLS(t)}, MinVersion: tls.VersionTLS12}
}

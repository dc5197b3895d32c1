package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"sync"
	"time"
)

// Certificate is one that was issued. Its key is in no log: it has no text form but
// PEM.
type Certificate struct {
	Chain, Key []byte // PEM; the chain without the root
	Leaf       *x509.Certificate
}

// RenewAt is when the next one is to take its place: after two thirds of its life,
// so that a fridayd that is away for a while does no harm.
func (c *Certificate) RenewAt() time.Time {
	return c.Leaf.NotBefore.Add(2 * c.Leaf.NotAfter.Sub(c.Leaf.NotBefore) / 3)
}

// Issue makes a certificate of id, for both ends of a connection.
func (a *Authority) Issue(id ID) (*Certificate, error) {
	uri, err := url.Parse(string(id))
	if err != nil {
		return nil, err
	}
	return a.issue(&x509.Certificate{
		URIs:        []*url.URL{uri},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.life.Certificate)
}

// issue signs a template for a life, or less where the signer ends before.
func (a *Authority) issue(template *x509.Certificate, life time.Duration) (*Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := a.clock()
	by := a.signer(now)
	template.NotBefore = now.Add(-skew(life))
	template.NotAfter = now.Add(life + rounding - 1) // a certificate tells whole seconds
	if by.cert.NotAfter.Before(template.NotAfter) {
		template.NotAfter = by.cert.NotAfter
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := sign(template, by.cert, key.Public(), by.key)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	text, err := keyPEM(key)
	if err != nil {
		return nil, err
	}
	return &Certificate{Chain: append(certPEM(der), by.above...), Key: text, Leaf: leaf}, nil
}

// skew is how long before its making a certificate begins, for clocks that are slow:
// 5 minutes, and a hundredth of a short life.
func skew(life time.Duration) time.Duration { return min(5*time.Minute, life/100) }

// sign gives the template a serial number of 127 random bits.
func sign(template, parent *x509.Certificate, public crypto.PublicKey, by crypto.Signer) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	return x509.CreateCertificate(rand.Reader, template, parent, public, by)
}

// makeRoot makes a root of its own that begins now.
func makeRoot(domain string, now time.Time, life time.Duration) (*signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "fridayd " + domain + " " + now.UTC().Format(time.DateOnly)},
		NotBefore: now.Add(-skew(life)), NotAfter: now.Add(life),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &signer{cert: cert, key: key}, err
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func keyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Server is a certificate for a server of those names, host names and addresses,
// for tls.Config.GetCertificate: it is renewed in time. It is good for a day, whatever
// the life of sidecars' certificates.
func (a *Authority) Server(names ...string) func() (*tls.Certificate, error) {
	template := func() *x509.Certificate {
		t := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		for _, name := range names {
			if ip := net.ParseIP(name); ip != nil {
				t.IPAddresses = append(t.IPAddresses, ip)
			} else {
				t.DNSNames = append(t.DNSNames, name)
			}
		}
		return t
	}
	var (
		mu      sync.Mutex
		current *tls.Certificate
		renew   time.Time
	)
	return func() (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		if current != nil && a.clock().Before(renew) {
			return current, nil
		}
		issued, err := a.issue(template(), DefaultCertificateLife)
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(issued.Chain, issued.Key)
		if err != nil {
			return nil, err
		}
		current, renew = &pair, issued.RenewAt()
		return current, nil
	}
}

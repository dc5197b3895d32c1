// Package certificate makes and renews the certificate of a webhook whose only
// client, the API server, is told which authorities to believe. Everything is in one
// Bundle, so that whoever reads it may serve: a pure function of the last one and the
// time says what comes next, and several processes come to the same.
//
// An authority is replaced in two steps, since the API servers hear of a new one only
// some time after it was made: at first it stands beside the old one among those
// believed, while the old one's certificate is served; after the overlap it issues the
// certificate. Believed are all that have not expired.
package certificate

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// Bundle is what is kept, in PEM.
type Bundle struct {
	// Authorities are those to be believed, the newest first; Key is the newest's.
	Authorities, AuthorityKey []byte
	// Certificate and Key are what is served.
	Certificate, Key []byte
}

// Terms say how long things live.
type Terms struct {
	Authority, Certificate time.Duration
	// Overlap is how long a new authority is believed before it issues anything.
	Overlap time.Duration
}

// DefaultTerms are a year and a month. An hour is far more than an API server takes to
// hear of a new authority.
func DefaultTerms() Terms {
	return Terms{Authority: 365 * 24 * time.Hour, Certificate: 30 * 24 * time.Hour, Overlap: time.Hour}
}

// Check says what is wrong with the terms.
func (t Terms) Check() error {
	switch {
	case t.Certificate <= 0 || t.Overlap <= 0:
		return errors.New("a certificate's life and the overlap must be positive")
	case t.Overlap > t.Certificate/4:
		return fmt.Errorf("the overlap, %s, must be at most a quarter of a certificate's life, %s", t.Overlap, t.Certificate)
	case t.Authority < 3*t.Certificate:
		return fmt.Errorf("an authority's life, %s, must be at least three times a certificate's, %s", t.Authority, t.Certificate)
	}
	return nil
}

// skew is how much earlier than made a certificate is valid: clocks differ.
const skew = 5 * time.Minute

// Renew is the bundle that is to follow b for a server of the names, and why it
// differs; empty: it does not. What cannot be read is replaced.
func (t Terms) Renew(b Bundle, names []string, now time.Time) (next Bundle, why string, err error) {
	s, broken := open(b)
	if broken != nil {
		s = &state{}
	}
	s.authorities = slices.DeleteFunc(s.authorities, func(c *x509.Certificate) bool { return !now.Before(c.NotAfter) })
	switch {
	case len(s.authorities) == 0:
		why = "there is no authority"
		if broken != nil {
			why = broken.Error()
		}
		s.leaf = nil
		err = s.found(t, now)
	case s.authorities[0].NotAfter.Sub(now) < 2*t.Certificate:
		why = "the authority will expire"
		err = s.found(t, now)
	}
	if err != nil {
		return b, "", err
	}
	if reason := s.stale(t, names, now); reason != "" {
		why = reason
		if err := s.issue(t, names, now); err != nil {
			return b, "", err
		}
	}
	if why == "" {
		return b, "", nil
	}
	next, err = s.bundle()
	return next, why, err
}

// state is a bundle, read.
type state struct {
	authorities []*x509.Certificate
	authority   *ecdsa.PrivateKey // the newest's
	leaf        *x509.Certificate
	key         *ecdsa.PrivateKey
}

// stale says why another certificate is due; empty: none is.
func (s *state) stale(t Terms, names []string, now time.Time) string {
	newest := s.authorities[0]
	switch {
	case s.leaf == nil:
		return "there is no certificate"
	case !now.Before(s.leaf.NotAfter):
		return "the certificate has expired"
	case !slices.Equal(s.leaf.DNSNames, names):
		return "the certificate is for other names"
	}
	issued := s.leaf.CheckSignatureFrom(newest) == nil
	believed := now.Sub(newest.NotBefore.Add(skew)) >= t.Overlap
	switch {
	case !issued && believed:
		return "a new authority is believed by now"
	case issued && s.leaf.NotAfter.Sub(now) < t.Certificate/3:
		return "the certificate will expire"
	}
	return ""
}

// found makes a new authority.
func (s *state) found(t Terms, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Friday webhook authority " + now.UTC().Format(time.RFC3339)}, NotBefore: now.Add(-skew), NotAfter: now.Add(t.Authority),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	cert, err := sign(template, template, key, key)
	if err != nil {
		return err
	}
	s.authorities, s.authority = slices.Insert(s.authorities, 0, cert), key
	return nil
}

// issue makes a new certificate.
func (s *state) issue(t Terms, names []string, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	end := now.Add(t.Certificate)
	if last := s.authorities[0].NotAfter; end.After(last) {
		end = last
	}
	s.leaf, err = sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "fridayd"}, DNSNames: names, NotBefore: now.Add(-skew), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, s.authorities[0], key, s.authority)
	s.key = key
	return err
}

// serialBits is what RFC 5280 allows at most, less one.
const serialBits = 159

func sign(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

const (
	certificateType = "CERTIFICATE"
	keyType         = "PRIVATE KEY"
)

func (s *state) bundle() (Bundle, error) {
	var b Bundle
	for _, c := range s.authorities {
		b.Authorities = append(b.Authorities, pem.EncodeToMemory(&pem.Block{Type: certificateType, Bytes: c.Raw})...)
	}
	b.Certificate = pem.EncodeToMemory(&pem.Block{Type: certificateType, Bytes: s.leaf.Raw})
	for to, key := range map[*[]byte]*ecdsa.PrivateKey{&b.AuthorityKey: s.authority, &b.Key: s.key} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return b, fmt.Errorf("write a key: %w", err)
		}
		*to = pem.EncodeToMemory(&pem.Block{Type: keyType, Bytes: der})
	}
	return b, nil
}

// open reads a bundle. Its parts must belong together.
func open(b Bundle) (*state, error) {
	s := &state{}
	rest := b.Authorities
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("authorities: %w", err)
		}
		s.authorities = append(s.authorities, c)
	}
	if len(s.authorities) == 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("there are no authorities")
	}
	var err error
	if s.authority, err = private(b.AuthorityKey, s.authorities[0]); err != nil {
		return nil, fmt.Errorf("the authority's key: %w", err)
	}
	block, _ := pem.Decode(b.Certificate)
	if block == nil {
		return s, nil // one will be made
	}
	if s.leaf, err = x509.ParseCertificate(block.Bytes); err == nil {
		s.key, err = private(b.Key, s.leaf)
	}
	if err != nil || !s.believed() {
		s.leaf, s.key = nil, nil // one will be made
	}
	return s, nil
}

// believed says whether one of the authorities has issued the certificate.
func (s *state) believed() bool {
	return slices.ContainsFunc(s.authorities, func(c *x509.Certificate) bool { return s.leaf.CheckSignatureFrom(c) == nil })
}

// private reads the key of a certificate.
func private(text []byte, of *x509.Certificate) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("is not PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(of.PublicKey) {
		return nil, errors.New("is not the certificate's")
	}
	return key, nil
}

// TLS is the certificate as crypto/tls serves it.
func (b Bundle) TLS() (*tls.Certificate, error) {
	c, err := tls.X509KeyPair(b.Certificate, b.Key)
	if err != nil {
		return nil, err
	}
	return &c, nil
}

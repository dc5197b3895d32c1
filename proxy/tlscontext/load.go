package tlscontext

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// Check says what is wrong with what stands in the configuration itself. Files are
// read by whoever uses them.
func (c *Certificate) Check() error {
	if c.Chain.Path != "" || c.Key.Path != "" {
		return nil
	}
	_, err := c.load()
	return err
}

// load reads a certificate and its key, and holds them against each other.
func (c *Certificate) load() (*tls.Certificate, error) {
	chain, err := c.Chain.read("certificate_chain")
	if err != nil {
		return nil, err
	}
	key, err := c.Key.read("private_key")
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, err // in crypto/tls's words, which hold no secret
	}
	if c.OCSP.Present() {
		if pair.OCSPStaple, err = c.OCSP.read("ocsp_staple"); err != nil {
			return nil, err
		}
	}
	return &pair, nil
}

// read returns the bytes; what names them in errors.
func (d Data) read(what string) ([]byte, error) {
	if d.Path == "" {
		return d.Inline, nil
	}
	b, err := os.ReadFile(d.Path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return b, nil
}

// Check says what is wrong with what stands in the configuration itself.
func (v *Validation) Check() error {
	var errs []error
	if v.CA.Path == "" && v.CA.Present() {
		errs = append(errs, v.CA.CheckCA())
	}
	if v.CRL.Path == "" && v.CRL.Present() {
		_, err := readCRL(v.CRL)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// CheckCA says what is wrong with d as the certificates of a CA, also where it is a file.
func (d Data) CheckCA() error {
	_, err := readCA(d)
	return err
}

// readCA reads certificates in PEM. All must be good, and there must be one.
func readCA(d Data) ([]*x509.Certificate, error) {
	b, err := d.read("trusted_ca")
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	seen := map[[32]byte]bool{}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("trusted_ca: %w", err)
		}
		if sum := sha256.Sum256(cert.Raw); !seen[sum] {
			seen[sum] = true
			all = append(all, cert)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("trusted_ca: no certificate in PEM")
	}
	return all, nil
}

func readCRL(d Data) ([]*x509.RevocationList, error) {
	b, err := d.read("crl")
	if err != nil {
		return nil, err
	}
	var all []*x509.RevocationList
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			continue
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("crl: %w", err)
		}
		all = append(all, list)
	}
	if len(all) == 0 {
		return nil, errors.New("crl: no list in PEM")
	}
	return all, nil
}

package format

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"strings"
)

// peerOf is the caller's own certificate.
func peerOf(f *Facts) (*x509.Certificate, bool) {
	if f.Request.TLS == nil || len(f.Request.TLS.PeerCertificates) == 0 {
		return nil, false
	}
	return f.Request.TLS.PeerCertificates[0], true
}

func peer(f *Facts) (string, bool) {
	if f.Request.Peer != nil {
		return address(f.Request.Peer)
	}
	return remote(f)
}

func serverName(f *Facts) (string, bool) {
	if f.Request.TLS == nil {
		return "", false
	}
	return f.Request.TLS.ServerName, f.Request.TLS.ServerName != ""
}

func peerURIs(f *Facts) (string, bool) {
	c, ok := peerOf(f)
	if !ok || len(c.URIs) == 0 {
		return "", false
	}
	all := make([]string, 0, len(c.URIs))
	for _, u := range c.URIs {
		all = append(all, u.String())
	}
	return strings.Join(all, ","), true
}

func peerNames(f *Facts) (string, bool) {
	c, ok := peerOf(f)
	if !ok || len(c.DNSNames) == 0 {
		return "", false
	}
	return strings.Join(c.DNSNames, ","), true
}

func peerSubject(f *Facts) (string, bool) {
	c, ok := peerOf(f)
	if !ok {
		return "", false
	}
	return c.Subject.String(), true
}

func peerIssuer(f *Facts) (string, bool) {
	c, ok := peerOf(f)
	if !ok {
		return "", false
	}
	return c.Issuer.String(), true
}

// peerSerial is in hexadecimal digits, as Envoy has it.
func peerSerial(f *Facts) (string, bool) {
	c, ok := peerOf(f)
	if !ok || c.SerialNumber == nil {
		return "", false
	}
	return hex.EncodeToString(c.SerialNumber.Bytes()), true
}

func peerFingerprint(f *Facts) (string, bool) {
	c, ok := peerOf(f)
	if !ok {
		return "", false
	}
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:]), true
}

func tlsVersion(f *Facts) (string, bool) {
	if f.Request.TLS == nil {
		return "", false
	}
	return strings.Replace(tls.VersionName(f.Request.TLS.Version), "TLS ", "TLSv", 1), true
}

func tlsCipher(f *Facts) (string, bool) {
	if f.Request.TLS == nil {
		return "", false
	}
	return tls.CipherSuiteName(f.Request.TLS.CipherSuite), true
}

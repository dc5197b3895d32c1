package tlscontext

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// verifier holds a peer's certificate against a Validation. crypto/tls's own check
// is not used: it knows no alternative names but the host's, and would not be made
// again where a session is resumed.
type verifier struct {
	*Validation

	roots *x509.CertPool // nil: chains are not verified
	lists []*x509.RevocationList
}

func newVerifier(v *Validation) (*verifier, error) {
	out := &verifier{Validation: v}
	if v.SystemRoots {
		roots, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("system_root_certs: %w", err)
		}
		out.roots = roots
	}
	if v.CA.Present() {
		all, err := readCA(v.CA)
		if err != nil {
			return nil, err
		}
		if out.roots == nil {
			out.roots = x509.NewCertPool()
		}
		for _, c := range all {
			out.roots.AddCert(c)
		}
	}
	if v.CRL.Present() {
		lists, err := readCRL(v.CRL)
		if err != nil {
			return nil, err
		}
		out.lists = lists
	}
	return out, nil
}

// The reasons for which a peer is refused.
var (
	errNoCertificate = errors.New("the peer sent no certificate")
	errNoName        = errors.New("no alternative name of the peer's certificate matches")
	errNoHash        = errors.New("the peer's certificate is none of those that are listed")
	errNoCA          = errors.New("names are to be checked and there is no trusted_ca")
)

// verify holds chain, the leaf first, against v. name, where not empty, is a DNS
// name that the leaf must have, in place of v.Names.
func (v *verifier) verify(chain []*x509.Certificate, usage x509.ExtKeyUsage, name string) error {
	if v.AcceptUntrusted {
		return nil
	}
	if len(chain) == 0 {
		return errNoCertificate
	}
	leaf := chain[0]
	names := v.Names
	if name != "" {
		names = []NameMatch{{Type: DNSName, Exact: name}}
	}
	if v.roots != nil {
		if err := v.verifyChain(chain, usage); err != nil {
			return err
		}
	} else if len(names) > 0 {
		return errNoCA
	}
	if len(names) > 0 && !slices.ContainsFunc(names, func(n NameMatch) bool { return n.matches(leaf) }) {
		return fmt.Errorf("%w: %s", errNoName, words(leaf))
	}
	if len(v.SPKI)+len(v.Hash) > 0 &&
		!slices.Contains(v.SPKI, sha256.Sum256(leaf.RawSubjectPublicKeyInfo)) &&
		!slices.Contains(v.Hash, sha256.Sum256(leaf.Raw)) {
		return errNoHash
	}
	return nil
}

func (v *verifier) verifyChain(chain []*x509.Certificate, usage x509.ExtKeyUsage) error {
	o := x509.VerifyOptions{Roots: v.roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{usage}}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	chains, err := chain[0].Verify(o)
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired && v.AllowExpired {
		o.CurrentTime = chain[0].NotAfter
		if invalid.Cert != nil && invalid.Cert.NotAfter.Before(o.CurrentTime) {
			o.CurrentTime = invalid.Cert.NotAfter
		}
		chains, err = chain[0].Verify(o)
	}
	if err != nil {
		return err
	}
	if len(v.lists) == 0 {
		return nil
	}
	for _, c := range chains { // one that nothing of is revoked is enough
		if err = v.revoked(c); err == nil {
			return nil
		}
	}
	return err
}

// revoked looks up a chain's certificates but the root. As with OpenSSL the list of
// each issuer must be there.
func (v *verifier) revoked(chain []*x509.Certificate) error {
	for i, c := range chain[:len(chain)-1] {
		if i > 0 && v.LeafCRL {
			break
		}
		at := slices.IndexFunc(v.lists, func(l *x509.RevocationList) bool {
			return string(l.RawIssuer) == string(c.RawIssuer) && l.CheckSignatureFrom(chain[i+1]) == nil
		})
		switch {
		case at < 0:
			return fmt.Errorf("no certificate revocation list of %s", c.Issuer)
		case !v.lists[at].NextUpdate.IsZero() && time.Now().After(v.lists[at].NextUpdate):
			return fmt.Errorf("the certificate revocation list of %s has expired", c.Issuer)
		}
		for _, entry := range v.lists[at].RevokedCertificateEntries {
			if entry.SerialNumber.Cmp(c.SerialNumber) == 0 {
				return fmt.Errorf("certificate %s has been revoked", c.Subject)
			}
		}
	}
	return nil
}

// matches says that one of the leaf's alternative names matches.
func (n *NameMatch) matches(leaf *x509.Certificate) bool {
	of := func(kind NameType) bool { return n.Type == kind || n.Type == AnyName }
	is := func(s string) bool { return n.Exact != "" && s == n.Exact || n.Match != nil && n.Match(s) }
	if of(URIName) {
		for _, u := range leaf.URIs {
			if is(u.String()) {
				return true
			}
		}
	}
	if of(IPName) {
		exact := net.ParseIP(n.Exact) // one address has several spellings
		for _, ip := range leaf.IPAddresses {
			if is(ip.String()) || exact != nil && exact.Equal(ip) {
				return true
			}
		}
	}
	if of(DNSName) && slices.ContainsFunc(leaf.DNSNames, func(s string) bool { return is(s) || n.Exact != "" && covers(s, n.Exact) }) {
		return true
	}
	return of(EmailName) && slices.ContainsFunc(leaf.EmailAddresses, is)
}

// covers says that a certificate's DNS name, which may begin with a label that is *,
// is for host.
func covers(name, host string) bool {
	name, host = strings.ToLower(name), strings.ToLower(host)
	if name == host {
		return true
	}
	domain, wild := strings.CutPrefix(name, "*.")
	label, rest, dotted := strings.Cut(host, ".")
	return wild && dotted && label != "" && rest == domain
}

func words(leaf *x509.Certificate) string {
	all := make([]string, 0, len(leaf.URIs)+len(leaf.DNSNames)+len(leaf.EmailAddresses)+len(leaf.IPAddresses))
	for _, u := range leaf.URIs {
		all = append(all, u.String())
	}
	all = append(all, leaf.DNSNames...)
	all = append(all, leaf.EmailAddresses...)
	for _, ip := range leaf.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "it has none"
	}
	return strings.Join(all, ", ")
}

package resource

import (
	"encoding/base64"
	"encoding/hex"
	"net/netip"
	"strings"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/fridaymesh/friday/proxy/tlscontext"
)

// validation reads a CertificateValidationContext. One that is part of another
// (combined) need not be whole.
func (p *problems) validation(path string, m *tlsv3.CertificateValidationContext, part bool) *tlscontext.Validation {
	v := &tlscontext.Validation{
		CA: data(m.GetTrustedCa()), SystemRoots: m.GetSystemRootCerts() != nil,
		CRL: data(m.GetCrl()), LeafCRL: m.GetOnlyVerifyLeafCertCrl(),
		AcceptUntrusted: m.GetTrustChainVerification() == tlsv3.CertificateValidationContext_ACCEPT_UNTRUSTED,
		AllowExpired:    m.GetAllowExpiredCertificate(),
		HideCAs:         m.GetSuppressClientCaList(),
	}
	for i, text := range m.GetVerifyCertificateSpki() {
		b, err := base64.StdEncoding.DecodeString(text)
		p.sum(path+"."+index("verify_certificate_spki", i), text, b, err, &v.SPKI)
	}
	for i, text := range m.GetVerifyCertificateHash() {
		b, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
		p.sum(path+"."+index("verify_certificate_hash", i), text, b, err, &v.Hash)
	}
	for i, match := range m.GetMatchTypedSubjectAltNames() {
		at := path + "." + index("match_typed_subject_alt_names", i)
		v.Names = append(v.Names, p.nameMatch(at+".matcher", p.nameType(at, match), match.GetMatcher()))
	}
	for i, match := range m.GetMatchSubjectAltNames() {
		v.Names = append(v.Names, p.nameMatch(path+"."+index("match_subject_alt_names", i), tlscontext.AnyName, match))
	}
	if err := v.Check(); err != nil {
		p.cause(path, err)
	}
	trusted := v.CA.Present() || v.SystemRoots
	if !part && !trusted && len(v.Names) > 0 && !p.under(path+".trusted_ca") {
		p.addf(path+".trusted_ca", "missing: names are worth nothing without it")
	}
	if !part && !trusted && v.CRL.Present() {
		p.addf(path+".crl", "needs a trusted_ca")
	}
	return v
}

func (p *problems) sum(path, text string, b []byte, err error, to *[][32]byte) {
	if err != nil || len(b) != 32 {
		p.add(path, quote(text), "not a SHA-256")
		return
	}
	*to = append(*to, [32]byte(b))
}

func (p *problems) nameType(path string, m *tlsv3.SubjectAltNameMatcher) tlscontext.NameType {
	switch m.GetSanType() { //nolint:exhaustive // the table refuses the others
	case tlsv3.SubjectAltNameMatcher_EMAIL:
		return tlscontext.EmailName
	case tlsv3.SubjectAltNameMatcher_DNS:
		return tlscontext.DNSName
	case tlsv3.SubjectAltNameMatcher_URI:
		return tlscontext.URIName
	case tlsv3.SubjectAltNameMatcher_IP_ADDRESS:
		if exact := m.GetMatcher().GetExact(); exact != "" {
			if _, err := netip.ParseAddr(exact); err != nil {
				p.add(path+".matcher.exact", quote(exact), "not an IP address")
			}
		}
		return tlscontext.IPName
	}
	return tlscontext.AnyName
}

// nameMatch reads a StringMatcher for an alternative name.
func (p *problems) nameMatch(path string, kind tlscontext.NameType, m *matcherv3.StringMatcher) tlscontext.NameMatch {
	n := tlscontext.NameMatch{Type: kind}
	if exact := m.GetExact(); exact != "" && !m.GetIgnoreCase() {
		n.Exact = exact
		return n
	}
	n.Match = p.stringMatch(path, m)
	return n
}

// stringMatch makes a function of a StringMatcher.
func (p *problems) stringMatch(path string, m *matcherv3.StringMatcher) func(string) bool {
	fold := func(s string) string { return s }
	if m.GetIgnoreCase() {
		fold = strings.ToLower
	}
	with := func(compare func(s, text string) bool, text string) func(string) bool {
		text = fold(text)
		return func(s string) bool { return compare(fold(s), text) }
	}
	switch pattern := m.GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		return with(func(s, text string) bool { return s == text }, pattern.Exact)
	case *matcherv3.StringMatcher_Prefix:
		return with(strings.HasPrefix, pattern.Prefix)
	case *matcherv3.StringMatcher_Suffix:
		return with(strings.HasSuffix, pattern.Suffix)
	case *matcherv3.StringMatcher_Contains:
		return with(strings.Contains, pattern.Contains)
	case *matcherv3.StringMatcher_SafeRegex:
		if regex := (&tableReader{problems: p}).regex(path+".safe_regex", pattern.SafeRegex); regex != nil {
			return regex.MatchString
		}
	}
	return func(string) bool { return false }
}

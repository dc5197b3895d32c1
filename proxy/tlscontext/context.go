package tlscontext

import (
	"crypto/tls"
	"slices"
	"time"
)

// Common is what both contexts say.
type Common struct {
	// ID is the text of the whole context: two that are equal are the same.
	ID string
	// MinVersion and MaxVersion are crypto/tls's; 0: the defaults, TLS 1.2 and 1.3.
	MinVersion, MaxVersion uint16
	// Ciphers are for TLS 1.2; none: crypto/tls's own. Curves likewise.
	Ciphers []uint16
	Curves  []tls.CurveID
	// Protocols are offered or taken by ALPN.
	Protocols []string
	// Certificates are one's own, CertificateRefs secrets that have them.
	Certificates    []*Certificate
	CertificateRefs []Ref
	// Validation and what ValidationRef leads to are what the peer must be; nil
	// without a Ref: nothing is asked.
	Validation    *Validation
	ValidationRef *Ref
}

// Downstream is TLS with callers.
type Downstream struct {
	Common

	// RequireClientCertificate refuses callers without a certificate.
	RequireClientCertificate bool
	// RequireSNI refuses callers who do not say whom they call.
	RequireSNI bool
	// NoTickets refuses sessions to be resumed.
	NoTickets bool
	// TicketKeys seal the tickets, TicketKeysRef is a secret that has them; neither:
	// keys of the process, changed daily.
	TicketKeys    [][]byte
	TicketKeysRef *Ref
	// SessionTimeout is how long a session can be resumed; 0: 7 days.
	SessionTimeout time.Duration
}

// Upstream is TLS with endpoints.
type Upstream struct {
	Common

	// SNI is the server's name.
	SNI string
	// HostSNI uses the endpoint's hostname, where it has one, in place of SNI.
	HostSNI bool
	// SANFromSNI demands a DNS name that is the server's name, in place of
	// Validation.Names.
	SANFromSNI bool
	// Sessions is how many are kept to be resumed; 0: none.
	Sessions int
}

// Equal says that connections of u may serve under v.
func (u *Upstream) Equal(v *Upstream) bool {
	return u == v || u != nil && v != nil && u.ID == v.ID && u.ID != ""
}

// Refs are the secrets that c refers to.
func (c *Common) Refs() []Ref {
	refs := slices.Clip(c.CertificateRefs)
	if c.ValidationRef != nil {
		refs = append(refs, *c.ValidationRef)
	}
	return refs
}

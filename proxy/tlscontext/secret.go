package tlscontext

import (
	"slices"
	"sync/atomic"
)

// Source is where a secret comes from. The zero Source is the control plane's own
// stream (ADS).
type Source struct {
	// Cluster names the cluster of a server of secrets (SDS over gRPC).
	Cluster string
	// Static says that it stands in the bootstrap.
	Static bool
}

// Ref names a secret.
type Ref struct {
	Name   string
	Source Source
}

// Secret is what a Ref leads to: exactly one of its fields is set. It is immutable;
// another version is another pointer.
type Secret struct {
	Certificate *Certificate
	Validation  *Validation
	// TicketKeys are what session tickets are sealed with, the first is used for
	// new ones.
	TicketKeys [][]byte
}

// Data is bytes that stand in a configuration or in a file.
type Data struct {
	Path   string
	Inline []byte
}

// Present says that there is something.
func (d Data) Present() bool { return d.Path != "" || len(d.Inline) > 0 }

// Certificate is one's own certificate and its key, in PEM.
type Certificate struct {
	Chain, Key Data
	// OCSP is a response in DER to be stapled; may be absent.
	OCSP Data
}

// Validation is what a peer's certificate must be. Its fields are those of Envoy's
// CertificateValidationContext.
type Validation struct {
	// CA is PEM. Without it, and without SystemRoots, chains are not verified.
	CA          Data
	SystemRoots bool
	CRL         Data
	// LeafCRL says that only the leaf is looked up in CRL.
	LeafCRL bool
	// SPKI and Hash are SHA-256 of the leaf's public key and of the leaf; where
	// either is given one of all must be equal.
	SPKI, Hash [][32]byte
	// Names are for the subject's alternative names; where given one must match.
	Names []NameMatch
	// AcceptUntrusted lets a chain pass that does not verify.
	AcceptUntrusted bool
	// AllowExpired lets a certificate pass that has expired.
	AllowExpired bool
	// HideCAs leaves the names of the CAs out of what callers are asked for.
	HideCAs bool
}

// NameType is the type of an alternative name.
type NameType int

// The types.
const (
	AnyName NameType = iota
	DNSName
	URIName
	EmailName
	IPName
)

// NameMatch is for one alternative name.
type NameMatch struct {
	Type NameType
	// Exact, where not empty, is equal; a certificate's DNS name may be a wildcard
	// for it. Else Match decides.
	Exact string
	Match func(string) bool
}

// Merge is v with what a secret adds to it, as combined_validation_context has it:
// lists are joined, the rest is replaced where over says something.
func (v *Validation) Merge(over *Validation) *Validation {
	switch {
	case over == nil:
		return v
	case v == nil:
		return over
	}
	m := *v
	if over.CA.Present() {
		m.CA = over.CA
	}
	if over.CRL.Present() {
		m.CRL = over.CRL
	}
	m.SPKI = append(slices.Clip(m.SPKI), over.SPKI...)
	m.Hash = append(slices.Clip(m.Hash), over.Hash...)
	m.Names = append(slices.Clip(m.Names), over.Names...)
	m.SystemRoots = m.SystemRoots || over.SystemRoots
	m.LeafCRL = m.LeafCRL || over.LeafCRL
	m.AcceptUntrusted = m.AcceptUntrusted || over.AcceptUntrusted
	m.AllowExpired = m.AllowExpired || over.AllowExpired
	m.HideCAs = m.HideCAs || over.HideCAs
	return &m
}

// Store has the secrets in force. It outlives snapshots. The zero Store has none.
type Store struct {
	current atomic.Pointer[map[Ref]*Secret]
}

// Set puts all in force, in place of what was. The map must not be changed after.
func (s *Store) Set(all map[Ref]*Secret) { s.current.Store(&all) }

// Get returns a secret, nil where there is none yet.
func (s *Store) Get(r Ref) *Secret {
	all := s.current.Load()
	if all == nil {
		return nil
	}
	return (*all)[r]
}

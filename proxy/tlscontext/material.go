package tlscontext

import (
	"crypto/tls"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// lookAgain is how often files are looked at, at most.
const lookAgain = time.Second

// MissingError says that a secret is not there (yet).
type MissingError struct{ Ref Ref }

func (e *MissingError) Error() string { return fmt.Sprintf("secret %q: not there yet", e.Ref.Name) }

// material is what the certificates and the validation of a context are just now.
// It is immutable but for when its files were looked at.
type material struct {
	certificates []tls.Certificate
	verifier     *verifier // nil: nothing is asked of the peer
	ticketKeys   [][]byte

	secrets []*Secret
	files   []stamp
	looked  atomic.Int64
}

// stamp tells a file from what it was.
type stamp struct {
	path     string
	modified time.Time
	size     int64
}

func stampOf(path string) stamp {
	s := stamp{path: path}
	if info, err := os.Stat(path); err == nil {
		s.modified, s.size = info.ModTime(), info.Size()
	}
	return s
}

// source makes material, and makes it anew where a secret or a file has changed.
type source struct {
	// Set once.
	common *Common
	keys   *Ref // of session tickets
	store  *Store

	current atomic.Pointer[material]
	mu      sync.Mutex // one makes it anew
}

// get returns the material in force. Where new files cannot be used, or a secret has
// gone, the old ones go on.
func (s *source) get() (*material, error) {
	m := s.current.Load()
	if m != nil && s.fresh(m) {
		return m, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.current.Load(); now != m {
		return now, nil // somebody has just made it
	}
	made, err := s.make()
	switch {
	case err == nil:
		s.current.Store(made)
		return made, nil
	case m != nil:
		return m, nil
	}
	return nil, err
}

// fresh says that m is of the secrets in force and, as far as is known, of the files
// that are there.
func (s *source) fresh(m *material) bool {
	for i, ref := range s.refs() {
		if s.store.Get(ref) != m.secrets[i] {
			return false
		}
	}
	if len(m.files) == 0 {
		return true
	}
	now, looked := time.Now().UnixNano(), m.looked.Load()
	if now-looked < int64(lookAgain) || !m.looked.CompareAndSwap(looked, now) {
		return true
	}
	return !slices.ContainsFunc(m.files, func(f stamp) bool { return stampOf(f.path) != f })
}

func (s *source) refs() []Ref {
	refs := s.common.Refs()
	if s.keys != nil {
		refs = append(refs, *s.keys)
	}
	return refs
}

func (s *source) make() (*material, error) {
	c := s.common
	m := &material{}
	m.looked.Store(time.Now().UnixNano())
	certificates := c.Certificates
	for _, ref := range s.refs() {
		secret := s.store.Get(ref)
		if secret == nil {
			return nil, &MissingError{ref}
		}
		m.secrets = append(m.secrets, secret)
	}
	for i, ref := range c.CertificateRefs {
		if m.secrets[i].Certificate == nil {
			return nil, fmt.Errorf("secret %q: not a tls_certificate", ref.Name)
		}
		certificates = append(slices.Clip(certificates), m.secrets[i].Certificate)
	}
	// The stamps are taken before the files are read: what changes between the two is
	// seen the next time.
	for _, cert := range certificates {
		m.watch(cert.Chain, cert.Key, cert.OCSP)
		pair, err := cert.load()
		if err != nil {
			return nil, err
		}
		m.certificates = append(m.certificates, *pair)
	}
	validation := c.Validation
	if ref := c.ValidationRef; ref != nil {
		secret := m.secrets[len(c.CertificateRefs)]
		if secret.Validation == nil {
			return nil, fmt.Errorf("secret %q: not a validation_context", ref.Name)
		}
		validation = validation.Merge(secret.Validation)
	}
	if validation != nil {
		m.watch(validation.CA, validation.CRL)
		v, err := newVerifier(validation)
		if err != nil {
			return nil, err
		}
		m.verifier = v
	}
	if s.keys != nil {
		m.ticketKeys = m.secrets[len(m.secrets)-1].TicketKeys
		if m.ticketKeys == nil {
			return nil, fmt.Errorf("secret %q: not session_ticket_keys", s.keys.Name)
		}
	}
	return m, nil
}

func (m *material) watch(all ...Data) {
	for _, d := range all {
		if d.Path != "" {
			m.files = append(m.files, stampOf(d.Path))
		}
	}
}

// versions are the bounds of TLS's version.
func (c *Common) versions() (least, most uint16) {
	least = c.MinVersion
	if least == 0 {
		least = tls.VersionTLS12
	}
	return least, c.MaxVersion
}

package ca

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Life is how long what is issued is good.
type Life struct {
	// Root is of a root of one's own, Certificate of a sidecar's certificate.
	Root, Certificate time.Duration
}

// The defaults.
const (
	DefaultRootLife        = 365 * 24 * time.Hour
	DefaultCertificateLife = 24 * time.Hour
)

// Check says what is wrong with l. A certificate must end well before the root that
// signed it, which signs for a half of its life.
func (l Life) Check() error {
	switch {
	case l.Certificate < time.Second:
		return fmt.Errorf("a certificate's life of %s: must be 1s or more", l.Certificate)
	case l.Root < 6*l.Certificate:
		return fmt.Errorf("a root's life of %s: must be six times a certificate's (%s) or more", l.Root, l.Certificate)
	}
	return nil
}

// signer is a certificate that signs others.
type signer struct {
	cert *x509.Certificate
	key  crypto.Signer
	// above is what stands between it and the root, itself included, in PEM; none
	// where it is the root.
	above []byte
}

// Authority issues certificates. Safe for concurrent use.
type Authority struct {
	// Set once.
	domain string
	life   Life
	log    *zap.Logger
	clock  func() time.Time
	from   store

	mu      sync.Mutex
	signers []*signer // by age, the oldest first
	roots   []byte    // PEM
	pool    *x509.CertPool
}

// store is where signers are.
type store interface {
	// refresh is what there is at a time, the oldest signer first, and the roots
	// that are to be trusted. It keeps what it makes.
	refresh(now time.Time, had []*signer) (signers []*signer, roots []byte, err error)
	// signs is which of the signers signs.
	signs(now time.Time, all []*signer) *signer
}

func newAuthority(domain string, life Life, from store, clock func() time.Time, log *zap.Logger) (*Authority, error) {
	if err := errors.Join(CheckDomain(domain), life.Check()); err != nil {
		return nil, err
	}
	a := &Authority{domain: domain, life: life, from: from, clock: clock, log: log}
	_, err := a.Refresh()
	return a, err
}

// Domain is the trust domain.
func (a *Authority) Domain() string { return a.domain }

// Life is how long a sidecar's certificate is good.
func (a *Authority) Life() time.Duration { return a.life.Certificate }

// Refresh lets time pass: it makes the next root, forgets one that has ended and
// reads files that have changed. What is there stays where that fails. changed says
// that there are other roots, or another signer, than before.
func (a *Authority) Refresh() (changed bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock()
	var before *signer
	if len(a.signers) > 0 {
		before = a.from.signs(now, a.signers)
	}
	signers, roots, err := a.from.refresh(now, a.signers)
	if err != nil {
		return false, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(roots) {
		return false, errNoRoots
	}
	changed = !bytes.Equal(roots, a.roots) || before == nil || !before.cert.Equal(a.from.signs(now, signers).cert)
	a.signers, a.roots, a.pool = signers, roots, pool
	if changed {
		by := a.from.signs(now, signers)
		a.log.Info("certificate authority", zap.String("signs", by.cert.Subject.CommonName), zap.Time("until", by.cert.NotAfter),
			zap.Int("trusted", bytes.Count(roots, []byte("BEGIN CERTIFICATE"))))
	}
	return changed, nil
}

var errNoRoots = errors.New("no certificate in the roots")

// Roots are what sidecars are to trust, in PEM.
func (a *Authority) Roots() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.roots
}

// NotAfter is when the certificate that signs ends.
func (a *Authority) NotAfter() time.Time { return a.signer(a.clock()).cert.NotAfter }

func (a *Authority) signer(now time.Time) *signer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.from.signs(now, a.signers)
}

// Verify holds a sidecar's certificate, the leaf first, against the roots, and says
// whose it is.
func (a *Authority) Verify(chain []*x509.Certificate) (ID, error) {
	a.mu.Lock()
	o := x509.VerifyOptions{
		Roots: a.pool, Intermediates: x509.NewCertPool(), CurrentTime: a.clock(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	a.mu.Unlock()
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(o); err != nil {
		return "", err
	}
	id, err := IDOf(chain[0])
	if err == nil && id.Domain() != a.domain {
		err = fmt.Errorf("%s: is not of the trust domain %s", id, a.domain)
	}
	return id, err
}

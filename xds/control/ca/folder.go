package ca

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"
)

// RootsFile is the name of the file, in the folder of a CA, with the roots that are
// to be trusted: what a sidecar's --xds-ca names.
const RootsFile = "ca.crt"

// Open is a CA of fridayd's own, in a folder that is made where it is not there. Each
// root is one file of it, certificate and key, of mode 0600.
//
// A root lives for life.Root. At two thirds of it the next one is made, which
// everybody trusts from then on; that one signs when a sixth of its own life has
// passed. Which one signs follows from the files and the time alone, so that a
// restart changes nothing.
func Open(dir, domain string, life Life, log *zap.Logger) (*Authority, error) {
	return open(dir, domain, life, time.Now, log)
}

func open(dir, domain string, life Life, clock func() time.Time, log *zap.Logger) (*Authority, error) {
	if err := errors.Join(CheckDomain(domain), life.Check()); err != nil {
		return nil, err // before anything is written
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return newAuthority(domain, life, &folder{dir: dir, domain: domain, life: life.Root}, clock, log)
}

type folder struct {
	dir, domain string
	life        time.Duration
	written     []byte // what RootsFile has
}

var _ store = (*folder)(nil)

func (f *folder) refresh(now time.Time, all []*signer) ([]*signer, []byte, error) {
	var err error
	if len(all) == 0 {
		if all, err = f.load(); err != nil {
			return nil, nil, err
		}
	}
	var ended []*signer
	kept := make([]*signer, 0, len(all)+1)
	for _, s := range all {
		if now.After(s.cert.NotAfter) {
			ended = append(ended, s)
		} else {
			kept = append(kept, s)
		}
	}
	if len(kept) == 0 || kept[len(kept)-1].cert.NotAfter.Sub(now) < f.life/3 {
		next, err := makeRoot(f.domain, now, f.life)
		if err == nil {
			err = f.keep(next)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("the next root: %w", err)
		}
		kept = append(kept, next)
	}
	var roots []byte
	for _, s := range kept {
		roots = append(roots, certPEM(s.cert.Raw)...)
	}
	if !bytes.Equal(roots, f.written) {
		if err := writeFile(filepath.Join(f.dir, RootsFile), roots); err != nil {
			return nil, nil, err
		}
		f.written = roots
	}
	for _, s := range ended {
		if err := os.Remove(f.path(s)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, nil, err
		}
	}
	return kept, roots, nil
}

// rounding is by how much a certificate may begin before it was made, as it tells whole
// seconds only.
const rounding = time.Second

// signs is the newest root that everybody has had time to hear of, else the oldest.
func (f *folder) signs(now time.Time, all []*signer) *signer {
	for _, s := range slices.Backward(all) {
		if now.Sub(s.cert.NotBefore) >= f.life/6+rounding && now.Before(s.cert.NotAfter) {
			return s
		}
	}
	for _, s := range all {
		if now.Before(s.cert.NotAfter) {
			return s
		}
	}
	return all[len(all)-1]
}

func (f *folder) path(s *signer) string {
	return filepath.Join(f.dir, fmt.Sprintf("root-%x.pem", s.cert.SerialNumber))
}

func (f *folder) keep(s *signer) error {
	key, err := keyPEM(s.key)
	if err != nil {
		return err
	}
	return writeFile(f.path(s), append(certPEM(s.cert.Raw), key...))
}

func (f *folder) load() ([]*signer, error) {
	paths, err := filepath.Glob(filepath.Join(f.dir, "root-*.pem"))
	if err != nil {
		return nil, err
	}
	var all []*signer
	for _, path := range paths {
		text, err := os.ReadFile(path) // #nosec G304 -- a file of the folder that was asked for
		if err != nil {
			return nil, err
		}
		s, err := parseSigner(text, text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *signer) int {
		return cmp.Or(a.cert.NotBefore.Compare(b.cert.NotBefore), a.cert.SerialNumber.Cmp(b.cert.SerialNumber))
	})
	return all, nil
}

// parseSigner reads a CA's certificate, with what stands above it, and its key. The
// texts may be one.
func parseSigner(certs, key []byte) (*signer, error) {
	chain, err := parseCertificates(certs)
	if err != nil {
		return nil, err
	}
	s := &signer{cert: chain[0]}
	if !s.cert.IsCA || s.cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, fmt.Errorf("certificate %q: is not of a CA", s.cert.Subject.CommonName)
	}
	for i, c := range chain {
		if self := bytes.Equal(c.RawSubject, c.RawIssuer); self && i > 0 {
			break // the root is never sent
		} else if !self {
			s.above = append(s.above, certPEM(c.Raw)...)
		}
	}
	if s.key, err = parseKey(key); err != nil {
		return nil, err
	}
	public, ok := s.cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(s.key.Public()) {
		return nil, fmt.Errorf("the key is not of the certificate %q", s.cert.Subject.CommonName)
	}
	return s, nil
}

func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, cert)
	}
	if len(all) == 0 {
		return nil, errors.New("no certificate in it")
	}
	return all, nil
}

// parseKey reads the first private key. Its errors hold nothing of it.
func parseKey(text []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, errors.New("the private key cannot be read")
			}
			switch key := key.(type) {
			case *ecdsa.PrivateKey:
				return key, nil
			case *rsa.PrivateKey:
				return key, nil
			case ed25519.PrivateKey:
				return key, nil
			}
			return nil, fmt.Errorf("a private key of %T: not supported", key)
		case "EC PRIVATE KEY":
			key, err := x509.ParseECPrivateKey(block.Bytes)
			if err != nil {
				return nil, errors.New("the private key cannot be read")
			}
			return key, nil
		case "RSA PRIVATE KEY":
			key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
			if err != nil {
				return nil, errors.New("the private key cannot be read")
			}
			return key, nil
		}
	}
	return nil, errors.New("no private key in it (one with a password is not read)")
}

// writeFile replaces a file by one of mode 0600, so that after a crash there is the
// old or the new one, whole.
func writeFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".*.tmp") // of mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the error that led here says more
		}
	}()
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

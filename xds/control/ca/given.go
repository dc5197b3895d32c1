package ca

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"
)

// Files are a CA that somebody else keeps, in PEM.
type Files struct {
	// Cert is the certificate that signs, followed by what stands between it and the
	// root; Key is its key.
	Cert, Key string
	// Roots are what sidecars are to trust: at a change of roots the old and the new
	// one together. Empty: the last certificate of Cert.
	Roots string
}

// Given is a CA of files, which are read anew at each Refresh. While what is there
// makes no sense, what was read last holds.
func Given(files Files, domain string, life Life, log *zap.Logger) (*Authority, error) {
	life.Root = 6 * life.Certificate // it is not made here
	return newAuthority(domain, life, &given{Files: files}, time.Now, log)
}

type given struct {
	Files
}

var _ store = (*given)(nil)

func (g *given) refresh(now time.Time, _ []*signer) ([]*signer, []byte, error) {
	cert, err := os.ReadFile(g.Cert)
	if err != nil {
		return nil, nil, err
	}
	key, err := os.ReadFile(g.Key)
	if err != nil {
		return nil, nil, err
	}
	s, err := parseSigner(cert, key)
	if err != nil {
		return nil, nil, fmt.Errorf("%s, %s: %w", g.Cert, g.Key, err)
	}
	if now.After(s.cert.NotAfter) {
		return nil, nil, fmt.Errorf("%s: certificate %q: has ended on %s", g.Cert, s.cert.Subject.CommonName, s.cert.NotAfter.Format(time.RFC3339))
	}
	roots := cert
	if g.Roots != "" {
		if roots, err = os.ReadFile(g.Roots); err != nil {
			return nil, nil, err
		}
	}
	all, err := parseCertificates(roots)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", g.Roots, err)
	}
	if g.Roots == "" {
		all = all[len(all)-1:]
	}
	var text bytes.Buffer
	for _, c := range all {
		text.Write(certPEM(c.Raw))
	}
	return []*signer{s}, text.Bytes(), nil
}

func (*given) signs(_ time.Time, all []*signer) *signer { return all[0] }

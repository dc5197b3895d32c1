package certificate_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/deploy/webhook/certificate"
)

const host = "fridayd.friday-system.svc"

func renew(t *testing.T, terms certificate.Terms, b certificate.Bundle, now time.Time) (certificate.Bundle, string) {
	t.Helper()
	next, why, err := terms.Renew(b, []string{host}, now)
	require.NoError(t, err)
	return next, why
}

// verify is what an API server does that believes some authorities.
func verify(b certificate.Bundle, authorities []byte, now time.Time) error {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authorities)
	c, err := b.TLS()
	if err != nil {
		return err
	}
	_, err = c.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: pool, CurrentTime: now})
	return err
}

// Through several authorities an API server that hears of new authorities as late as it may never
// meets a certificate that it does not believe.
func TestAlwaysBelieved(t *testing.T) {
	terms := certificate.Terms{Authority: 40 * time.Hour, Certificate: 4 * time.Hour, Overlap: time.Hour}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const step = 20 * time.Minute
	var (
		b      certificate.Bundle
		late   [][]byte // what the API server believed, step by step
		why    string
		issued = map[string]int{}
	)
	lag := int(terms.Overlap/step) - 1
	for now := start; now.Before(start.Add(150 * time.Hour)); now = now.Add(step) {
		if b, why = renew(t, terms, b, now); why != "" {
			issued[why]++
		}
		late = append(late, b.Authorities)
		believed := late[max(0, len(late)-1-lag)]
		require.NoError(t, verify(b, believed, now), "%s", now)
		require.NoError(t, verify(b, b.Authorities, now))
	}
	require.Equal(t, 1, issued["there is no certificate"])
	require.GreaterOrEqual(t, issued["the authority will expire"], 3)
	require.Equal(t, issued["the authority will expire"], issued["a new authority is believed by now"])
	require.Greater(t, issued["the certificate will expire"], 30)
}

func TestRenew(t *testing.T) {
	terms := certificate.DefaultTerms()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	first, _ := renew(t, terms, certificate.Bundle{}, now)
	other, _ := renew(t, terms, certificate.Bundle{}, now)
	for name, c := range map[string]struct {
		change func(b *certificate.Bundle)
		names  []string
		after  time.Duration
		why    string
	}{
		"nothing":              {nil, []string{host}, time.Hour, ""},
		"other names":          {nil, []string{host, "localhost"}, 0, "the certificate is for other names"},
		"away for two months":  {nil, []string{host}, 60 * 24 * time.Hour, "the certificate has expired"},
		"away for two years":   {nil, []string{host}, 2 * 365 * 24 * time.Hour, "there is no certificate"},
		"no authorities":       {func(b *certificate.Bundle) { b.Authorities = nil }, []string{host}, 0, "there is no certificate"},
		"somebody else's":      {func(b *certificate.Bundle) { b.Authorities = other.Authorities }, []string{host}, 0, "there is no certificate"},
		"no key":               {func(b *certificate.Bundle) { b.AuthorityKey = nil }, []string{host}, 0, "there is no certificate"},
		"no certificate":       {func(b *certificate.Bundle) { b.Certificate = nil }, []string{host}, 0, "there is no certificate"},
		"another certificate":  {func(b *certificate.Bundle) { b.Certificate, b.Key = other.Certificate, other.Key }, []string{host}, 0, "there is no certificate"},
		"another key":          {func(b *certificate.Bundle) { b.Key = other.Key }, []string{host}, 0, "there is no certificate"},
		"garbage":              {func(b *certificate.Bundle) { b.Authorities = []byte("x") }, []string{host}, 0, "there is no certificate"},
		"two thirds of a life": {nil, []string{host}, 21 * 24 * time.Hour, "the certificate will expire"},
	} {
		t.Run(name, func(t *testing.T) {
			b := first
			if c.change != nil {
				c.change(&b)
			}
			next, why, err := terms.Renew(b, c.names, now.Add(c.after))
			require.NoError(t, err)
			require.Equal(t, c.why, why)
			require.NoError(t, verify(next, next.Authorities, now.Add(c.after)))
			again, why, err := terms.Renew(next, c.names, now.Add(c.after))
			require.NoError(t, err)
			require.Empty(t, why)
			require.Equal(t, next, again)
		})
	}
}

func TestTerms(t *testing.T) {
	require.NoError(t, certificate.DefaultTerms().Check())
	for _, terms := range []certificate.Terms{
		{},
		{Authority: 3 * time.Hour, Certificate: time.Hour},
		{Authority: 3 * time.Hour, Certificate: time.Hour, Overlap: time.Hour},
		{Authority: 2 * time.Hour, Certificate: time.Hour, Overlap: time.Minute},
	} {
		require.Error(t, terms.Check())
	}
}

func FuzzRenew(f *testing.F) {
	terms := certificate.DefaultTerms()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b, _, err := terms.Renew(certificate.Bundle{}, []string{host}, now)
	require.NoError(f, err)
	f.Add(b.Authorities, b.AuthorityKey, b.Certificate, b.Key)
	f.Fuzz(func(t *testing.T, authorities, authorityKey, cert, key []byte) {
		next, _, err := terms.Renew(certificate.Bundle{Authorities: authorities, AuthorityKey: authorityKey, Certificate: cert, Key: key}, []string{host}, now)
		require.NoError(t, err)
		require.NoError(t, verify(next, next.Authorities, now))
	})
}

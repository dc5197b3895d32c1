package tlscontext_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/fridaymesh/friday/proxy/tlscontext" //nolint:revive // the tests are of it, from outside: tlstest imports it
	"github.com/fridaymesh/friday/proxy/tlscontext/tlstest"
)

// FuzzCheck: what a control plane sends as PEM is taken, and can then be served, or
// refused.
func FuzzCheck(f *testing.F) {
	ca := tlstest.NewCA(f)
	c := ca.Issue("a.test")
	f.Add(c.Chain, c.Key, ca.PEM, ca.Revoke(c.X509.NotAfter, c))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n"), c.Key, []byte("x"), []byte{})
	f.Fuzz(func(t *testing.T, chain, key, trusted, crl []byte) {
		own := &Certificate{Chain: Data{Inline: chain}, Key: Data{Inline: key}}
		v := &Validation{CA: Data{Inline: trusted}, CRL: Data{Inline: crl}}
		if own.Check() != nil || v.Check() != nil {
			return
		}
		_, err := NewServer(&Downstream{Common: Common{Certificates: []*Certificate{own}, Validation: v}}, new(Store))
		require.NoError(t, err)
	})
}

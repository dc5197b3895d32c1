package tlscontext_test

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	. "github.com/fridaymesh/friday/proxy/tlscontext" //nolint:revive // the tests are of it, from outside: tlstest imports it
	"github.com/fridaymesh/friday/proxy/tlscontext/tlstest"
)

// TestVersionsAndCiphers: what both sides may speak.
func TestVersionsAndCiphers(t *testing.T) {
	ca := tlstest.NewCA(t)
	server := ca.Issue("x")
	for name, tt := range map[string]struct {
		d, u    Common
		version uint16 // 0: refused
		cipher  uint16 // 0: any
	}{
		"defaults":              {Common{}, Common{}, tls.VersionTLS13, 0},
		"1.2 at most":           {Common{MaxVersion: tls.VersionTLS12}, Common{}, tls.VersionTLS12, 0},
		"1.3 at least":          {Common{MinVersion: tls.VersionTLS13}, Common{MaxVersion: tls.VersionTLS12}, 0, 0},
		"1.1 is not by default": {Common{}, Common{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, 0, 0},
		"1.1 where both say so": {Common{MinVersion: tls.VersionTLS10}, Common{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, tls.VersionTLS11, 0},
		"a cipher": {
			Common{MaxVersion: tls.VersionTLS12, Ciphers: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}},
			Common{},
			tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		},
		"no cipher in common": {
			Common{MaxVersion: tls.VersionTLS12, Ciphers: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}},
			Common{Ciphers: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}},
			0, 0,
		},
		"no curve in common": {Common{Curves: []tls.CurveID{tls.CurveP384}}, Common{Curves: []tls.CurveID{tls.X25519}}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tt.d.Certificates = []*Certificate{server.Config()}
			p := newPair(t, &Downstream{Common: tt.d}, &Upstream{Common: tt.u}, nil)
			_, state, err := p.shake(t)
			if tt.version == 0 {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tls.VersionName(tt.version), tls.VersionName(state.Version))
			if tt.cipher != 0 {
				require.Equal(t, tls.CipherSuiteName(tt.cipher), tls.CipherSuiteName(state.CipherSuite))
			}
		})
	}
}

// TestALPN: the server's order counts, and none in common is no reason to part.
func TestALPN(t *testing.T) {
	ca := tlstest.NewCA(t)
	d := &Downstream{Common: Common{Certificates: []*Certificate{ca.Issue("x").Config()}, Protocols: []string{"h2", "http/1.1"}}}
	for name, tt := range map[string]struct {
		offered []string
		agreed  string
	}{
		"none":               {nil, ""},
		"one":                {[]string{"http/1.1"}, "http/1.1"},
		"the server's first": {[]string{"http/1.1", "h2"}, "h2"},
		"istio's":            {[]string{"istio-http/1.1", "istio", "http/1.1"}, "http/1.1"},
		"none in common":     {[]string{"istio"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			server, client, err := newPair(t, d, &Upstream{}, nil).shake(t, tt.offered...)
			require.NoError(t, err)
			require.Equal(t, tt.agreed, server.NegotiatedProtocol)
			require.Equal(t, tt.agreed, client.NegotiatedProtocol)
		})
	}
}

func TestRequireSNI(t *testing.T) {
	ca := tlstest.NewCA(t)
	d := &Downstream{Common: Common{Certificates: []*Certificate{ca.Issue("x").Config()}}, RequireSNI: true}
	_, _, err := newPair(t, d, &Upstream{}, nil).shake(t)
	require.Error(t, err)
	_, _, err = newPair(t, d, &Upstream{SNI: "a.test"}, nil).shake(t)
	require.NoError(t, err)
}

// TestResumption: sessions are resumed, over a rotation too, but not where that is not
// wanted, the session is too old, or its caller is not trusted any more.
func TestResumption(t *testing.T) {
	ca := tlstest.NewCA(t)
	own := Ref{Name: "default"}
	trust := Ref{Name: "ROOTCA"}
	server, client := ca.Issue("s"), ca.Issue("c")
	context := func() *Downstream {
		return &Downstream{Common: Common{CertificateRefs: []Ref{own}, ValidationRef: &trust}, RequireClientCertificate: true}
	}
	secrets := func(ca *tlstest.CA, c *tlstest.Certificate) map[Ref]*Secret {
		return map[Ref]*Secret{own: {Certificate: c.Config()}, trust: {Validation: ca.Trust()}}
	}
	u := func(sessions int) *Upstream {
		return &Upstream{Common: Common{Certificates: []*Certificate{client.Config()}, Validation: ca.Trust()}, SNI: "s", Sessions: sessions}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			resumes := func(p *pair) bool {
				a, b, err := p.shake(t)
				require.NoError(t, err)
				require.Equal(t, a.DidResume, b.DidResume)
				require.Equal(t, client.X509.Raw, a.PeerCertificates[0].Raw, "who the caller is is known in any case")
				return a.DidResume
			}
			with := func(d *Downstream, sessions int) (*pair, *Store) {
				store := new(Store)
				store.Set(secrets(ca, server))
				d.MaxVersion = version
				return newPair(t, d, u(sessions), store), store
			}
			p, store := with(context(), 1)
			require.False(t, resumes(p))
			require.True(t, resumes(p))
			require.True(t, resumes(p))
			store.Set(secrets(ca, ca.Issue("s")))
			require.True(t, resumes(p), "the keys of the tickets are not those of the certificate")
			other := tlstest.NewCA(t)
			store.Set(secrets(other, server))
			_, _, err := p.shake(t)
			require.Error(t, err, "the caller's CA is not trusted any more")

			p, _ = with(context(), 0)
			require.False(t, resumes(p))
			require.False(t, resumes(p))

			d := context()
			d.NoTickets = true
			p, _ = with(d, 1)
			require.False(t, resumes(p))
			require.False(t, resumes(p))

			d = context()
			d.SessionTimeout = time.Hour
			p, _ = with(d, 1)
			require.False(t, resumes(p))
			require.True(t, resumes(p))
			d.SessionTimeout = time.Nanosecond // the session is of whole seconds
			time.Sleep(1100 * time.Millisecond)
			require.False(t, resumes(p))
		})
	}
}

// TestTicketKeysAreShared: a session of one server is good for another that has the
// same keys.
func TestTicketKeysAreShared(t *testing.T) {
	ca := tlstest.NewCA(t)
	ref := Ref{Name: "keys"}
	key := func(b byte) []byte { k := make([]byte, 80); k[0] = b; return k }
	store := new(Store)
	store.Set(map[Ref]*Secret{ref: {TicketKeys: [][]byte{key(1)}}})
	d := &Downstream{Common: Common{Certificates: []*Certificate{ca.Issue("x").Config()}}, TicketKeys: [][]byte{key(1), key(2)}}
	e := &Downstream{Common: d.Common, TicketKeysRef: &ref}
	a := newPair(t, d, &Upstream{SNI: "s", Sessions: 1}, nil)
	b := newPair(t, e, &Upstream{}, store)
	b.client = a.client
	_, state, err := a.shake(t)
	require.NoError(t, err)
	require.False(t, state.DidResume)
	_, state, err = b.shake(t)
	require.NoError(t, err)
	require.True(t, state.DidResume)
	store.Set(map[Ref]*Secret{ref: {TicketKeys: [][]byte{key(3)}}})
	_, state, err = b.shake(t)
	require.NoError(t, err)
	require.False(t, state.DidResume)
}

// TestSecretsThatAreMissing fail handshakes, and are found when they come.
func TestSecretsThatAreMissing(t *testing.T) {
	ca := tlstest.NewCA(t)
	own, trust := Ref{Name: "default", Source: Source{Cluster: "sds-grpc"}}, Ref{Name: "ROOTCA"}
	store := new(Store)
	p := newPair(t,
		&Downstream{Common: Common{CertificateRefs: []Ref{own}}},
		&Upstream{Common: Common{ValidationRef: &trust, Validation: &Validation{Names: []NameMatch{{Type: DNSName, Exact: "x"}}}}}, store)
	_, _, err := p.shake(t)
	require.ErrorContains(t, err, `secret "ROOTCA": not there yet`)
	all := map[Ref]*Secret{trust: {Validation: ca.Trust()}}
	store.Set(all)
	require.ErrorContains(t, serverSays(t, p), `secret "default": not there yet`)
	store.Set(map[Ref]*Secret{trust: all[trust], own: {Certificate: ca.Issue("x").Config()}})
	_, _, err = p.shake(t)
	require.NoError(t, err)
	store.Set(map[Ref]*Secret{trust: {Validation: &Validation{}}, own: {Validation: ca.Trust()}})
	_, _, err = p.shake(t)
	require.ErrorContains(t, err, "no trusted_ca", "the secret has none, and what the context adds are names")
	store.Set(nil)
	_, _, err = p.shake(t)
	require.ErrorContains(t, err, "no trusted_ca", "what was last in force stays")
}

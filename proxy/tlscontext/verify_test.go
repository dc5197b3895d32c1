package tlscontext_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	. "github.com/fridaymesh/friday/proxy/tlscontext" //nolint:revive // the tests are of it, from outside: tlstest imports it
	"github.com/fridaymesh/friday/proxy/tlscontext/tlstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is a server and a client that shake hands over a socket.
type pair struct {
	server *Server
	client *Client
}

// shake shakes hands and exchanges a byte each way, so that in TLS 1.3 the server's
// refusal and its tickets have come.
func (p *pair) shake(t *testing.T, protocols ...string) (server, client tls.ConnectionState, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	type outcome struct {
		state tls.ConnectionState
		err   error
	}
	served := make(chan outcome, 1)
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			served <- outcome{err: err}
			return
		}
		defer nc.Close()
		c, err := p.server.Handshake(ctx, nc)
		if err != nil {
			served <- outcome{err: err}
			return
		}
		if _, err = c.Write([]byte("x")); err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		served <- outcome{c.ConnectionState(), err}
	}()
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", ln.Addr().String())
	require.NoError(t, err)
	defer nc.Close()
	c, err := p.client.Handshake(ctx, nc, protocols...)
	if err == nil {
		if _, err = c.Read(make([]byte, 1)); err == nil {
			_, err = c.Write([]byte("x"))
		}
		client = c.ConnectionState()
	}
	if err != nil {
		nc.Close()
	}
	s := <-served
	if s.err != nil && err == nil {
		err = s.err
	}
	return s.state, client, err
}

func newPair(t *testing.T, d *Downstream, u *Upstream, secrets *Store) *pair {
	t.Helper()
	if secrets == nil {
		secrets = new(Store)
	}
	s, err := NewServer(d, secrets)
	require.NoError(t, err)
	require.NoError(t, u.Check(secrets))
	return &pair{s, NewClient(u, "", secrets)}
}

// TestVerify: whom a server takes as its caller.
func TestVerify(t *testing.T) {
	ca, other := tlstest.NewCA(t), tlstest.NewCA(t)
	middle := ca.Intermediate()
	server := ca.Issue("server.test")
	llama := ca.Issue("spiffe://cluster.local/ns/models/sa/llama", "llama.models.svc", "*.models.test", "10.0.0.1", "a@b.test")
	spki := sha256.Sum256(llama.X509.RawSubjectPublicKeyInfo)
	hash := sha256.Sum256(llama.X509.Raw)
	expired := ca.Make(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, "spiffe://a/b")
	exact := func(kind NameType, s string) NameMatch { return NameMatch{Type: kind, Exact: s} }
	begins := func(kind NameType, s string) NameMatch {
		return NameMatch{Type: kind, Match: func(x string) bool { return strings.HasPrefix(x, s) }}
	}
	soon := time.Now().Add(time.Hour)
	data := func(b []byte) Data { return Data{Inline: b} }
	both := append(append([]byte(nil), ca.Revoke(soon)...), middle.Revoke(soon)...)
	for name, tt := range map[string]struct {
		caller  *tlstest.Certificate
		v       *Validation
		require bool
		bad     string // a part of the error; empty: taken
	}{
		"no certificate, none asked for":    {nil, nil, false, ""},
		"no certificate, one would be good": {nil, ca.Trust(), false, ""},
		"no certificate, one is required":   {nil, ca.Trust(), true, "certificate"},
		"any certificate":                   {other.Issue("x"), nil, true, ""},
		"of the CA":                         {llama, ca.Trust(), true, ""},
		"of another CA":                     {other.Issue("x"), ca.Trust(), true, "unknown authority"},
		"of another CA, none required":      {other.Issue("x"), ca.Trust(), false, "unknown authority"},
		"of another CA, accepted":           {other.Issue("x"), &Validation{CA: data(ca.PEM), AcceptUntrusted: true}, true, ""},
		"through an intermediate":           {middle.Issue("spiffe://a/b"), ca.Trust(exact(URIName, "spiffe://a/b")), true, ""},
		"expired":                           {expired, ca.Trust(), true, "expired"},
		"expired, allowed":                  {expired, &Validation{CA: data(ca.PEM), AllowExpired: true}, true, ""},
		"for servers only":                  {ca.Make(func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }, "x"), ca.Trust(), true, "usage"},
		"a URI":                             {llama, ca.Trust(exact(URIName, "spiffe://cluster.local/ns/models/sa/llama")), true, ""},
		"another URI":                       {llama, ca.Trust(exact(URIName, "spiffe://cluster.local/ns/models/sa/other")), true, "alternative name"},
		"a URI's beginning":                 {llama, ca.Trust(begins(URIName, "spiffe://cluster.local/")), true, ""},
		"a URI as a DNS name":               {llama, ca.Trust(exact(DNSName, "spiffe://cluster.local/ns/models/sa/llama")), true, "alternative name"},
		"any type":                          {llama, ca.Trust(exact(AnyName, "llama.models.svc")), true, ""},
		"the second matches":                {llama, ca.Trust(exact(DNSName, "x"), exact(EmailName, "a@b.test")), true, ""},
		"a wildcard":                        {llama, ca.Trust(exact(DNSName, "x.models.test")), true, ""},
		"a wildcard is one label":           {llama, ca.Trust(exact(DNSName, "x.y.models.test")), true, "alternative name"},
		"an address":                        {llama, ca.Trust(exact(IPName, "10.0.0.1")), true, ""},
		"an address, spelt otherwise":       {llama, ca.Trust(exact(IPName, "::ffff:10.0.0.1")), true, ""},
		"names without a CA":                {llama, &Validation{Names: []NameMatch{exact(URIName, "x")}}, true, "no trusted_ca"},
		"the key":                           {llama, &Validation{SPKI: [][32]byte{{}, spki}}, true, ""},
		"the hash":                          {llama, &Validation{Hash: [][32]byte{hash}, SPKI: [][32]byte{{}}}, true, ""},
		"another key":                       {llama, &Validation{SPKI: [][32]byte{hash}}, true, "none of those"},
		"not revoked":                       {llama, &Validation{CA: data(ca.PEM), CRL: data(ca.Revoke(soon, server))}, true, ""},
		"revoked":                           {llama, &Validation{CA: data(ca.PEM), CRL: data(ca.Revoke(soon, llama))}, true, "revoked"},
		"an old list":                       {llama, &Validation{CA: data(ca.PEM), CRL: data(ca.Revoke(time.Now().Add(-time.Minute)))}, true, "expired"},
		"no list of the CA":                 {llama, &Validation{CA: data(ca.PEM), CRL: data(other.Revoke(soon))}, true, "no certificate revocation list"},
		"no list of the intermediate":       {middle.Issue("x"), &Validation{CA: data(ca.PEM), CRL: data(ca.Revoke(soon))}, true, "no certificate revocation list"},
		"lists of both":                     {middle.Issue("x"), &Validation{CA: data(ca.PEM), CRL: data(both)}, true, ""},
		"the leaf's list will do":           {middle.Issue("x"), &Validation{CA: data(ca.PEM), CRL: data(middle.Revoke(soon)), LeafCRL: true}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := &Downstream{Common: Common{Certificates: []*Certificate{server.Config()}, Validation: tt.v}, RequireClientCertificate: tt.require}
			u := &Upstream{Common: Common{Validation: ca.Trust(exact(DNSName, "server.test"))}}
			if tt.caller != nil {
				u.Certificates = []*Certificate{tt.caller.Config()}
			}
			p := newPair(t, d, u, nil)
			state, _, err := p.shake(t)
			if tt.bad == "" {
				require.NoError(t, err)
				if tt.caller != nil && (tt.require || tt.v != nil) {
					require.Equal(t, tt.caller.X509.Raw, state.PeerCertificates[0].Raw)
				}
				return
			}
			require.Error(t, err)
			require.ErrorContains(t, serverSays(t, p), tt.bad)
		})
	}
}

// serverSays is the server's own error; the client gets an alert.
func serverSays(t *testing.T, p *pair) error {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	go func() {
		defer b.Close()
		if c, err := p.client.Handshake(t.Context(), b); err == nil {
			_, _ = c.Read(make([]byte, 1))
		}
	}()
	_, err := p.server.Handshake(t.Context(), a)
	return err
}

// TestVerifyServer: which server a client takes.
func TestVerifyServer(t *testing.T) {
	ca, other := tlstest.NewCA(t), tlstest.NewCA(t)
	for name, tt := range map[string]struct {
		server *tlstest.Certificate
		u      *Upstream
		bad    string
	}{
		"nothing is asked":      {other.Issue("x"), &Upstream{}, ""},
		"the CA":                {ca.Issue("x"), &Upstream{Common: Common{Validation: ca.Trust()}}, ""},
		"another CA":            {other.Issue("x"), &Upstream{Common: Common{Validation: ca.Trust()}}, "unknown authority"},
		"the server's name":     {ca.Issue("a.test"), &Upstream{SNI: "a.test", SANFromSNI: true, Common: Common{Validation: ca.Trust()}}, ""},
		"not the server's name": {ca.Issue("b.test"), &Upstream{SNI: "a.test", SANFromSNI: true, Common: Common{Validation: ca.Trust()}}, "alternative name"},
		"for clients only":      {ca.Make(func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }, "x"), &Upstream{Common: Common{Validation: ca.Trust()}}, "usage"},
		"not of the host's CAs": {ca.Issue("x"), &Upstream{Common: Common{Validation: &Validation{SystemRoots: true}}}, "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, &Downstream{Common: Common{Certificates: []*Certificate{tt.server.Config()}}}, tt.u, nil)
			_, _, err := p.shake(t)
			if tt.bad == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.bad)
		})
	}
}

// TestFilesAreLookedAtAgain: a certificate in a file is changed in place, and half
// of one does no harm.
func TestFilesAreLookedAtAgain(t *testing.T) {
	ca := tlstest.NewCA(t)
	dir := t.TempDir()
	chain, key, trust := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "ca.crt")
	write := func(c *tlstest.Certificate) {
		require.NoError(t, os.WriteFile(chain, c.Chain, 0o600))
		require.NoError(t, os.WriteFile(key, c.Key, 0o600))
	}
	first, second := ca.Issue("x"), ca.Issue("x")
	write(first)
	require.NoError(t, os.WriteFile(trust, ca.PEM, 0o600))
	d := &Downstream{Common: Common{
		Certificates: []*Certificate{{Chain: Data{Path: chain}, Key: Data{Path: key}}},
		Validation:   &Validation{CA: Data{Path: trust}},
	}}
	p := newPair(t, d, &Upstream{Common: Common{Validation: ca.Trust()}}, nil)
	served := func() []byte {
		_, state, err := p.shake(t)
		require.NoError(t, err)
		return state.PeerCertificates[0].Raw
	}
	require.Equal(t, first.X509.Raw, served())
	require.NoError(t, os.WriteFile(chain, second.Chain, 0o600)) // whose key is not there yet
	require.Never(t, func() bool { return string(served()) != string(first.X509.Raw) }, 1500*time.Millisecond, 300*time.Millisecond)
	write(second)
	require.Eventually(t, func() bool { return string(served()) == string(second.X509.Raw) }, 10*time.Second, 100*time.Millisecond)

	_, err := NewServer(&Downstream{Common: Common{Certificates: []*Certificate{{Chain: Data{Path: dir + "/no"}, Key: Data{Path: key}}}}}, new(Store))
	require.ErrorContains(t, err, "certificate_chain: open")
}

package control

import (
	"crypto/tls"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/credentials"

	"github.com/fridaymesh/friday/proxy/tlscontext/tlstest"
	"github.com/fridaymesh/friday/xds/resource"
)

// authority writes certificates for a test.
type authority struct {
	*tlstest.CA
	t   *testing.T
	dir string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{CA: tlstest.NewCA(t), t: t, dir: t.TempDir()}
	a.write("ca.pem", a.PEM)
	return a
}

// issue writes NAME.pem and NAME.key, and returns the certificate's serial number.
func (a *authority) issue(name string) *big.Int {
	a.t.Helper()
	c := a.Issue("127.0.0.1")
	a.write(name+".pem", c.Chain)
	a.write(name+".key", c.Key)
	return c.X509.SerialNumber
}

func (a *authority) write(name string, text []byte) {
	a.t.Helper()
	require.NoError(a.t, os.WriteFile(a.path(name), text, 0o600))
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// client trusts a and shows certificates. seen gets the serial number of the
// server's.
func (a *authority) client(seen **big.Int, own ...tls.Certificate) credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{
		RootCAs: a.Pool(), ServerName: "127.0.0.1", Certificates: own,
		VerifyConnection: func(s tls.ConnectionState) error {
			*seen = s.PeerCertificates[0].SerialNumber
			return nil
		},
	})
}

// dial says whether a TLS connection lasts beyond the server's look at the
// client's certificate.
func dial(t *testing.T, h *harness, config credentials.TransportCredentials) error {
	t.Helper()
	conn, err := net.Dial("tcp", h.address)
	require.NoError(t, err)
	defer conn.Close()
	secured, _, err := config.ClientHandshake(t.Context(), h.address, conn)
	if err != nil {
		return err
	}
	_, err = secured.Read(make([]byte, 1)) // the first frame, or the refusal
	return err
}

func TestTransport(t *testing.T) {
	a := newAuthority(t)
	first := a.issue("server")
	own := a.Issue("node").TLS(t)
	core, logs := observer.New(zap.InfoLevel)
	transport, err := NewTransport(a.path("server.pem"), a.path("server.key"), a.path("ca.pem"), zap.New(core))
	require.NoError(t, err)
	var serial *big.Int
	h := serveOver(t, transport, a.client(&serial, own))
	h.Update(compiled(t, doc("digits", "")))
	c := h.client(t, "n1", "")
	c.start("digits")
	require.Equal(t, first, serial)

	require.Error(t, dial(t, h, a.client(&serial)), "no certificate")
	require.Error(t, dial(t, h, a.client(&serial, tlstest.NewCA(t).Issue("node").TLS(t))), "of other roots")

	// Certificates are replaced in place: new connections get the new one, and what
	// makes no sense is told once and changes nothing.
	second := a.issue("server")
	require.NoError(t, dial(t, h, a.client(&serial, own)))
	require.Equal(t, second, serial)
	a.write("server.pem", []byte("half a"))
	for range 2 {
		require.NoError(t, dial(t, h, a.client(&serial, own)))
	}
	require.Equal(t, second, serial)
	require.Equal(t, 1, logs.FilterMessageSnippet("the last ones hold").Len())

	// The stream from before goes on.
	h.Update(compiled(t, doc("digits", "  timeout: 1s\n")))
	require.Equal(t, "digits", held(t, c.next(resource.RouteType)))
}

func TestTransportWithoutClientCA(t *testing.T) {
	a := newAuthority(t)
	a.issue("server")
	transport, err := NewTransport(a.path("server.pem"), a.path("server.key"), "", zap.NewNop())
	require.NoError(t, err)
	var serial *big.Int
	h := serveOver(t, transport, a.client(&serial))
	c := h.client(t, "n1", "")
	c.send(&discoveryv3.DiscoveryRequest{TypeUrl: resource.ClusterType})
	c.next(resource.ClusterType)
}

func TestTransportRefused(t *testing.T) {
	a := newAuthority(t)
	a.issue("server")
	a.issue("other")
	a.write("empty.pem", nil)
	for says, files := range map[string][3]string{
		"missing.pem":           {"missing.pem", "server.key", ""},
		"private key does not":  {"server.pem", "other.key", ""},
		"no certificate in it":  {"server.pem", "server.key", "empty.pem"},
		"no such file or direc": {"server.pem", "server.key", "missing.pem"},
	} {
		ca := files[2]
		if ca != "" {
			ca = a.path(ca)
		}
		_, err := NewTransport(a.path(files[0]), a.path(files[1]), ca, zap.NewNop())
		require.ErrorContains(t, err, says)
	}
}

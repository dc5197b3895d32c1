package control

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/credentials"

	"github.com/fridaymesh/friday/xds/resource"
)

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "roots"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, "ca")
	return a
}

// issue writes NAME.pem and NAME.key of a certificate with that serial number.
func (a *authority) issue(name string, serial int64) {
	a.t.Helper()
	a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, name)
}

func (a *authority) sign(c *x509.Certificate, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	require.NoError(a.t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	a.write(name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
	a.write(name+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	parsed, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	return parsed, key
}

func (a *authority) write(name string, text []byte) {
	a.t.Helper()
	require.NoError(a.t, os.WriteFile(a.path(name), text, 0o600))
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// client trusts a and shows the certificate of that name; empty: none. seen gets
// the serial number of the server's.
func (a *authority) client(name string, seen *int64) credentials.TransportCredentials {
	a.t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	config := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", VerifyConnection: func(s tls.ConnectionState) error {
		*seen = s.PeerCertificates[0].SerialNumber.Int64()
		return nil
	}}
	if name != "" {
		pair, err := tls.LoadX509KeyPair(a.path(name+".pem"), a.path(name+".key"))
		require.NoError(a.t, err)
		config.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(config)
}

// dial says whether a TLS connection lasts beyond the server's look at the
// client's certificate, and with which certificate it answered.
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
	a, strangers := newAuthority(t), newAuthority(t)
	a.issue("server", 10)
	a.issue("node", 20)
	strangers.issue("node", 30)
	core, logs := observer.New(zap.InfoLevel)
	transport, err := NewTransport(a.path("server.pem"), a.path("server.key"), a.path("ca.pem"), zap.New(core))
	require.NoError(t, err)
	var serial int64
	h := serveOver(t, transport, a.client("node", &serial))
	h.Update(compiled(t, doc("digits", "")))
	c := h.client(t, "n1", "")
	c.start("digits")
	require.EqualValues(t, 10, serial)

	require.Error(t, dial(t, h, a.client("", &serial)), "no certificate")
	stranger, err := tls.LoadX509KeyPair(strangers.path("node.pem"), strangers.path("node.key"))
	require.NoError(t, err)
	require.Error(t, dial(t, h, credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{stranger}})))

	// Certificates are replaced in place: new connections get the new one, and what
	// makes no sense is told once and changes nothing.
	a.issue("server", 11)
	require.NoError(t, dial(t, h, a.client("node", &serial)))
	require.EqualValues(t, 11, serial)
	a.write("server.pem", []byte("half a"))
	for range 2 {
		require.NoError(t, dial(t, h, a.client("node", &serial)))
	}
	require.EqualValues(t, 11, serial)
	require.Equal(t, 1, logs.FilterMessageSnippet("the last ones hold").Len())

	// The stream from before goes on.
	h.Update(compiled(t, doc("digits", "  timeout: 1s\n")))
	require.Equal(t, "digits", held(t, c.next(resource.RouteType)))
}

func TestTransportWithoutClientCA(t *testing.T) {
	a := newAuthority(t)
	a.issue("server", 10)
	transport, err := NewTransport(a.path("server.pem"), a.path("server.key"), "", zap.NewNop())
	require.NoError(t, err)
	var serial int64
	h := serveOver(t, transport, a.client("", &serial))
	c := h.client(t, "n1", "")
	c.send(&discoveryv3.DiscoveryRequest{TypeUrl: resource.ClusterType})
	c.next(resource.ClusterType)
}

func TestTransportRefused(t *testing.T) {
	a := newAuthority(t)
	a.issue("server", 10)
	a.issue("other", 11)
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

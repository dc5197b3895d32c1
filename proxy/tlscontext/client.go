package tlscontext

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"sync"
	"sync/atomic"
)

// Client makes handshakes with one endpoint.
type Client struct {
	// Set once.
	context *Upstream
	sni     string
	source  *source

	current atomic.Pointer[dialled]
	mu      sync.Mutex // one makes it anew
}

// dialled is a configuration made of some material. Sessions end with it: they
// belong to the identity that they were made with.
type dialled struct {
	of     *material
	config *tls.Config
}

// NewClient makes a Client of u to an endpoint of that hostname, which may be empty.
func NewClient(u *Upstream, hostname string, secrets *Store) *Client {
	c := &Client{context: u, sni: u.SNI, source: &source{common: &u.Common, store: secrets}}
	if u.HostSNI && hostname != "" {
		c.sni = hostname
	}
	return c
}

// Check says what is wrong with what u names, files that are not there. Secrets may
// come later.
func (u *Upstream) Check(secrets *Store) error {
	return ready(&source{common: &u.Common, store: secrets})
}

// Calling is a Client for a server of another name, which its certificate must have
// where san is set.
func (c *Client) Calling(sni string, san bool) *Client {
	u := *c.context
	u.SANFromSNI = u.SANFromSNI || san
	return &Client{context: &u, sni: sni, source: c.source}
}

// Istio's words for what it makes of ALPN within a mesh (its filter istio.alpn): the
// sidecar at the other end chooses a filter chain by them.
const istio = "istio"

// Protocols are what is offered by ALPN for HTTP/1.1, or for HTTP/2.
func (c *Client) Protocols(http2 bool) []string {
	all := c.context.Protocols
	switch mesh := slices.Contains(all, istio); {
	case mesh && http2:
		return []string{"istio-h2", istio, "h2"}
	case mesh:
		return []string{"istio-http/1.1", istio, "http/1.1"}
	case http2:
		return []string{"h2"}
	case len(all) == 0:
		return []string{"http/1.1"}
	}
	// Who offers h2 and does not speak it has no use for the connection.
	return slices.DeleteFunc(slices.Clone(all), func(p string) bool { return p == "h2" })
}

// Both are what is offered where the server is to choose.
func (c *Client) Both() []string {
	if slices.Contains(c.context.Protocols, istio) {
		return []string{"istio-h2", "istio-http/1.1", istio, "h2", "http/1.1"}
	}
	return []string{"h2", "http/1.1"}
}

// Raw are what the context itself offers, for bytes that are no HTTP.
func (c *Client) Raw() []string { return c.context.Protocols }

// Handshake speaks TLS on nc, offering protocols by ALPN. The context bounds the
// handshake alone.
func (c *Client) Handshake(ctx context.Context, nc net.Conn, protocols ...string) (*tls.Conn, error) {
	m, err := c.source.get()
	if err != nil {
		return nil, err
	}
	now := c.current.Load()
	if now == nil || now.of != m {
		now = c.dial(m)
	}
	config := now.config
	if !slices.Equal(config.NextProtos, protocols) {
		config = config.Clone()
		config.NextProtos = protocols
	}
	t := tls.Client(nc, config)
	return t, t.HandshakeContext(ctx)
}

func (c *Client) dial(m *material) *dialled {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.current.Load(); now != nil && now.of == m {
		return now
	}
	u := c.context
	config := &tls.Config{
		ServerName:         c.sni,
		CipherSuites:       u.Ciphers,
		CurvePreferences:   u.Curves,
		NextProtos:         u.Protocols,
		InsecureSkipVerify: true, // #nosec G402 -- VerifyConnection does it, resumed sessions too
		VerifyConnection: func(cs tls.ConnectionState) error {
			if m.verifier == nil {
				return nil
			}
			name := ""
			if u.SANFromSNI {
				name = c.sni
			}
			return m.verifier.verify(cs.PeerCertificates, x509.ExtKeyUsageServerAuth, name)
		},
	}
	config.MinVersion, config.MaxVersion = u.versions()
	if u.Sessions > 0 {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(u.Sessions)
	}
	if len(m.certificates) > 0 {
		config.GetClientCertificate = func(ask *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			for i := range m.certificates {
				if ask.SupportsCertificate(&m.certificates[i]) == nil {
					return &m.certificates[i], nil
				}
			}
			return &m.certificates[0], nil // the server may take it nevertheless
		}
	}
	now := &dialled{of: m, config: config}
	c.current.Store(now)
	return now
}

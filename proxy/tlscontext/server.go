package tlscontext

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Server makes handshakes with callers. It outlives snapshots, as long as its
// context is the same: the keys of its session tickets are its own.
type Server struct {
	// Set once.
	context *Downstream
	source  *source
	// base has the keys of the tickets, whatever the certificates.
	base *tls.Config

	current atomic.Pointer[served]
	mu      sync.Mutex // one makes it anew
}

// served is a configuration made of some material.
type served struct {
	of *material
	// config is what is served; bare does not agree on a protocol: crypto/tls would
	// end a handshake where none is common, and Envoy does not.
	config, bare *tls.Config
}

// NewServer makes a Server of d. Files that d names must be there.
func NewServer(d *Downstream, secrets *Store) (*Server, error) {
	s := &Server{
		context: d,
		source:  &source{common: &d.Common, keys: d.TicketKeysRef, store: secrets},
		base:    &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if len(d.TicketKeys) > 0 {
		s.base.SetSessionTicketKeys(ticketKeys(d.TicketKeys))
	}
	if err := ready(s.source); err != nil {
		return nil, err
	}
	return s, nil
}

// ready says what is wrong with what is there already; what is missing may come.
func ready(s *source) error {
	_, err := s.get()
	if _, missing := errors.AsType[*MissingError](err); missing {
		return nil
	}
	return err
}

// ticketKeys makes crypto/tls's keys of OpenSSL's, which are longer.
func ticketKeys(long [][]byte) (keys [][32]byte) {
	for _, k := range long {
		keys = append(keys, sha256.Sum256(k))
	}
	return keys
}

// Handshake speaks TLS on c. The context bounds the handshake alone.
func (s *Server) Handshake(ctx context.Context, c net.Conn) (*tls.Conn, error) {
	t := tls.Server(c, &tls.Config{GetConfigForClient: s.configFor, MinVersion: tls.VersionTLS10}) // #nosec G402 -- configFor says which
	return t, t.HandshakeContext(ctx)
}

var errNoServerName = errors.New("the caller does not say whom it calls, and require_sni is set")

func (s *Server) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if s.context.RequireSNI && hello.ServerName == "" {
		return nil, errNoServerName
	}
	m, err := s.source.get()
	if err != nil {
		return nil, err
	}
	now := s.current.Load()
	if now == nil || now.of != m {
		now = s.serve(m)
	}
	if len(hello.SupportedProtos) > 0 && !slices.ContainsFunc(now.config.NextProtos, func(p string) bool { return slices.Contains(hello.SupportedProtos, p) }) {
		return now.bare, nil
	}
	return now.config, nil
}

func (s *Server) serve(m *material) *served {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.current.Load(); now != nil && now.of == m {
		return now
	}
	if m.ticketKeys != nil {
		s.base.SetSessionTicketKeys(ticketKeys(m.ticketKeys))
	}
	d := s.context
	c := &tls.Config{
		Certificates: m.certificates,
		CipherSuites: d.Ciphers, CurvePreferences: d.Curves,
		NextProtos:             d.Protocols,
		SessionTicketsDisabled: d.NoTickets,
		WrapSession:            s.wrap,
		UnwrapSession:          s.unwrap,
	}
	c.MinVersion, c.MaxVersion = d.versions()
	switch {
	case d.RequireClientCertificate:
		c.ClientAuth = tls.RequireAnyClientCert
	case m.verifier != nil:
		c.ClientAuth = tls.RequestClientCert
	}
	if v := m.verifier; v != nil {
		if !v.HideCAs {
			c.ClientCAs = v.roots
		}
		c.VerifyConnection = func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 && !d.RequireClientCertificate {
				return nil
			}
			return v.verify(cs.PeerCertificates, x509.ExtKeyUsageClientAuth, "")
		}
	}
	bare := c.Clone()
	bare.NextProtos = nil
	now := &served{of: m, config: c, bare: bare}
	s.current.Store(now)
	return now
}

// stampSize is how long the time is that a session carries.
const stampSize = 8

// wrap seals a session with the time, for a timeout other than crypto/tls's.
func (s *Server) wrap(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
	if s.context.SessionTimeout > 0 {
		ss.Extra = append(ss.Extra, binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix()))) // #nosec G115 -- not before 1970
	}
	return s.base.EncryptTicket(cs, ss)
}

// unwrap opens a session. One that is too old, or not ours, means a full handshake.
func (s *Server) unwrap(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
	ss, err := s.base.DecryptTicket(identity, cs)
	if err != nil || ss == nil || s.context.SessionTimeout <= 0 {
		return ss, err
	}
	for _, extra := range ss.Extra {
		if len(extra) == stampSize {
			made := time.Unix(int64(binary.BigEndian.Uint64(extra)), 0) // #nosec G115 -- as written above
			if time.Since(made) <= s.context.SessionTimeout {
				return ss, nil
			}
		}
	}
	return nil, nil //nolint:nilnil // crypto/tls's way to say: none
}

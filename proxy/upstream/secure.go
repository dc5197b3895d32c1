package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fridaymesh/friday/proxy/telemetry"
	"github.com/fridaymesh/friday/proxy/tlscontext"
)

// door dials one endpoint: TCP, and TLS over it where the endpoint has it.
type door struct {
	// Set once.
	address string
	dialer  net.Dialer
	own     *Own
	tls     *tlscontext.Client // nil in cleartext
	results struct{ full, resumed, failed prometheus.Counter }
}

func newDoor(address string, config *Config, m *telemetry.Metrics) *door {
	d := &door{address: address, dialer: config.dialer(), own: config.Own, tls: config.TLS}
	if d.tls != nil {
		d.results.full = m.UpstreamTLS.WithLabelValues(config.Cluster, "full")
		d.results.resumed = m.UpstreamTLS.WithLabelValues(config.Cluster, "resumed")
		d.results.failed = m.UpstreamTLS.WithLabelValues(config.Cluster, "failed")
	}
	return d
}

// dial connects, within the connect timeout, the handshake included. protocols are
// offered by ALPN.
func (d *door) dial(ctx context.Context, protocols func(*tlscontext.Client) []string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.dialer.Timeout)
	defer cancel()
	nc, err := d.own.dial(ctx, &d.dialer, d.address)
	if err != nil || d.tls == nil {
		return nc, err
	}
	w := &wire{Conn: nc}
	t, err := d.tls.Handshake(ctx, w, protocols(d.tls)...)
	switch {
	case err != nil:
		d.results.failed.Inc()
		return nil, &handshakeError{errors.Join(err, nc.Close())}
	case t.ConnectionState().DidResume:
		d.results.resumed.Inc()
	default:
		d.results.full.Inc()
	}
	return &secureConn{Conn: t, wire: w}, nil
}

// The protocols that are offered.
func forHTTP1(c *tlscontext.Client) []string { return c.Protocols(false) }
func forHTTP2(c *tlscontext.Client) []string { return c.Protocols(true) }
func forBytes(c *tlscontext.Client) []string { return c.Raw() }
func forBoth(c *tlscontext.Client) []string  { return c.Both() }

// handshakeError says that TLS could not be spoken.
type handshakeError struct{ error }

func (e *handshakeError) Unwrap() error { return e.error }

// secureConn is TLS whose TCP connection can still be looked at.
type secureConn struct {
	*tls.Conn

	wire *wire
}

var _ syscall.Conn = (*secureConn)(nil)

// SyscallConn is the TCP connection's.
func (c *secureConn) SyscallConn() (syscall.RawConn, error) {
	sc, ok := c.wire.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return sc.SyscallConn()
}

// Sent is how many bytes went out, those of TLS itself too.
func (c *secureConn) Sent() uint64 { return c.wire.sent.Load() }

// wire counts what TLS writes.
type wire struct {
	net.Conn

	sent atomic.Uint64
}

func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.sent.Add(uint64(n)) // #nosec G115 -- n is not negative
	return n, err
}

package server

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/exchange"
	"github.com/fridaymesh/friday/proxy/h2"
	"github.com/fridaymesh/friday/proxy/listener"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// inspectTimeout is how long an inspection may take where the configuration does not
// say, and handshakeTimeout a handshake.
const (
	inspectTimeout   = 15 * time.Second
	handshakeTimeout = 15 * time.Second
)

// The reasons for which a connection is not served.
const (
	refusedChain   = "no_filter_chain"
	refusedInspect = "listener_filters"
	refusedGate    = "rbac"
	refusedLoop    = "loop"
)

// serve serves a connection to its end. handedOver says that another listener had it
// first.
func (r *running) serve(c *listener.Conn, handedOver bool) {
	s := r.state.Load()
	if !r.hall.enter(c) {
		return
	}
	defer r.hall.leave(c)
	if s.only != nil {
		s.only.serve(c)
		return
	}
	i := &s.config.Config.Inspect
	timeout := i.Timeout
	if timeout == 0 {
		timeout = inspectTimeout
	}
	deadline := time.Now().Add(timeout)
	if !handedOver || i.ProxyProtocol != nil {
		if err := c.Restore(i, deadline); err != nil {
			r.refuse(refusedInspect, err)
			return
		}
	}
	if !handedOver && c.OriginalDestination() != "" {
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		if r.s.own.Has(ctx, address(c.RemoteAddr()), address(c.LocalAddr())) {
			c.SetLooped()
		}
		cancel()
	}
	if s.config.Config.UseOriginalDst && !handedOver && c.OriginalDestination() != "" {
		if to := r.s.meant(c.LocalAddr()); to != nil && to != r {
			r.hall.leave(c)
			to.serve(c, true)
			return
		}
	}
	seen, err := c.Look(i, deadline)
	if err != nil {
		r.refuse(refusedInspect, err)
		return
	}
	found := listener.Match(s.config, &seen)
	if found == nil {
		r.refuse(refusedChain, nil)
		return
	}
	s.chains[found].serve(c)
}

// address is a as it is compared.
func address(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(t.AddrPort().Addr().Unmap(), t.AddrPort().Port())
}

// refuse counts a connection that is closed unserved. One that has closed by itself
// before it said anything is nobody's fault.
func (r *running) refuse(reason string, err error) {
	r.s.metrics.DownstreamRefused.WithLabelValues(r.name(), reason).Inc()
	r.s.log.Debug("connection refused", zap.String(telemetry.FieldListener, r.name()), zap.String("reason", reason), zap.Error(err))
}

// serve serves a connection by what the chain says.
func (c *chain) serve(conn *listener.Conn) {
	a := c.active.Load()
	gauge := c.r.s.metrics.DownstreamConnections.WithLabelValues(c.r.name())
	gauge.Inc()
	defer gauge.Dec()
	if a.TLS == nil {
		c.serveClear(a, conn, conn)
		return
	}
	secure, err := c.handshake(a, conn)
	if err != nil {
		return
	}
	c.serveClear(a, conn, secure)
	_ = secure.Close() // says goodbye where nobody has yet
}

// serveClear serves what is in the clear: conn itself, or what is within TLS over it.
func (c *chain) serveClear(a *config.ActiveChain, conn, within *listener.Conn) {
	if err := admit(a.Gates, within); err != nil {
		c.r.refuse(refusedGate, err)
		return
	}
	if a.TCP != nil {
		if conn.Looped() {
			c.r.refuse(refusedLoop, nil)
			return
		}
		c.r.hall.begun(conn)
		c.relays.Add(1)
		defer c.relays.Add(-1)
		c.tcp.ServeConn(c.end, within, a.TCP)
		return
	}
	limits := &a.HTTP.HTTP
	http2 := false
	switch state := within.TLS(); {
	case state != nil && state.NegotiatedProtocol == "h2":
		http2 = true
	default:
		var err error
		if http2, err = within.Begins(h2.Preface, limits.IdleTimeout, limits.HeadersTimeout); err != nil {
			return
		}
	}
	c.r.hall.begun(conn)
	switch {
	case !http2 && limits.Codec == config.CodecHTTP2:
	case http2 && limits.Codec != config.CodecHTTP1:
		c.codecs.Load().h2.ServeConn(within)
	default:
		c.codecs.Load().h1.ServeConn(within)
	}
}

// admit asks the gates about a connection.
func admit(gates []config.Gate, conn *listener.Conn) error {
	if len(gates) == 0 {
		return nil
	}
	req := &proxy.Request{Body: proxy.NoBody, Remote: conn.RemoteAddr(), Local: conn.LocalAddr(), Protocol: "tcp", Start: time.Now()}
	exchange.Connection(req, conn)
	for _, gate := range gates {
		if err := gate(req); err != nil {
			return err
		}
	}
	return nil
}

// handshake speaks TLS.
func (c *chain) handshake(a *config.ActiveChain, conn *listener.Conn) (*listener.Conn, error) {
	timeout := a.Config.HandshakeTimeout
	if timeout == 0 {
		timeout = handshakeTimeout
	}
	ctx, cancel := context.WithTimeout(c.end, timeout)
	defer cancel()
	_ = conn.SetDeadline(time.Time{}) // an inspection's; ctx counts now
	t, err := a.TLS.Handshake(ctx, conn)
	result := "full"
	switch {
	case err != nil:
		result = "failed"
	case t.ConnectionState().DidResume:
		result = "resumed"
	}
	c.r.s.metrics.DownstreamTLS.WithLabelValues(c.r.name(), result).Inc()
	if err != nil {
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			c.r.s.log.Debug("TLS handshake failed", zap.String(telemetry.FieldListener, c.r.name()), zap.Stringer("caller", conn.RemoteAddr()), zap.Error(err))
		}
		return nil, err
	}
	return conn.Secured(t), nil
}

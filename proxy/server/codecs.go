package server

import (
	"net"
	"time"

	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/exchange"
	"github.com/fridaymesh/friday/proxy/h1"
	"github.com/fridaymesh/friday/proxy/h2"
)

// codecs serve the connections of one address under one set of the settings that a
// connection has for life.
type codecs struct {
	h1 *h1.Server
	h2 *h2.Server
}

func newCodecs(o exchange.Options) *codecs {
	return &codecs{h1: h1.New(o), h2: h2.New(o)}
}

// beginner is a connection that can be looked at before it is read.
type beginner interface {
	Begins(prefix string, first, rest time.Duration) (bool, error)
}

// serve serves a connection by the protocol that its first bytes tell.
func (r *running) serve(c net.Conn) {
	gauge := r.s.metrics.DownstreamConnections.WithLabelValues(r.active.Load().Name)
	gauge.Inc()
	defer gauge.Dec()
	if !r.lobby.enter(c) {
		return
	}
	limits := &r.active.Load().HTTP
	http2, err := c.(beginner).Begins(h2.Preface, limits.IdleTimeout, limits.HeadersTimeout) //nolint:forcetypeassert // a *listener.Conn
	r.lobby.leave(c)
	switch {
	case err != nil, !http2 && limits.Codec == config.CodecHTTP2:
	case http2 && limits.Codec != config.CodecHTTP1:
		r.codecs.Load().h2.ServeConn(c)
	default:
		r.codecs.Load().h1.ServeConn(c)
	}
}

func (c *codecs) retire() {
	c.h1.Retire()
	c.h2.Retire()
}

func (c *codecs) idle() bool { return c.h1.Idle() && c.h2.Idle() }

func (c *codecs) drain() {
	c.h1.Drain()
	c.h2.Drain()
}

func (c *codecs) abort() {
	c.h1.Abort()
	c.h2.Abort()
}

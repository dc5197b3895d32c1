package upstream

import (
	"context"
	"errors"
	"io"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// Pair makes round trips to one address in HTTP/1.1 or in HTTP/2, as each request
// needs. It is safe for concurrent use.
type Pair struct {
	h1       *Transport
	h2       *Multiplexer
	protocol proxy.UpstreamProtocol
}

var (
	_ proxy.Handler = (*Pair)(nil)
	_ io.Closer     = (*Pair)(nil)
)

// NewPair makes a Pair to address (host:port). It dials nothing yet.
func NewPair(address string, protocol proxy.UpstreamProtocol, config Config, m *telemetry.Metrics) *Pair {
	return &Pair{h1: New(address, config, m), h2: NewMultiplexer(address, config, m), protocol: protocol}
}

// Handle makes one round trip, as [Transport.Handle] and [Multiplexer.Handle] do.
func (p *Pair) Handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	if p.http2(req) {
		return p.h2.Handle(ctx, req)
	}
	return p.h1.Handle(ctx, req)
}

func (p *Pair) http2(req *proxy.Request) bool {
	switch p.protocol {
	case proxy.UpstreamHTTP2:
		return true
	case proxy.UpstreamAsCaller:
		if req.Protocol != "http1" {
			return true
		}
	case proxy.UpstreamHTTP1:
	}
	return proxy.IsGRPC(req.Header)
}

// Close closes what is idle, as [Transport.Close] does.
func (p *Pair) Close() error { return errors.Join(p.h1.Close(), p.h2.Close()) }

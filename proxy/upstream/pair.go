package upstream

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// Pair makes round trips to one address in HTTP/1.1 or in HTTP/2, as each request
// needs. It is safe for concurrent use.
type Pair struct {
	h1       *Transport
	h2       *Multiplexer
	protocol proxy.UpstreamProtocol
	door     *door
	choice   *choice // nil where the protocol is not the endpoint's choice
	named    *byName // nil where all requests share their connections
	opened   prometheus.Counter
	open     prometheus.Gauge
}

var (
	_ proxy.Handler = (*Pair)(nil)
	_ io.Closer     = (*Pair)(nil)
)

// NewPair makes a Pair to address (host:port). It dials nothing yet.
func NewPair(address string, protocol proxy.UpstreamProtocol, config Config, m *telemetry.Metrics) *Pair {
	p := &Pair{
		h1: New(address, config, m), h2: NewMultiplexer(address, config, m), protocol: protocol,
		door:   newDoor(address, &config, m),
		opened: m.UpstreamConnections.WithLabelValues(config.Cluster),
		open:   m.UpstreamOpen.WithLabelValues(config.Cluster),
	}
	if protocol == proxy.UpstreamByALPN && config.TLS != nil {
		p.choice = new(choice)
		p.h1.choice, p.h2.choice = p.choice, p.choice
	}
	if config.TLS != nil && (config.AutoSNI || config.AutoSAN) {
		p.named = &byName{make: func(sni string) *Pair {
			one := config
			one.AutoSNI, one.AutoSAN = false, false
			one.TLS = config.TLS.Calling(sni, config.AutoSAN)
			return NewPair(address, protocol, one, m)
		}}
	}
	return p
}

// Handle makes one round trip, as [Transport.Handle] and [Multiplexer.Handle] do.
func (p *Pair) Handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	if p.named != nil {
		return p.named.handle(ctx, req)
	}
	http2 := p.http2(req)
	if !http2 && p.choice != nil {
		var err error
		if http2, err = p.choice.isHTTP2(ctx, p.door); err != nil {
			req.Trace.Attempts++
			if ctx.Err() != nil {
				return nil, proxy.AsError(ctx, context.Cause(ctx))
			}
			return nil, connectError(err)
		}
	}
	if http2 {
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
	case proxy.UpstreamHTTP1, proxy.UpstreamByALPN:
	}
	return proxy.IsGRPC(req.Header)
}

// Connect connects for bytes that are no HTTP. Its error is a [*proxy.Error].
func (p *Pair) Connect(ctx context.Context) (net.Conn, error) {
	nc, err := p.door.dial(ctx, forBytes)
	if err != nil {
		if ctx.Err() != nil {
			return nil, proxy.AsError(ctx, context.Cause(ctx))
		}
		return nil, connectError(err)
	}
	p.opened.Inc()
	p.open.Inc()
	return &countedConn{Conn: nc, open: p.open}, nil
}

// Close closes what is idle, as [Transport.Close] does.
func (p *Pair) Close() error {
	p.choice.forget()
	err := errors.Join(p.h1.Close(), p.h2.Close())
	if p.named != nil {
		err = errors.Join(err, p.named.close())
	}
	return err
}

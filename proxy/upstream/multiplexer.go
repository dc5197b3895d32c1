package upstream

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
	xhttp2 "golang.org/x/net/http2"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/http2"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

const (
	// streamWindow and connWindow bound what a server may send before it is read (RFC
	// 9113 section 5.2).
	streamWindow = 256 << 10
	connWindow   = 4 << 20
	// idleHTTP2 is how long an HTTP/2 connection is kept where the configuration does
	// not say: a server that has enough of it says so (GOAWAY) before it closes, so
	// that keeping it does not risk a request.
	idleHTTP2 = time.Minute
)

// Multiplexer makes round trips to one address over HTTP/2, in cleartext with prior
// knowledge: all of them over one connection, and over another only where the server
// allows no more on the first. It is safe for concurrent use.
type Multiplexer struct {
	// Set once.
	address string
	scheme  string
	config  Config
	door    *door
	choice  *choice // nil where the protocol is not the endpoint's choice
	open    prometheus.Gauge
	links   links
	fresh   prometheus.Counter
	reused  prometheus.Counter
}

var (
	_ proxy.Handler = (*Multiplexer)(nil)
	_ io.Closer     = (*Multiplexer)(nil)
)

// NewMultiplexer makes a Multiplexer to address (host:port). It dials nothing yet.
func NewMultiplexer(address string, config Config, m *telemetry.Metrics) *Multiplexer {
	config.ConnectTimeout = config.connectTimeout()
	if config.IdleTimeout == 0 {
		config.IdleTimeout = idleHTTP2
	}
	t := &Multiplexer{
		address: address,
		scheme:  "http",
		config:  config,
		door:    newDoor(address, &config, m),
		open:    m.UpstreamOpen.WithLabelValues(config.Cluster),
		fresh:   m.UpstreamRequests.WithLabelValues(config.Cluster, "false"),
		reused:  m.UpstreamRequests.WithLabelValues(config.Cluster, "true"),
	}
	if config.TLS != nil {
		t.scheme = "https"
	}
	t.links = links{
		opened:  m.UpstreamConnections.WithLabelValues(config.Cluster),
		waiting: m.UpstreamPending.WithLabelValues(config.Cluster),
		most:    config.MaxRequests,
		longest: config.MaxDuration,
		limits:  config.Limits,
		timeout: config.ConnectTimeout,
		dial:    t.dial,
	}
	return t
}

// dial makes a connection, for which the limits have a place, and waits until the
// server has said how many streams it takes.
func (t *Multiplexer) dial(ctx context.Context) (*http2.Conn, error) {
	nc := t.choice.take()
	if nc == nil {
		var err error
		if nc, err = t.door.dial(ctx, forHTTP2); err != nil {
			t.config.Limits.disconnect()
			t.choice.forget()
			return nil, err
		}
	}
	c := http2.NewConn(nc, http2.Config{
		StreamWindow: streamWindow, ConnWindow: connWindow, MaxHeaderBytes: maxHead,
		IdleTimeout: t.config.IdleTimeout, Keepalive: t.config.Keepalive,
	})
	c.OnPlace(t.links.freed.tell)
	t.open.Inc()
	go func() {
		_ = c.Serve() // its streams have it
		t.open.Dec()
		t.config.Limits.disconnect()
		t.links.freed.tell()
	}()
	select {
	case <-c.Ready():
		return c, nil
	case <-c.Done():
		return nil, c.Err()
	case <-ctx.Done():
		c.Close()
		return nil, ctx.Err()
	}
}

// Close closes the idle connections and keeps none from now on. Round trips that
// run, or begin later, end as ever.
func (t *Multiplexer) Close() error {
	t.links.close()
	return nil
}

// Handle makes one round trip. Its errors are [*proxy.Error]s, as those of
// [Transport.Handle]. Unsent are those where no connection was made, where the
// server refused the stream, and where it said goodbye before it (RFC 9113 section
// 8.7).
func (t *Multiplexer) Handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	if ctx.Err() != nil {
		return nil, proxy.AsError(ctx, context.Cause(ctx))
	}
	req.Trace.Attempts++
	k, used, err := t.links.take(ctx)
	if err != nil {
		return nil, t.unconnected(ctx, err)
	}
	if used {
		t.reused.Inc()
	} else {
		t.fresh.Inc()
	}
	x := &call{t: t, req: req}
	resp, err := x.run(ctx, k.conn)
	if err == nil {
		return resp, nil
	}
	if ctx.Err() != nil {
		return nil, proxy.AsError(ctx, context.Cause(ctx))
	}
	return nil, x.explain(err)
}

func (t *Multiplexer) unconnected(ctx context.Context, err error) *proxy.Error {
	if ctx.Err() != nil {
		return proxy.AsError(ctx, context.Cause(ctx))
	}
	if pe, ok := errors.AsType[*proxy.Error](err); ok { // the limits'
		return pe
	}
	if foreign(err) {
		return protocolError(err)
	}
	return connectError(err)
}

// foreign says that the server does not speak HTTP/2, or not well.
func foreign(err error) bool {
	_, wrong := errors.AsType[xhttp2.ConnectionError](err)
	return wrong || errors.Is(err, http2.ErrNotHTTP2)
}

func protocolError(err error) *proxy.Error {
	return &proxy.Error{Status: fasthttp.StatusBadGateway, Flag: proxy.FlagUpstreamProtocol, Message: resetText + "protocol error", Err: err}
}

// explain makes the error that the caller sees of why there was no answer.
func (x *call) explain(err error) *proxy.Error {
	if pe := cutShortRequest(x.bodyErr); pe != nil {
		return pe
	}
	pe := &proxy.Error{Status: fasthttp.StatusServiceUnavailable, Flag: proxy.FlagUpstreamReset, Err: err}
	e, ok := errors.AsType[*http2.Error](err)
	switch {
	case !ok:
		return protocolError(err)
	case e.Unprocessed && e.Reset:
		pe.Message, pe.Unsent = resetText+"remote refused stream reset", true
	case e.Unprocessed:
		pe.Message, pe.Unsent = resetText+"connection termination", true
	case e.Reset && e.Remote:
		pe.Message = resetText + "remote reset"
	case e.Reset, foreign(err):
		return protocolError(err)
	default:
		pe.Message = resetText + "connection termination"
	}
	return pe
}

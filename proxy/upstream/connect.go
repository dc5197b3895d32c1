package upstream

import (
	"context"
	"errors"
	"math"
	"net"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// conn takes an idle connection that still lives, or dials, or waits for one where
// the limits allow no other.
func (t *Transport) conn(ctx context.Context) (*conn, error) {
	c := t.pool.get()
	if c == nil {
		var err error
		if c, err = t.connect(ctx); err != nil {
			return nil, err
		}
	}
	if c.requests > 0 {
		t.reused.Inc()
	} else {
		t.fresh.Inc()
	}
	if t.config.Preconnect > 1 {
		t.warm() //nolint:contextcheck // what is made ahead is for whoever comes
	}
	return c, nil
}

// connect is for a request that finds no idle connection: it counts as waiting until
// it has one, as in Envoy.
func (t *Transport) connect(ctx context.Context) (*conn, error) {
	if err := t.pool.limits.wait(); err != nil {
		return nil, err
	}
	defer t.pool.limits.waited()
	t.waiting.Inc()
	defer t.waiting.Dec()
	if !t.pool.place() {
		if c, err := t.pool.wait(ctx); c != nil || err != nil {
			return c, err
		}
	}
	return t.dial(ctx)
}

// dial makes a connection, for which the pool has a place.
func (t *Transport) dial(ctx context.Context) (*conn, error) {
	nc := t.choice.take()
	if nc == nil {
		var err error
		if nc, err = t.door.dial(ctx, forHTTP1); err != nil {
			t.pool.gone()
			t.choice.forget()
			return nil, connectError(err)
		}
	}
	c, err := newConn(nc, t.open, &t.pool)
	if err != nil {
		t.pool.gone()
		return nil, connectError(errors.Join(err, nc.Close()))
	}
	t.opened.Inc()
	return c, nil
}

// mostAhead bounds the connections that one request has made ahead, as Envoy does.
const mostAhead = 3

// warm makes connections ahead of need (Envoy's per_upstream_preconnect_ratio): for
// each request that runs Preconnect connections, rounded up.
func (t *Transport) warm() {
	idle, ready := t.pool.count(time.Now())
	warming := int(t.warming.Load())
	active := int(t.pool.open.Load()) - idle - warming
	want := int(math.Ceil(float64(active)*t.config.Preconnect)) - active - ready - warming
	for range min(want, mostAhead) {
		if !t.pool.place() {
			return
		}
		t.warming.Add(1)
		go func() {
			defer t.warming.Add(-1)
			ctx, cancel := context.WithTimeout(context.Background(), t.config.ConnectTimeout)
			defer cancel()
			if c, err := t.dial(ctx); err == nil {
				t.pool.put(c)
			}
		}()
	}
}

// The words are Envoy's, so that whoever greps for them finds them.
const resetText = "upstream connect error or disconnect/reset before headers. reset reason: "

func connectError(err error) *proxy.Error {
	text := "remote connection failure"
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		text = "connection timeout"
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		text = "remote connection failure, transport failure reason: delayed connect error: Connection refused"
	} else if _, ok := errors.AsType[*handshakeError](err); ok {
		text = "remote connection failure, transport failure reason: TLS_error"
	}
	return &proxy.Error{
		Status: fasthttp.StatusServiceUnavailable, Flag: proxy.FlagUpstreamConnection,
		Message: resetText + text, Unsent: true, Err: err,
	}
}

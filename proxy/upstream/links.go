package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// links are the HTTP/2 connections to one address. net/http's own pool is not used:
// it dials once for each request that comes before the first connection is there,
// and sends some requests again by itself.
type links struct {
	// Set once.
	dial    func(context.Context) (*http.ClientConn, error)
	timeout time.Duration // of a dial
	most    uint32        // requests on a connection; 0: no limit
	opened  prometheus.Counter

	mu      sync.Mutex
	all     []*link
	dialing *dialing // nil where nobody does
	closed  bool
}

// link is one connection.
type link struct {
	conn     *http.ClientConn
	requests uint32 // guarded by links.mu
}

// dialing is a dial that some wait for.
type dialing struct {
	done chan struct{}
	err  error // set before done is closed
}

// take returns a connection with a place reserved on it, and whether it has been
// used before. Where there is none it dials, once for all who wait; a dial goes on
// where one of them leaves.
func (l *links) take(ctx context.Context) (k *link, used bool, err error) {
	for range maxDials {
		k, used, d := l.reserve() //nolint:contextcheck // a dial is for all who wait, and goes on where this one leaves
		switch {
		case k != nil:
			return k, used, nil
		case d == nil:
			k, err := l.alone(ctx)
			return k, false, err
		}
		select {
		case <-d.done:
			if d.err != nil {
				return nil, false, d.err
			}
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
	return nil, false, errors.New("no place on any of many new connections")
}

// maxDials bounds the dials that one request waits for, where a server accepts
// connections and no requests on them.
const maxDials = 16

// reserve takes a place on the first connection that has one, or says what dial to
// wait for: none after close.
func (l *links) reserve() (k *link, used bool, d *dialing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, false, nil
	}
	l.all = slices.DeleteFunc(l.all, func(k *link) bool { return k.conn.Err() != nil })
	for i, k := range l.all {
		if k.conn.Reserve() != nil {
			continue
		}
		k.requests++
		if l.most > 0 && k.requests >= l.most {
			l.all = slices.Delete(l.all, i, i+1)
			k.retire()
		}
		return k, k.requests > 1, nil
	}
	if l.dialing == nil {
		l.dialing = &dialing{done: make(chan struct{})}
		go l.connect(l.dialing)
	}
	return nil, false, l.dialing
}

func (l *links) connect(d *dialing) {
	ctx, cancel := context.WithTimeout(context.Background(), l.timeout)
	defer cancel()
	conn, err := l.dial(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dialing = nil
	d.err = err
	switch {
	case err != nil:
	case l.closed:
		_ = conn.Close() // whoever still waits dials alone
	default:
		l.opened.Inc()
		l.all = append(l.all, &link{conn: conn})
	}
	close(d.done)
}

// alone dials a connection for one request.
func (l *links) alone(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	conn, err := l.dial(ctx)
	if err != nil {
		return nil, err
	}
	l.opened.Inc()
	k := &link{conn: conn, requests: 1}
	if err := conn.Reserve(); err != nil {
		_ = conn.Close() // as it seems to have been
		return nil, err
	}
	k.retire()
	return k, nil
}

// close closes the connections as soon as they serve nothing, and keeps none from
// now on.
func (l *links) close() {
	l.mu.Lock()
	all := l.all
	l.all, l.closed = nil, true
	l.mu.Unlock()
	for _, k := range all {
		k.retire()
	}
}

// retire closes the connection when its last request has ended. One that GOAWAY has
// ended closes by itself.
func (k *link) retire() {
	k.conn.SetStateHook(func(c *http.ClientConn) {
		if c.InFlight() == 0 {
			_ = c.Close() // there is nobody to tell
		}
	})
	if k.conn.InFlight() == 0 {
		_ = k.conn.Close() // as above
	}
}

// dial makes connections that are counted while they are open. net/http takes TLS
// for cleartext: it has been spoken already.
func (t *Multiplexer) dial(d *door, open prometheus.Gauge) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		c := t.choice.take()
		if c == nil {
			var err error
			if c, err = d.dial(ctx, forHTTP2); err != nil {
				t.choice.forget()
				return nil, err
			}
		}
		open.Inc()
		return &countedConn{Conn: c, open: open}, nil
	}
}

type countedConn struct {
	net.Conn

	open   prometheus.Gauge
	closed atomic.Bool
}

// CloseWrite ends the sending side.
func (c *countedConn) CloseWrite() error {
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite() //nolint:forcetypeassert // TCP, or TLS over it
}

// Close closes the connection.
func (c *countedConn) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.open.Dec()
	}
	return c.Conn.Close()
}

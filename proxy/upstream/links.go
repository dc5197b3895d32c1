package upstream

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fridaymesh/friday/proxy/http2"
)

// links are the HTTP/2 connections to one address: requests share one, and another is
// made only where there is no place left on any.
type links struct {
	// Set once.
	dial    func(context.Context) (*http2.Conn, error)
	timeout time.Duration // of a dial
	most    uint32        // requests on a connection; 0: no limit
	longest time.Duration // of a connection's use; 0: no limit
	limits  *Limits
	opened  prometheus.Counter
	waiting prometheus.Gauge

	mu      sync.Mutex
	all     []*link
	dialing *dialing // nil where nobody does
	closed  bool

	freed freed
}

// freed tells that a place may have become free. Connections call it with their locks
// held, so it has one of its own.
type freed struct {
	mu sync.Mutex
	ch chan struct{} // nil: nobody waits
}

func (f *freed) wait() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ch == nil {
		f.ch = make(chan struct{})
	}
	return f.ch
}

func (f *freed) tell() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ch != nil {
		close(f.ch)
		f.ch = nil
	}
}

// link is one connection.
type link struct {
	conn     *http2.Conn
	born     time.Time
	requests uint32 // guarded by links.mu
}

// dialing is a dial that some wait for.
type dialing struct {
	done chan struct{}
	err  error // set before done is closed
}

// take returns a connection with a place reserved on it, and whether it has been
// used before. Where there is none it dials, once for all who wait; a dial goes on
// where one of them leaves. Where the limits allow no other connection it waits for a
// place.
func (l *links) take(ctx context.Context) (k *link, used bool, err error) {
	if k, used = l.reserve(); k != nil {
		return k, used, nil
	}
	if err := l.limits.wait(); err != nil {
		return nil, false, err
	}
	defer l.limits.waited()
	l.waiting.Inc()
	defer l.waiting.Dec()
	for dials := 0; dials < maxDials; {
		if l.isClosed() {
			k, err := l.alone(ctx)
			return k, false, err
		}
		free := l.limits.place()
		k, used, d, freed := l.wait() //nolint:contextcheck // a dial is for all who wait, and goes on where this one leaves
		if k != nil {
			return k, used, nil
		}
		var done chan struct{}
		if d != nil {
			dials++
			done = d.done
		}
		select {
		case <-done:
			if d.err != nil {
				return nil, false, d.err
			}
		case <-freed:
		case <-free: // perhaps another endpoint's
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
		if k, used = l.reserve(); k != nil {
			return k, used, nil
		}
	}
	return nil, false, errors.New("no place on any of many new connections")
}

// maxDials bounds the dials that one request waits for, where a server accepts
// connections and no requests on them.
const maxDials = 64

// reserve takes a place on the first connection that has one.
func (l *links) reserve() (k *link, used bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reserveLocked()
}

func (l *links) reserveLocked() (k *link, used bool) {
	if l.longest > 0 {
		l.all = slices.DeleteFunc(l.all, func(k *link) bool {
			if time.Since(k.born) < l.longest {
				return false
			}
			k.conn.Retire()
			return true
		})
	}
	for i, k := range l.all {
		if !k.conn.Reserve() {
			continue
		}
		k.requests++
		if l.most > 0 && k.requests >= l.most {
			l.all = slices.Delete(l.all, i, i+1)
			k.conn.Retire()
		}
		return k, k.requests > 1
	}
	return nil, false
}

func (l *links) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// wait says what to wait for: a dial that runs or begins, or none where the limits
// allow none, and a place's becoming free. But where a place is free by now it takes
// that: none is dialled for who needs none.
func (l *links) wait() (k *link, used bool, d *dialing, freed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	freed = l.freed.wait()
	if k, used = l.reserveLocked(); k != nil {
		return k, used, nil, nil
	}
	l.all = slices.DeleteFunc(l.all, func(k *link) bool { return !k.conn.Usable() })
	if l.dialing == nil && l.limits.connect(len(l.all) == 0) {
		l.dialing = &dialing{done: make(chan struct{})}
		go l.connect(l.dialing)
	}
	return nil, false, l.dialing, freed
}

// connect dials for all who wait. The limits have a place.
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
		conn.Retire() // whoever still waits dials alone
	default:
		l.opened.Inc()
		l.all = append(l.all, &link{conn: conn, born: time.Now()})
	}
	close(d.done)
}

// alone dials a connection for one request.
func (l *links) alone(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	l.limits.connect(true)
	conn, err := l.dial(ctx)
	if err != nil {
		return nil, err
	}
	l.opened.Inc()
	if !conn.Reserve() {
		conn.Close()
		return nil, http2.ErrClosed
	}
	conn.Retire()
	return &link{conn: conn, requests: 1}, nil
}

// close closes the connections as soon as they serve nothing, and keeps none from
// now on.
func (l *links) close() {
	l.mu.Lock()
	all := l.all
	l.all, l.closed = nil, true
	l.mu.Unlock()
	for _, k := range all {
		k.conn.Retire()
	}
	l.freed.tell()
}

// countedConn is counted while it is open.
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

package h2

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fridaymesh/friday/proxy/config"
)

// connKey finds the *conn in a request's context.
type connKey struct{}

// conn is a connection that tells when it has been closed, and counts the requests
// that run on: net/http lets go of a connection before its handlers have returned.
type conn struct {
	net.Conn

	begun time.Time
	once  sync.Once
	done  chan struct{}

	mu     sync.Mutex
	idle   sync.Cond // mu; running has become 0
	active int
	total  int // requests ever
	over   bool
}

func newConn(nc net.Conn) *conn {
	c := &conn{Conn: nc, begun: time.Now(), done: make(chan struct{})}
	c.idle.L = &c.mu
	return c
}

// Close closes the connection under whoever reads or writes.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { close(c.done) })
	return err
}

// begin counts a request; false where nobody waits for it any more.
func (c *conn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return false
	}
	c.active++
	c.total++
	return true
}

// last says whether the connection takes no more requests.
func (c *conn) last(l *config.Limits) bool {
	if l.MaxConnectionDuration < config.Unlimited && time.Since(c.begun) > l.MaxConnectionDuration {
		return true
	}
	if l.MaxRequestsPerConnection == 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total >= l.MaxRequestsPerConnection
}

// expire closes the connection where it serves nothing.
func (c *conn) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.active == 0 {
		_ = c.Close() // it may well be closed already
	}
}

func (c *conn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.active--; c.active == 0 {
		c.idle.Broadcast()
	}
}

// wait returns when no request runs; none begins any more.
func (c *conn) wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.active > 0 {
		c.idle.Wait()
	}
	c.over = true
}

// only is a listener that has one connection to give.
type only struct {
	c     *conn
	taken atomic.Bool

	once   sync.Once
	closed chan struct{}
}

var _ net.Listener = (*only)(nil)

// Accept returns the connection once, and then waits for its end.
func (l *only) Accept() (net.Conn, error) {
	if l.taken.CompareAndSwap(false, true) {
		return l.c, nil
	}
	select {
	case <-l.c.done:
	case <-l.closed:
	}
	return nil, io.EOF
}

// Close ends the wait.
func (l *only) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is the connection's own end.
func (l *only) Addr() net.Addr { return l.c.LocalAddr() }

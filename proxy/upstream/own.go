package upstream

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// Own knows the connections that this process has made to endpoints. Where the kernel
// redirects one back to it, the two ends have the same addresses; so it is told from a
// caller's without anything being added to what is sent. It is safe for concurrent use;
// a nil Own knows nothing.
type Own struct {
	mu sync.Mutex
	// open are how many there are from an address to another; an address may be
	// connected from twice for a moment, when one is just being closed.
	open map[ends]int
	// dialing are closed as the dials to an address end.
	dialing map[netip.AddrPort][]chan struct{}
}

// ends are where a connection comes from and where it was meant to go.
type ends struct{ from, to netip.AddrPort }

// NewOwn makes an Own.
func NewOwn() *Own {
	return &Own{open: make(map[ends]int), dialing: make(map[netip.AddrPort][]chan struct{})}
}

// Has says whether the connection that comes from one address and was meant to go to
// another is this process's own. The kernel may hand it over before the dial that made
// it has returned; so, where it comes from this machine, the dials to that address that
// run are waited for, or ctx.
func (o *Own) Has(ctx context.Context, from, to netip.AddrPort) bool {
	if o == nil {
		return false
	}
	e := ends{from, to}
	o.mu.Lock()
	has := o.open[e] > 0
	var running []chan struct{}
	if !has && (from.Addr().IsLoopback() || from.Addr() == to.Addr()) {
		running = slices.Clone(o.dialing[to])
	}
	o.mu.Unlock()
	for _, done := range running {
		select {
		case <-done:
		case <-ctx.Done():
			return false
		}
	}
	if len(running) > 0 {
		o.mu.Lock()
		has = o.open[e] > 0
		o.mu.Unlock()
	}
	return has
}

// dial dials, and knows what comes of it until it is closed.
func (o *Own) dial(ctx context.Context, d *net.Dialer, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if o == nil || err != nil { // a name is nothing that the kernel redirects for us alone
		return d.DialContext(ctx, "tcp", address)
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	done := make(chan struct{})
	o.mu.Lock()
	o.dialing[to] = append(o.dialing[to], done)
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		close(done)
		left := slices.DeleteFunc(o.dialing[to], func(c chan struct{}) bool { return c == done })
		if len(left) == 0 {
			delete(o.dialing, to)
			return
		}
		o.dialing[to] = left
	}()
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	tc, ok := nc.(*net.TCPConn)
	local, tcp := nc.LocalAddr().(*net.TCPAddr)
	if !ok || !tcp {
		return nc, nil
	}
	from := local.AddrPort()
	c := &ownConn{TCPConn: tc, own: o, ends: ends{netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), to}}
	o.mu.Lock()
	o.open[c.ends]++
	o.mu.Unlock()
	return c, nil
}

// ownConn is forgotten when it is closed.
type ownConn struct {
	*net.TCPConn

	own  *Own
	ends ends
	once sync.Once
}

// Close closes the connection. It is forgotten before the kernel may give its address
// to somebody else.
func (c *ownConn) Close() error {
	c.once.Do(func() {
		c.own.mu.Lock()
		defer c.own.mu.Unlock()
		if c.own.open[c.ends]--; c.own.open[c.ends] <= 0 {
			delete(c.own.open, c.ends)
		}
	})
	return c.TCPConn.Close()
}

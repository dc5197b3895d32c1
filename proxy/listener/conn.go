package listener

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// roomAhead is the longest prefix that Begins looks for, HTTP/2's preface, and the
// room for it; an inspection makes more.
const roomAhead = 24

// Conn is a downstream connection that tells when its peer has gone.
type Conn struct {
	net.Conn

	id uint64 // set once, by Watch

	// Set before it is served: what the peer and the kernel say of where it comes from
	// and was meant to go, nil where nothing else than the socket; the latter as text;
	// and the connection that this one is TLS over.
	remote, local net.Addr
	original      string
	looped        bool // it is this process's own, redirected to it
	under         *Conn
	state         *tls.ConnectionState

	// The reader's: what has been read ahead.
	room  [roomAhead]byte
	ahead []byte
	used  int

	// The writer's: the next Write is to be held; what is held.
	hold bool
	held []byte

	mu     sync.Mutex
	gone   bool
	onGone func()
}

// RemoteAddr is the caller's address, which is the peer's but with the PROXY
// protocol.
func (c *Conn) RemoteAddr() net.Addr {
	if c.remote != nil {
		return c.remote
	}
	return c.Conn.RemoteAddr()
}

// LocalAddr is the address that the caller called, which is the socket's but for a
// connection that was redirected.
func (c *Conn) LocalAddr() net.Addr {
	if c.local != nil {
		return c.local
	}
	return c.Conn.LocalAddr()
}

// OriginalDestination is where a connection that was redirected was meant to go, as
// host:port; empty for one that was not.
func (c *Conn) OriginalDestination() string { return c.original }

// Looped says that this is a connection of this process itself that was redirected
// back to it.
func (c *Conn) Looped() bool { return c.looped }

// SetLooped says so. It is called before the connection is served.
func (c *Conn) SetLooped() { c.looped = true }

// Secured is t, which is TLS over c, as a Conn.
func (c *Conn) Secured(t *tls.Conn) *Conn {
	state := t.ConnectionState()
	return &Conn{Conn: t, remote: c.remote, local: c.local, original: c.original, looped: c.looped, under: c, state: &state}
}

// TLS is the state after the handshake; nil in cleartext.
func (c *Conn) TLS() *tls.ConnectionState { return c.state }

// Begins says whether the connection begins with prefix, of 1 to 24 bytes. It waits
// for the first byte, at most for first, and returns an error where there is none;
// for more it waits, at most for rest, only as long as all that has come agrees with
// prefix. What has been read is read again. It is called before the first Read.
func (c *Conn) Begins(prefix string, first, rest time.Duration) (bool, error) {
	if len(c.ahead) == 0 {
		if err := c.SetReadDeadline(time.Now().Add(first)); err != nil {
			return false, err
		}
		if err := c.more(len(prefix)); err != nil {
			return false, err
		}
	}
	waiting := false
	for {
		n := min(len(c.ahead), len(prefix))
		switch {
		case string(c.ahead[:n]) != prefix[:n]:
			return false, nil
		case n == len(prefix):
			return true, nil
		case !waiting:
			waiting = true
			if err := c.SetReadDeadline(time.Now().Add(rest)); err != nil {
				return false, err
			}
		}
		if c.more(len(prefix)-n) != nil {
			return false, nil //nolint:nilerr // whoever reads on meets it
		}
	}
}

// more reads ahead what comes, at most n bytes. It returns an error only where nothing
// came.
func (c *Conn) more(n int) error {
	if c.ahead == nil {
		c.ahead = c.room[:0]
	}
	have := len(c.ahead)
	if cap(c.ahead) < have+n {
		grown := make([]byte, have, max(2*have, have+n))
		copy(grown, c.ahead)
		c.ahead = grown
	}
	got, err := c.Conn.Read(c.ahead[have : have+n])
	c.ahead = c.ahead[:have+got]
	if got > 0 {
		return nil
	}
	return err
}

// drop takes n bytes out of what has been read ahead.
func (c *Conn) drop(n int) { c.ahead = c.ahead[:copy(c.ahead, c.ahead[n:])] }

// Read returns what has been read ahead, and then what comes.
func (c *Conn) Read(p []byte) (int, error) {
	if c.used < len(c.ahead) && len(p) > 0 {
		n := copy(p, c.ahead[c.used:])
		if c.used += n; c.used == len(c.ahead) && cap(c.ahead) > roomAhead {
			c.ahead, c.used = nil, 0 // it may be large, and the connection old
		}
		return n, nil
	}
	return c.Conn.Read(p)
}

// Wrapped is what is written to: a socket, or TLS.
func (c *Conn) Wrapped() net.Conn { return c.Conn }

// CloseWrite sends no more; what the peer sends can still be read.
func (c *Conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Hold has the next Write wait for the one after it, so that one packet carries both:
// the last piece of an answer and its end. There must be one after it.
func (c *Conn) Hold() { c.hold = true }

// Write writes p, unless it is to be held.
func (c *Conn) Write(p []byte) (int, error) {
	if !c.hold && len(c.held) == 0 {
		return c.Conn.Write(p)
	}
	before := len(c.held)
	c.held = append(c.held, p...)
	if c.hold {
		c.hold = false
		return len(p), nil
	}
	n, err := c.Conn.Write(c.held)
	c.held = nil
	return max(n-before, 0), err
}

// OnGone has f called, once, when the peer closes or resets the connection, also
// where that has happened already; nil takes it back. A peer that shuts down
// only its sending side counts as gone, as with Envoy and net/http: HTTP/1.1
// clients do not do that while they wait for an answer. f must not block.
func (c *Conn) OnGone(f func()) {
	if c.under != nil {
		c.under.OnGone(f)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onGone = f
	if c.gone && f != nil {
		f()
	}
}

func (c *Conn) setGone() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return
	}
	c.gone = true
	if c.onGone != nil {
		c.onGone()
	}
}

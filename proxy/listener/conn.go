package listener

import (
	"net"
	"sync"
	"time"
)

// Conn is a downstream connection that tells when its peer has gone.
type Conn struct {
	net.Conn

	id uint64 // set once, by Watch

	// The reader's: a byte that Await has read ahead.
	first [1]byte
	ahead bool

	mu     sync.Mutex
	gone   bool
	onGone func()
}

// Await waits for the first byte of the connection, at most for limit. It is called
// before the first Read.
func (c *Conn) Await(limit time.Duration) error {
	if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	n, err := c.Conn.Read(c.first[:])
	c.ahead = n == 1
	return err
}

// Read returns the byte that Await has read, and then what comes.
func (c *Conn) Read(p []byte) (int, error) {
	if c.ahead && len(p) > 0 {
		c.ahead = false
		return copy(p, c.first[:]), nil
	}
	return c.Conn.Read(p)
}

// OnGone has f called, once, when the peer closes or resets the connection, also
// where that has happened already; nil takes it back. A peer that shuts down
// only its sending side counts as gone, as with Envoy and net/http: HTTP/1.1
// clients do not do that while they wait for an answer. f must not block.
func (c *Conn) OnGone(f func()) {
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

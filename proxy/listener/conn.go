package listener

import (
	"net"
	"sync"
)

// Conn is a downstream connection that tells when its peer has gone.
type Conn struct {
	net.Conn

	id uint64 // set once, by Watch

	mu     sync.Mutex
	gone   bool
	onGone func()
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

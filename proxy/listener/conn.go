package listener

import (
	"net"
	"sync"
	"time"
)

// maxAhead is the longest prefix that Begins looks for: HTTP/2's preface.
const maxAhead = 24

// Conn is a downstream connection that tells when its peer has gone.
type Conn struct {
	net.Conn

	id uint64 // set once, by Watch

	// The reader's: what Begins has read ahead.
	ahead      [maxAhead]byte
	have, used int

	// The writer's: the next Write is to be held; what is held.
	hold bool
	held []byte

	mu     sync.Mutex
	gone   bool
	onGone func()
}

// Begins says whether the connection begins with prefix, of 1 to 24 bytes. It waits
// for the first byte, at most for first, and returns an error where there is none;
// for more it waits, at most for rest, only as long as all that has come agrees with
// prefix. What has been read is read again. It is called before the first Read.
func (c *Conn) Begins(prefix string, first, rest time.Duration) (bool, error) {
	if err := c.SetReadDeadline(time.Now().Add(first)); err != nil {
		return false, err
	}
	for {
		n, err := c.Conn.Read(c.ahead[c.have:len(prefix)])
		fresh := c.have == 0
		c.have += n
		switch {
		case c.have == 0 && err != nil:
			return false, err
		case string(c.ahead[:c.have]) != prefix[:c.have]:
			return false, nil
		case c.have == len(prefix):
			return true, nil
		case err != nil:
			return false, nil //nolint:nilerr // whoever reads on meets it
		case fresh:
			if err := c.SetReadDeadline(time.Now().Add(rest)); err != nil {
				return false, err
			}
		}
	}
}

// Read returns what Begins has read, and then what comes.
func (c *Conn) Read(p []byte) (int, error) {
	if c.used < c.have && len(p) > 0 {
		n := copy(p, c.ahead[c.used:c.have])
		c.used += n
		return n, nil
	}
	return c.Conn.Read(p)
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

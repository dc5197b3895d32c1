package upstream

import (
	"sync"
	"time"
)

// pool keeps idle connections, the warmest on top: under light load few are
// used and the rest age out. A timer runs only while there is one to age.
type pool struct {
	idleTimeout time.Duration // set once

	mu     sync.Mutex
	idle   []*conn // by idleSince
	reaper *time.Timer
	armed  bool // the reaper will come
	closed bool
}

// get returns a connection that can be used, or nil.
func (p *pool) get() *conn {
	for {
		c := p.pop()
		if c == nil || c.alive() {
			return c
		}
		c.close()
	}
}

func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle) - 1
	if n < 0 {
		return nil
	}
	c := p.idle[n]
	p.idle[n] = nil
	p.idle = p.idle[:n]
	if time.Since(c.idleSince) >= p.idleTimeout {
		// The warmest is too old, so all are; the reaper is only late.
		p.idle = append(p.idle, c)
		p.dropLocked(len(p.idle))
		return nil
	}
	return c
}

func (p *pool) put(c *conn) {
	c.idleSince = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.close()
		return
	}
	p.idle = append(p.idle, c)
	if !p.armed {
		p.armLocked()
	}
}

// reap drops what has been idle for too long and comes back for the rest.
func (p *pool) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.idle) && time.Since(p.idle[n].idleSince) >= p.idleTimeout {
		n++
	}
	p.dropLocked(n)
	p.armed = false
	if len(p.idle) > 0 && !p.closed {
		p.armLocked()
	}
}

// armLocked has the reaper come when the oldest will be too old. It is not put off
// while connections come and go: it comes once in an idle timeout at most.
func (p *pool) armLocked() {
	p.armed = true
	d := p.idleTimeout - time.Since(p.idle[0].idleSince)
	if p.reaper == nil {
		p.reaper = time.AfterFunc(d, p.reap)
		return
	}
	p.reaper.Reset(d)
}

// dropLocked closes the n oldest.
func (p *pool) dropLocked(n int) {
	for _, c := range p.idle[:n] {
		c.close()
	}
	p.idle = append(p.idle[:0], p.idle[n:]...)
	clear(p.idle[len(p.idle):cap(p.idle)])
}

// flush closes the idle connections.
func (p *pool) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropLocked(len(p.idle))
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.dropLocked(len(p.idle))
	if p.reaper != nil {
		p.reaper.Stop()
	}
}

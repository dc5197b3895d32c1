package upstream

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// pool keeps idle connections, the warmest on top: under light load few are
// used and the rest age out. A timer runs only while there is one to age.
type pool struct {
	limits *Limits      // set once
	open   atomic.Int64 // connections, those that are being made too

	mu     sync.Mutex
	life   life
	idle   []*conn // by idleSince
	reaper *time.Timer
	armed  bool // the reaper will come
	closed bool

	queue queue
}

// get returns a connection that can be used, or nil.
func (p *pool) get() *conn {
	for {
		c := p.pop()
		if c == nil || c.alive() {
			return c
		}
		p.ended(c)
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
	if time.Since(c.idleSince) >= p.life.usable() {
		return nil // the warmest is too old, so all are
	}
	p.idle[n] = nil
	p.idle = p.idle[:n]
	return c
}

// place takes a new connection's place; false where the limits have none.
func (p *pool) place() bool {
	for {
		n := p.open.Load()
		if !p.limits.connect(n == 0) {
			if !p.dropOldest() {
				return false
			}
			continue
		}
		if p.open.CompareAndSwap(n, n+1) {
			return true
		}
		p.limits.disconnect()
	}
}

// gone gives the place back.
func (p *pool) gone() {
	p.open.Add(-1)
	p.limits.disconnect()
	p.queue.hand(nil)
}

// dropOldest makes room by closing a connection that is too old to be used.
func (p *pool) dropOldest() bool {
	p.mu.Lock()
	if len(p.idle) == 0 || time.Since(p.idle[0].idleSince) < p.life.usable() {
		p.mu.Unlock()
		return false
	}
	c := p.idle[0]
	p.idle = append(p.idle[:0], p.idle[1:]...)
	clear(p.idle[len(p.idle):cap(p.idle)])
	p.mu.Unlock()
	c.close()
	return true
}

// wait returns a connection that somebody else has let go of, or nil with a place
// for a new one.
func (p *pool) wait(ctx context.Context) (*conn, error) {
	w := &waiter{ready: make(chan *conn, 1)}
	for first := true; ; first = false {
		// What becomes free from here on is handed over; what became free before is seen.
		p.queue.enter(w, first)
		free := p.limits.place()
		c, placed := p.get(), false
		if c == nil {
			placed = p.place()
		}
		if c != nil || placed {
			p.leave(w)
			return c, nil
		}
		select {
		case c := <-w.ready:
			if c != nil {
				return c, nil
			}
		case <-free: // perhaps another endpoint's
			if !p.queue.leave(w) {
				if c := <-w.ready; c != nil {
					return c, nil
				}
			}
		case <-ctx.Done():
			p.leave(w)
			return nil, ctx.Err()
		}
	}
}

// leave takes w out of the queue, and hands on what it was handed.
func (p *pool) leave(w *waiter) {
	if p.queue.leave(w) {
		return
	}
	if c := <-w.ready; c != nil {
		p.put(c)
		return
	}
	p.queue.hand(nil)
}

func (p *pool) put(c *conn) {
	c.idleSince, c.waited = time.Now(), true
	if p.queue.hand(c) {
		return
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		c.close()
		return
	}
	p.idle = append(p.idle, c)
	if !p.armed {
		p.armLocked(c.idleSince)
	}
	p.mu.Unlock()
	if p.queue.waiting.Load() > 0 {
		// Somebody came between the two looks.
		if c := p.get(); c != nil {
			p.put(c)
		}
	}
}

const (
	// lookEvery is how often, and watched at how many connections, the reaper looks, to
	// see at what age a server closes them. The oldest are looked at: they stay.
	lookEvery = 100 * time.Millisecond
	watched   = 16
)

// reap drops what has been idle for too long, looks at what is left, and comes back.
func (p *pool) reap() {
	p.mu.Lock()
	now := time.Now()
	p.life.forget(now)
	keep := p.life.keep()
	var dropped []*conn
	rest := p.idle[:0]
	for i, c := range p.idle {
		switch {
		case now.Sub(c.idleSince) >= keep:
			dropped = append(dropped, c)
		case i < watched && !c.alive():
			p.life.see(now, c.agedAt(now))
			dropped = append(dropped, c)
		default:
			if i < watched {
				c.lookedAt = now
			}
			rest = append(rest, c)
		}
	}
	clear(p.idle[len(rest):])
	p.idle = rest
	p.armed = false
	if len(p.idle) > 0 && !p.closed {
		p.armLocked(now)
	}
	p.mu.Unlock()
	for _, c := range dropped {
		c.close()
	}
}

// armLocked has the reaper come. It is not put off while connections come and go.
func (p *pool) armLocked(now time.Time) {
	p.armed = true
	d := min(lookEvery, max(0, p.life.keep()-now.Sub(p.idle[0].idleSince)))
	if p.reaper == nil {
		p.reaper = time.AfterFunc(d, p.reap)
		return
	}
	p.reaper.Reset(d)
}

// ended notes that an idle connection was found to have ended.
func (p *pool) ended(c *conn) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life.see(now, c.agedAt(now))
}

// tell notes what the server says of how long it keeps connections.
func (p *pool) tell(seconds int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life.tell(seconds)
}

// count is how many are idle, and how many of those can be used.
func (p *pool) count(now time.Time) (idle, ready int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	usable := p.life.usable()
	for i := len(p.idle) - 1; i >= 0 && now.Sub(p.idle[i].idleSince) < usable; i-- {
		ready++
	}
	return len(p.idle), ready
}

// flush closes the idle connections.
func (p *pool) flush() {
	p.mu.Lock()
	all := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, c := range all {
		c.close()
	}
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	if p.reaper != nil {
		p.reaper.Stop()
	}
	p.mu.Unlock()
	p.flush()
}

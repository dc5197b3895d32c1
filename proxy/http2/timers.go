package http2

import (
	"time"

	"golang.org/x/net/http2"
)

// timers are the connection's, guarded by its mu. They are not put off while there is
// work: each looks when it comes, and comes again.
type timers struct {
	idle, keepalive, goodbye, linger *time.Timer
	asked                            bool // a ping is on its way
}

func (c *Conn) startTimers() {
	if d := c.config.IdleTimeout; d > 0 {
		c.timers.idle = time.AfterFunc(d, c.lookIdle)
	}
	if d := c.config.Keepalive.Interval; d > 0 {
		c.timers.keepalive = time.AfterFunc(d, c.lookAlive)
	}
}

func (c *Conn) stopTimers() {
	for _, t := range []*time.Timer{c.timers.idle, c.timers.keepalive, c.timers.goodbye, c.timers.linger} {
		if t != nil {
			t.Stop()
		}
	}
}

// lookIdle ends a connection that has had no stream for long enough. A server says
// goodbye: a request may be on its way.
func (c *Conn) lookIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	left := c.config.IdleTimeout
	if len(c.streams) == 0 && c.reserved == 0 {
		left -= time.Since(c.idleSince)
	}
	if left > 0 {
		c.timers.idle.Reset(left)
		return
	}
	if !c.client() {
		c.shutdown()
		return
	}
	c.abandon(http2.ErrCodeNo, ErrIdle)
}

// alivePing asks whether the peer is there.
var alivePing = [8]byte{'f', 'r', 'i', 'd', 'a', 'y', '?', '?'} //nolint:gochecknoglobals // immutable

// lookAlive asks a silent peer, and gives up one that has not answered.
func (c *Conn) lookAlive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	k := c.config.Keepalive
	silent := time.Since(c.lastRead)
	switch {
	case silent < k.Interval:
		c.timers.asked = false
		c.timers.keepalive.Reset(k.Interval - silent)
	case !c.timers.asked:
		c.timers.asked = true
		_ = c.fw.WritePing(false, alivePing) // into memory
		c.timers.keepalive.Reset(k.Timeout)
		c.flush()
	default:
		c.fail(ErrSilent)
	}
}

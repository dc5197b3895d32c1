package http2

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// highWater is how much may wait to be sent before data waits, too.
	highWater = 256 << 10
	// maxControl is how much more may wait, of what is not data.
	maxControl = 1 << 20
	// rounds is how often who flushes does so for others before it leaves that to a
	// goroutine.
	rounds = 3
	// keepBuffer is the largest buffer that is kept.
	keepBuffer = 64 << 10
)

// flush sends what was appended, or leaves it to whoever is sending. It lets go of
// c.mu meanwhile. REQUIRES c.mu.
func (c *Conn) flush() {
	if c.flushing || c.err != nil {
		if len(c.out) > highWater+maxControl {
			c.fail(errFlooded)
		}
		return
	}
	c.flushing = true
	for n := 0; len(c.out) > 0 && c.err == nil; n++ {
		if n == rounds || c.raw == nil {
			go c.flushOn(nil)
			return
		}
		buf := c.swap()
		c.mu.Unlock()
		sent, err := c.try(buf)
		c.mu.Lock()
		if err != nil {
			c.fail(err)
			break
		}
		if sent < len(buf) {
			go c.flushOn(buf[sent:])
			return
		}
		c.flushed(buf)
	}
	c.flushing = false
	c.finish()
}

// flushOn sends on, and may wait for the socket.
func (c *Conn) flushOn(buf []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.err == nil {
		if len(buf) == 0 {
			if len(c.out) == 0 {
				break
			}
			buf = c.swap()
		}
		c.mu.Unlock()
		_, err := c.nc.Write(buf)
		c.mu.Lock()
		if err != nil {
			c.fail(err)
			break
		}
		c.flushed(buf)
		buf = nil
	}
	c.flushing = false
	c.finish()
}

func (c *Conn) swap() []byte {
	buf := c.out
	c.out, c.spare = c.spare[:0], nil
	return buf
}

// flushed takes a buffer back and wakes who waits for room.
func (c *Conn) flushed(buf []byte) {
	if cap(buf) <= keepBuffer {
		c.spare = buf[:0]
	}
	if c.blocked > 0 {
		c.wakeSenders()
	}
}

// try sends what the socket takes at once.
func (c *Conn) try(buf []byte) (int, error) {
	c.trying, c.tried, c.tryErr = buf, 0, nil
	err := c.raw.Write(c.tryOnce)
	c.trying = nil
	if err == nil {
		err = c.tryErr
	}
	return c.tried, err
}

// tryOnce is for the runtime: it never asks to be called again.
func (c *Conn) tryOnce(fd uintptr) bool {
	n, err := syscall.Write(int(fd), c.trying)
	if n > 0 {
		c.tried = n
	}
	if err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR) {
		c.tryErr = fmt.Errorf("write: %w", err)
	}
	return true
}

// headers appends a head or trailers. REQUIRES c.mu.
func (c *Conn) headers(id uint32, fields []hpack.HeaderField, end bool) {
	c.block.Reset()
	for _, f := range fields {
		_ = c.enc.WriteField(f) // into memory
	}
	block := c.block.Bytes()
	first := block[:min(len(block), c.peerFrame)]
	block = block[len(first):]
	_ = c.fw.WriteHeaders(http2.HeadersFrameParam{ // as above
		StreamID: id, BlockFragment: first, EndStream: end, EndHeaders: len(block) == 0,
	})
	for len(block) > 0 {
		part := block[:min(len(block), c.peerFrame)]
		block = block[len(part):]
		_ = c.fw.WriteContinuation(id, len(block) == 0, part) // as above
	}
}

func (c *Conn) wakeSenders() {
	for _, s := range c.streams {
		s.send.Broadcast()
	}
}

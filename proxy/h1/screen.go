package h1

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
)

// screen is a caller's connection on which only requests arrive whose framing
// leaves no doubt (RFC 9112).
//
// Problem: a request that two readers take apart differently is two requests to
// one of them. fasthttp forgives what the RFC lets a recipient forgive (bare line
// feeds, folded lines, both lengths at once), and the server behind Friday may
// forgive something else.
//
// Ways not taken: reading whole heads before fasthttp does, which copies each; a
// check of what fasthttp has parsed, which no longer shows how it was written.
//
// Way taken: every Read is looked at in place, line by line, before fasthttp sees
// it: head, body or chunks, and the next head. The bytes are not changed and not
// held. Where a line is wrong, the Read ends just before that line's end, with the
// error: what came before is served, and the request that holds the line never
// becomes one. So fasthttp reads only what both agree on.
type screen struct {
	net.Conn

	// Set once.
	limits config.Limits

	// The reader's.
	state state
	line  []byte // the beginning of a line whose end has not come yet
	left  int64  // of the body, or of the chunk
	spent int    // by the framing of chunks, above what is usual
	head  head
	held  []byte // what came behind a request that asks for another protocol
	asks  bool   // that request is the last that was read
	raw   bool   // the protocol is another one
	err   error

	expired atomic.Bool // it ends after the next answer
}

// state is what the next byte belongs to.
type state uint8

const (
	inStart state = iota // before a request's first line
	inHead
	inBody
	inChunkSize
	inChunk
	inChunkEnd
	inTrailer
)

func newScreen(c net.Conn, l config.Limits) *screen { return &screen{Conn: c, limits: l} }

// Read returns what has come, as far as it is in order. After a request that asks
// for another protocol (Upgrade, CONNECT) it stops: whether what follows is a
// request is known only when that is answered; see Through.
func (c *screen) Read(p []byte) (n int, err error) {
	switch {
	case c.err != nil:
		return 0, c.err
	case len(c.held) > 0 && len(p) > 0:
		n = copy(p, c.held)
		if c.held = c.held[n:]; len(c.held) == 0 {
			c.held = nil
		}
	default:
		n, err = c.Conn.Read(p)
	}
	if c.raw {
		return n, err
	}
	c.asks = false
	good, bad := c.pass(p[:n])
	if bad != nil {
		c.err = bad
		return good, bad
	}
	if good < n { // behind a request that asks for another protocol
		c.held = append(bytes.Clone(p[good:n]), c.held...)
	}
	return good, err
}

// settled says whether every byte of the requests that were begun has come.
func (c *screen) settled() bool { return c.state == inStart && len(c.line) == 0 }

// writePiece is how much of an answer goes out under one deadline.
const writePiece = 256 << 10

// Write gives the caller as long as the stream may be idle to take each piece.
func (c *screen) Write(p []byte) (n int, err error) {
	if c.limits.StreamIdleTimeout >= config.Unlimited {
		return c.Conn.Write(p)
	}
	for {
		if err := c.SetWriteDeadline(time.Now().Add(c.limits.StreamIdleTimeout)); err != nil {
			return n, err
		}
		m, err := c.Conn.Write(p[n:min(n+writePiece, len(p))])
		if n += m; err != nil || n == len(p) {
			return n, err
		}
	}
}

// Through lets everything pass from now on: the answer has changed the protocol.
func (c *screen) Through() { c.raw = true }

// Hold is the connection's.
func (c *screen) Hold() {
	if h, ok := c.Conn.(holder); ok {
		h.Hold()
	}
}

// OnGone is the connection's.
func (c *screen) OnGone(f func()) {
	if t, ok := c.Conn.(goneTeller); ok {
		t.OnGone(f)
	}
}

// pass goes over b, and returns how much of it may be read, and why no more.
func (c *screen) pass(b []byte) (int, error) {
	for i := 0; i < len(b); {
		switch c.state {
		case inBody, inChunk:
			n := min(int64(len(b)-i), c.left)
			c.left -= n
			i += int(n)
			if c.left > 0 {
				continue
			}
			if c.state == inBody {
				c.state = inStart
			} else {
				c.state = inChunkEnd
			}
		default:
			n := bytes.IndexByte(b[i:], '\n')
			if n < 0 {
				if err := c.begins(b[i:]); err != nil {
					return i, err
				}
				return len(b), nil
			}
			line := b[i : i+n]
			if len(c.line) > 0 {
				c.line = append(c.line, line...)
				line = c.line
			}
			if err := c.take(line); err != nil {
				return i + n, err
			}
			c.line = c.line[:0]
			i += n + 1
			if c.asks && c.state != inHead {
				return i, nil
			}
		}
	}
	return len(b), nil
}

// begins keeps the beginning of a line. Those of a head end with fasthttp's buffer;
// between chunks it reads on for as long as something comes.
func (c *screen) begins(b []byte) error {
	if c.line = append(c.line, b...); len(c.line) <= maxChunkLine {
		return nil
	}
	switch c.state {
	case inChunkSize:
		return malformed("bad chunk size")
	case inChunkEnd:
		return malformed("a chunk is longer than its size")
	default:
		return nil
	}
}

// take takes a line, without its line feed.
func (c *screen) take(line []byte) error {
	if len(line) == 0 || line[len(line)-1] != '\r' {
		return malformed("a line ends without a carriage return")
	}
	line = line[:len(line)-1]
	switch c.state {
	case inStart:
		if len(line) == 0 { // RFC 9112 section 2.2
			return nil
		}
		c.head = head{}
		c.state = inHead
		return c.head.first(line)
	case inHead:
		if len(line) > 0 {
			return c.head.field(line, &c.limits)
		}
		if err := c.head.end(); err != nil {
			return err
		}
		c.asks = c.head.asks
		c.frame()
		return nil
	case inTrailer:
		if len(line) > 0 {
			return c.head.trailer(line, &c.limits)
		}
		c.state = inStart
		return nil
	case inChunkSize:
		return c.chunk(line)
	default: // inChunkEnd
		if len(line) > 0 {
			return malformed("a chunk is longer than its size")
		}
		c.state = inChunkSize
		return nil
	}
}

// frame begins the body that the head has announced.
func (c *screen) frame() {
	c.spent = 0
	switch {
	case c.head.chunked:
		c.state = inChunkSize
	case c.head.length > 0:
		c.state, c.left = inBody, c.head.length
	default:
		c.state = inStart
	}
}

const (
	// maxChunkLine is the longest line that a chunk begins with, extensions
	// included, and maxSpent what all of them may have above 16 bytes and a
	// sixteenth of their chunk: more is only there to cost.
	maxChunkLine = 4 << 10
	maxSpent     = 16 << 10
)

// chunk takes the line that a chunk begins with (RFC 9112 section 7.1).
func (c *screen) chunk(line []byte) error {
	size, n := int64(0), 0
	for n < len(line) && n < 16 && isHex(line[n]) {
		size = size<<4 | int64(fromHex(line[n]))
		n++
	}
	switch {
	case n == 0 || n == 16 || len(line) > maxChunkLine:
		return malformed("bad chunk size")
	case n < len(line) && line[n] != ';':
		return malformed("bad chunk size")
	case !valid(line[n:]):
		return malformed("bad chunk extension")
	}
	if c.spent += len(line) + 2 - 16 - int(min(size/16, maxSpent)); c.spent < 0 {
		c.spent = 0
	}
	if c.spent > maxSpent {
		return malformed("more framing of chunks than chunks")
	}
	c.state, c.left = inChunk, size
	if size == 0 {
		c.state = inTrailer
	}
	return nil
}

// Close closes the connection. Where a request has not been read to its end the
// kernel would reset it, and the caller perhaps lose the answer: so the end is told
// first, and what still comes is read for a moment (RFC 9112 section 9.6).
func (c *screen) Close() error {
	if (c.err != nil || c.state != inStart) && !c.raw && c.limits.DelayedCloseTimeout > 0 {
		if w, ok := c.Conn.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil &&
			c.SetReadDeadline(time.Now().Add(c.limits.DelayedCloseTimeout)) == nil {
			_, _ = io.CopyN(io.Discard, c.Conn, maxLinger) // it ends, one way or another
		}
	}
	return c.Conn.Close()
}

// maxLinger is how much is read from a caller who goes on sending.
const maxLinger = 1 << 20

// malformed is why a request is refused.
func malformed(why string) *proxy.Error {
	return &proxy.Error{
		Status: fasthttp.StatusBadRequest, Flag: proxy.FlagDownstreamProtocol, Message: "Bad Request", Err: refusal(why),
	}
}

// refusal is the rule that a request breaks, for the log.
type refusal string

func (r refusal) Error() string { return string(r) }

package http2

import (
	"io"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Stream is one request and its answer. Reading and writing are for one goroutine
// each; Reset may be called at any time by anybody.
type Stream struct {
	c  *Conn
	id uint32

	// Guarded by the connection's mu.
	recv, send sync.Cond // something has come; there is room to send

	head, trailer []hpack.HeaderField
	hints         [][]hpack.HeaderField // informational answers
	truncated     bool                  // the head was too long
	declared, got int64
	bodyless      bool // whatever the head declares
	in            []byte
	off           int
	recvEnded     bool
	err           error // of receiving
	recvWindow    int64
	unacked       int64

	sendWindow int64
	sentEnd    bool
	sendErr    error

	fresh    bool // accepted, and not handed over yet
	accepted bool
	answered bool // its answer has begun
	onGone   func()
	waking   bool // it is among woken
}

func (c *Conn) newStream(id uint32) *Stream {
	s := &Stream{c: c, id: id, declared: -1, sendWindow: int64(c.peerWindow), recvWindow: int64(c.config.StreamWindow)}
	s.recv.L, s.send.L = &c.mu, &c.mu
	c.streams[id] = s
	return s
}

// Reserve takes the place of a stream to be opened; false where the peer allows no
// more just now, or never.
func (c *Conn) Reserve() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.gone || c.retired || uint64(len(c.streams))+uint64(c.reserved) >= uint64(c.peerStreams) ||
		c.last >= maxWindow-2*(c.reserved+1) {
		return false
	}
	c.reserved++
	return true
}

// Unreserve gives a place back.
func (c *Conn) Unreserve() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reserved--
	if c.onPlace != nil {
		c.onPlace()
	}
	c.settle()
}

// Usable says whether streams can be opened, now or later.
func (c *Conn) Usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err == nil && !c.gone && !c.retired
}

// InFlight is how many streams there are, or will be by their places.
func (c *Conn) InFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.streams) + int(c.reserved)
}

// OnPlace has f called when a stream's place becomes free, and at the end. It is called
// with a lock held: it must neither block nor call back.
func (c *Conn) OnPlace(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onPlace = f
}

// Retire has no streams opened beyond those that have their places, and the connection
// end with the last.
func (c *Conn) Retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retired = true
	c.settle()
}

// TakesConnect says whether the peer takes extended CONNECT.
func (c *Conn) TakesConnect() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peerConnect
}

// Open begins a request in a reserved place. end says that it has no body; then, or
// with flush, it goes out at once. bodyless says that the answer has none, as to HEAD.
func (c *Conn) Open(fields []hpack.HeaderField, end, flush, bodyless bool) (*Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reserved--
	if c.err != nil || c.gone {
		c.settle()
		return nil, &Error{Unprocessed: true, Err: c.err}
	}
	c.last += 2
	if c.last == 2 {
		c.last = 1
	}
	s := c.newStream(c.last)
	s.bodyless, s.sentEnd = bodyless, end
	c.headers(s.id, fields, end)
	if end || flush {
		c.flush()
	}
	return s, nil
}

// maxHints is how many informational answers may wait for Head; more are passed over.
const maxHints = 16

// Head waits for the answer's head. inform, where not nil, gets informational ones
// before it.
func (s *Stream) Head(inform func([]hpack.HeaderField)) ([]hpack.HeaderField, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for s.head == nil || len(s.hints) > 0 {
		if len(s.hints) > 0 {
			hint := s.hints[0]
			s.hints = s.hints[1:]
			if inform == nil {
				continue
			}
			func() {
				s.c.mu.Unlock()
				defer s.c.mu.Lock()
				inform(hint)
			}()
			continue
		}
		if s.err != nil {
			return nil, s.err
		}
		s.recv.Wait()
	}
	return s.head, nil
}

// Fields is the request's head, Truncated that it was too long, Declared its body's
// length: -1 where it is not known.
func (s *Stream) Fields() []hpack.HeaderField { return s.head }

// Truncated says that the head was longer than is allowed.
func (s *Stream) Truncated() bool { return s.truncated }

// Length is the declared length of what is received, 0 where nothing comes, -1 where it
// is not known.
func (s *Stream) Length() int64 {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	switch {
	case s.declared >= 0 && !s.bodyless:
		return s.declared
	case s.recvEnded && s.off == len(s.in) && s.trailer == nil:
		return 0
	}
	return -1
}

// Ready is how many bytes Read would return without waiting.
func (s *Stream) Ready() int {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return len(s.in) - s.off
}

// Trailer is what came after the body; it is complete when Read has returned io.EOF.
func (s *Stream) Trailer() []hpack.HeaderField {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.trailer
}

// Read returns what has arrived, the last of it together with io.EOF.
func (s *Stream) Read(p []byte) (int, error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for s.off == len(s.in) {
		switch {
		case s.err != nil:
			return 0, s.err
		case s.recvEnded:
			return 0, io.EOF
		}
		s.recv.Wait()
	}
	n := copy(p, s.in[s.off:])
	s.off += n
	if s.off == len(s.in) {
		s.in, s.off = s.in[:0], 0
		if cap(s.in) > keepBuffer {
			s.in = nil
		}
	}
	s.credit(int64(n))
	if len(s.in) == 0 && s.recvEnded && s.err == nil {
		return n, io.EOF
	}
	return n, nil
}

// CloseRead ends reading, and drops what comes. The answer goes on.
func (s *Stream) CloseRead() {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.err == nil {
		s.err = &Error{Err: ErrClosed}
		s.recv.Broadcast()
	}
	said := c.creditConn(int64(len(s.in) - s.off))
	s.in, s.off = nil, 0
	if said {
		c.flush()
	}
}

// Inform sends an informational answer, unless the answer has begun.
func (s *Stream) Inform(fields []hpack.HeaderField) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.sendErr == nil && !s.answered {
		c.headers(s.id, fields, false)
		c.flush()
	}
}

// Continue tells a client that waits with its body to send it (RFC 9110 section 15.2.1).
func (s *Stream) Continue() {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.sendErr == nil && !s.answered && !s.recvEnded && len(s.in) == 0 {
		c.headers(s.id, []hpack.HeaderField{{Name: ":status", Value: "100"}}, false)
		c.flush()
	}
}

// credit lets the peer send on. REQUIRES c.mu.
func (s *Stream) credit(n int64) {
	c := s.c
	s.unacked += n
	said := c.creditConn(n)
	if !s.recvEnded && s.err == nil && s.unacked >= int64(c.config.StreamWindow)/4 {
		_ = c.fw.WriteWindowUpdate(s.id, uint32(s.unacked)) // #nosec G115 -- into memory; at most a window
		s.recvWindow += s.unacked
		s.unacked, said = 0, true
	}
	if said {
		c.flush()
	}
}

// creditConn says whether it has said something. REQUIRES c.mu.
func (c *Conn) creditConn(n int64) bool {
	if c.unacked += n; c.unacked < int64(c.config.ConnWindow)/4 || c.err != nil {
		return false
	}
	_ = c.fw.WriteWindowUpdate(0, uint32(c.unacked)) // #nosec G115 -- into memory; at most a window
	c.recvWindow += c.unacked
	c.unacked = 0
	return true
}

// Answer sends an answer's head; with flush or end, at once.
func (s *Stream) Answer(fields []hpack.HeaderField, end, flush bool) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.sendErr != nil {
		return s.sendErr
	}
	s.answered = true
	c.headers(s.id, fields, end)
	if end {
		s.endSend()
	}
	if end || flush {
		c.flush()
	}
	return nil
}

// Write sends p, waiting for the peer's leave, and with end the end; with flush or end,
// at once.
func (s *Stream) Write(p []byte, end, flush bool) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if s.sendErr != nil {
			return s.sendErr
		}
		n := int(min(int64(len(p)), int64(c.peerFrame), s.sendWindow, c.sendWindow))
		if n <= 0 && len(p) > 0 || len(c.out) > highWater {
			c.flush()
			if s.sendErr == nil && (n <= 0 && min(s.sendWindow, c.sendWindow) <= 0 || len(c.out) > highWater) {
				c.blocked++
				s.send.Wait()
				c.blocked--
			}
			continue
		}
		last := end && n == len(p)
		if n > 0 || last {
			_ = c.fw.WriteData(s.id, last, p[:n]) // into memory
			s.sendWindow -= int64(n)
			c.sendWindow -= int64(n)
			p = p[n:]
		}
		if len(p) > 0 {
			continue
		}
		if last {
			s.endSend()
		}
		if end || flush {
			c.flush()
		}
		return nil
	}
}

// Trail ends what is sent, with trailers.
func (s *Stream) Trail(fields []hpack.HeaderField) error {
	if len(fields) == 0 {
		return s.Write(nil, true, true)
	}
	return s.Answer(fields, true, true)
}

// endSend notes that all has been sent. REQUIRES c.mu.
func (s *Stream) endSend() {
	s.sentEnd = true
	s.sendErr = errSent
	if s.recvEnded {
		s.forget()
	}
}

var errSent = &Error{Err: io.ErrClosedPipe}

// Reset ends the stream, unless it has ended; what has come and not been read is
// dropped.
func (s *Stream) Reset(code http2.ErrCode) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	said := c.creditConn(int64(len(s.in) - s.off))
	s.in, s.off = nil, 0
	if c.streams[s.id] == s {
		_ = c.fw.WriteRSTStream(s.id, code) // into memory
		s.forget()
		s.lose(&Error{Code: code, Reset: true})
		said = true
	}
	if said {
		c.flush()
	}
}

// OnGone has f called when the peer gives the stream up before its end, or the
// connection ends; nil takes it back. It must neither block nor call back.
func (s *Stream) OnGone(f func()) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.onGone = f
	if f != nil && s.sendErr != nil && s.sendErr != errSent { //nolint:errorlint // the very one
		f()
	}
}

// lose ends both directions with err. REQUIRES c.mu.
func (s *Stream) lose(err *Error) {
	if !s.recvEnded && s.err == nil {
		s.err = err
	}
	if s.sendErr == nil {
		s.sendErr = err
	}
	s.recv.Broadcast()
	s.send.Broadcast()
	if s.onGone != nil {
		s.onGone()
	}
}

// forget takes the stream out. REQUIRES c.mu.
func (s *Stream) forget() {
	c := s.c
	if c.streams[s.id] != s {
		return
	}
	delete(c.streams, s.id)
	if c.onPlace != nil {
		c.onPlace()
	}
	c.settle()
}

// Finish says that a request that was accepted has been served, and needs nothing
// any more.
func (s *Stream) Finish() {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	s.onGone = nil
	if s.accepted {
		s.accepted = false
		c.running--
	}
	said := c.creditConn(int64(len(s.in) - s.off))
	s.in, s.off = nil, 0
	if c.streams[s.id] == s {
		code := http2.ErrCodeInternal
		if s.sentEnd {
			code = http2.ErrCodeNo // the answer is whole; the rest of the request is not wanted
		}
		_ = c.fw.WriteRSTStream(s.id, code) // into memory
		s.forget()
		said = true
	}
	if said {
		c.flush()
	}
}

package http2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// tooAbusive is how much may be made for a peer for nothing in a second: a unit is a
	// frame that wants an answer or brings nothing, wasted a request that is malformed
	// or given up before its answer (CVE-2023-44487). A proxy whose callers all leave at
	// once gives up as many requests as it may have in flight, and is no attacker.
	tooAbusive = 10_000
	wasted     = 4
)

// Serve reads until the connection ends, and returns why. A server's Preface must have
// been read, or is read where it comes.
func (c *Conn) Serve() error {
	c.hello()
	err := c.serve()
	c.mu.Lock()
	defer c.mu.Unlock()
	if ce, ok := errors.AsType[http2.ConnectionError](err); ok {
		c.abandon(http2.ErrCode(ce), err)
	} else if errors.Is(err, http2.ErrFrameTooLarge) {
		c.abandon(http2.ErrCodeFrameSize, err)
	}
	c.fail(err)
	return c.err
}

func (c *Conn) serve() error {
	c.hurry()
	if !c.client() {
		var preface [len(Preface)]byte
		if _, err := io.ReadFull(c.br, preface[:]); err != nil {
			return err
		}
		if string(preface[:]) != Preface {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
	}
	for first := true; ; first = false {
		if !c.frameIsThere() {
			c.wake()
		}
		f, err := c.readFrame()
		if first {
			c.takeTime()
			if s, ok := f.(*http2.SettingsFrame); !ok && !broken(err) || ok && s.IsAck() {
				return errors.Join(ErrNotHTTP2, err)
			}
		}
		if se, ok := errors.AsType[http2.StreamError](err); ok {
			c.mu.Lock()
			c.refuse(se.StreamID, se.Code, se.Cause)
			c.mu.Unlock()
			continue
		}
		if err != nil {
			c.wake()
			return err
		}
		c.mu.Lock()
		err = c.frame(f)
		c.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// broken says that err is the connection's, and not of what was read from it.
func broken(err error) bool {
	_, is := errors.AsType[net.Error](err)
	return is || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// readFrame reads the next one. A head that has begun must come in time, all of it: no
// other stream gets anywhere meanwhile.
func (c *Conn) readFrame() (http2.Frame, error) {
	h, err := c.fr.ReadFrameHeader()
	if err != nil {
		return nil, err
	}
	if h.Type != http2.FrameHeaders || h.Flags.Has(http2.FlagHeadersEndHeaders) && c.br.Buffered() >= int(h.Length) {
		return c.fr.ReadFrameForHeader(h)
	}
	c.hurry()
	defer c.takeTime()
	return c.fr.ReadFrameForHeader(h)
}

// hurry bounds what is read next, takeTime does not any more.
func (c *Conn) hurry() {
	if c.config.HeadTimeout > 0 {
		_ = c.nc.SetReadDeadline(time.Now().Add(c.config.HeadTimeout)) // whoever reads meets the error
	}
}

func (c *Conn) takeTime() {
	if c.config.HeadTimeout > 0 {
		_ = c.nc.SetReadDeadline(time.Time{}) // as above
	}
}

// frameIsThere says whether the next frame can be read without waiting.
func (c *Conn) frameIsThere() bool {
	n := c.br.Buffered()
	if n < 9 {
		return false
	}
	head, _ := c.br.Peek(4)
	return n >= 9+int(binary.BigEndian.Uint32(head)>>8)
}

// wake hands on what has been read.
func (c *Conn) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.lastRead = now; now.Sub(c.abuseSince) > time.Second {
		c.abuse, c.abuseSince = 0, now
	}
	for i, s := range c.woken {
		s.waking = false
		c.woken[i] = nil
		switch {
		case s.fresh && s.sendErr != nil: // it has gone before anybody saw it
			s.fresh, s.accepted = false, false
			c.running--
			c.creditConn(int64(len(s.in) - s.off))
			s.in, s.off = nil, 0
		case s.fresh:
			s.fresh = false
			c.config.Accept(s)
		default:
			s.recv.Signal()
		}
	}
	c.woken = c.woken[:0]
	c.flush()
}

func (s *Stream) wake() {
	if !s.waking {
		s.waking = true
		s.c.woken = append(s.c.woken, s)
	}
}

// frame takes one. An error ends the connection. REQUIRES c.mu.
func (c *Conn) frame(f http2.Frame) error {
	if c.err != nil {
		return c.err
	}
	switch f := f.(type) {
	case *http2.DataFrame:
		return c.data(f)
	case *http2.MetaHeadersFrame:
		return c.head(f)
	case *http2.WindowUpdateFrame:
		return c.windowUpdate(f)
	case *http2.RSTStreamFrame:
		return c.reset(f)
	case *http2.SettingsFrame:
		return c.settings(f)
	case *http2.PingFrame:
		return c.ping(f)
	case *http2.GoAwayFrame:
		c.goAway(f)
		return nil
	case *http2.PushPromiseFrame:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return c.busy(1) // PRIORITY, and what is not known
}

// busy counts what the peer has made for it.
func (c *Conn) busy(n int) error {
	if c.abuse += n; c.abuse > tooAbusive {
		c.abandon(http2.ErrCodeEnhanceYourCalm, errAbusive)
		return errAbusive
	}
	return nil
}

// refuse resets a stream that is malformed. REQUIRES c.mu.
func (c *Conn) refuse(id uint32, code http2.ErrCode, cause error) {
	if !c.client() && id%2 == 1 {
		c.last = max(c.last, id)
	}
	_ = c.fw.WriteRSTStream(id, code) // into memory
	if s := c.streams[id]; s != nil {
		s.forget()
		s.lose(&Error{Code: code, Reset: true, Err: cause})
	}
	_ = c.busy(wasted)
	c.flush()
}

func (c *Conn) data(f *http2.DataFrame) error {
	length := int64(f.Length)
	if c.recvWindow -= length; c.recvWindow < 0 {
		return http2.ConnectionError(http2.ErrCodeFlowControl)
	}
	s := c.streams[f.StreamID]
	data := f.Data()
	pad := length - int64(len(data))
	if len(data) == 0 && !f.StreamEnded() {
		if err := c.busy(1); err != nil {
			return err
		}
	}
	if s == nil || s.recvEnded {
		if c.isIdle(f.StreamID) {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		if c.creditConn(length) {
			c.flush()
		}
		if s != nil {
			c.refuse(f.StreamID, http2.ErrCodeStreamClosed, nil)
		}
		if c.client() {
			return nil // it was on its way when the stream was given up
		}
		return c.busy(1)
	}
	if s.recvWindow -= length; s.recvWindow < 0 {
		c.creditConn(length)
		c.refuse(f.StreamID, http2.ErrCodeFlowControl, nil)
		return nil
	}
	if s.head == nil { // a client's: data before the head
		c.creditConn(length)
		c.refuse(f.StreamID, http2.ErrCodeProtocol, errors.New("data before the head"))
		return nil
	}
	if s.off > len(s.in)/2 {
		s.in = s.in[:copy(s.in, s.in[s.off:])]
		s.off = 0
	}
	s.got += int64(len(data))
	if s.err == nil {
		s.in = append(s.in, data...)
	} else if c.creditConn(int64(len(data))) { // nobody reads it any more
		c.flush()
	}
	if s.bodyless && s.got > 0 || !s.bodyless && s.declared >= 0 && (s.got > s.declared || f.StreamEnded() && s.got != s.declared) {
		c.creditConn(pad)
		c.refuse(f.StreamID, http2.ErrCodeProtocol, fmt.Errorf("a body of %d bytes, where %d were declared", s.got, max(s.declared, 0)))
		return nil
	}
	if f.StreamEnded() {
		s.endRecv()
	}
	s.wake()
	if pad > 0 {
		s.credit(pad)
	}
	return nil
}

// endRecv notes that all has come. REQUIRES c.mu.
func (s *Stream) endRecv() {
	s.recvEnded = true
	if s.sentEnd {
		s.forget()
	}
}

// isIdle says that a stream has never been.
func (c *Conn) isIdle(id uint32) bool {
	if id%2 == 0 {
		return true
	}
	return id > max(c.last, c.unheard)
}

func (c *Conn) head(f *http2.MetaHeadersFrame) error {
	s := c.streams[f.StreamID]
	switch {
	case s != nil && s.head != nil:
		return c.trailer(s, f)
	case s != nil:
		return c.answer(s, f)
	case c.client():
		if c.isIdle(f.StreamID) {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		return c.busy(1) // of a stream that was given up
	case f.StreamID%2 == 0:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case f.StreamID <= c.last:
		// Of a stream that was given up, or has ended.
		return c.busy(1)
	case c.goodbye == saidAll: // it has been told, perhaps too late
		c.unheard = max(c.unheard, f.StreamID)
		return c.busy(1)
	}
	c.last = f.StreamID
	if uint32(len(c.streams)) >= c.config.MaxStreams || c.running >= c.config.MaxStreams { // #nosec G115 -- bounded by it
		_ = c.fw.WriteRSTStream(f.StreamID, http2.ErrCodeRefusedStream) // into memory
		c.flush()
		return c.busy(1)
	}
	s = c.newStream(f.StreamID)
	s.head, s.truncated = f.Fields, f.Truncated
	if !s.declare() || f.StreamEnded() && s.declared > 0 {
		c.refuse(f.StreamID, http2.ErrCodeProtocol, errors.New("bad content-length"))
		return nil
	}
	s.fresh, s.accepted = true, true
	c.running++
	if f.StreamEnded() {
		s.endRecv()
	}
	s.wake()
	return nil
}

// declare reads the content-length; false where it is none.
func (s *Stream) declare() bool {
	for _, f := range s.head {
		if f.Name != "content-length" {
			continue
		}
		n, err := strconv.ParseUint(f.Value, 10, 63)
		if err != nil || s.declared >= 0 && s.declared != int64(n) { // #nosec G115 -- of 63 bits
			return false
		}
		s.declared = int64(n) // #nosec G115 -- as above
	}
	return true
}

func (c *Conn) trailer(s *Stream, f *http2.MetaHeadersFrame) error {
	if s.recvEnded || !f.StreamEnded() || len(f.PseudoFields()) > 0 || f.Truncated ||
		!s.bodyless && s.declared >= 0 && s.got != s.declared {
		c.refuse(s.id, http2.ErrCodeProtocol, errors.New("bad trailers"))
		return nil
	}
	s.trailer = f.Fields
	s.endRecv()
	s.wake()
	return nil
}

// answer takes the head of one. Informational ones are kept for Head.
func (c *Conn) answer(s *Stream, f *http2.MetaHeadersFrame) error {
	status := f.PseudoValue("status")
	if len(status) == 3 && status[0] == '1' && status != "101" && !f.StreamEnded() {
		if len(s.hints) < maxHints {
			s.hints = append(s.hints, f.Fields)
			s.wake()
		}
		return c.busy(1)
	}
	n, err := strconv.ParseUint(status, 10, 10)
	if err != nil || n < 200 || n > 999 || f.Truncated {
		c.refuse(s.id, http2.ErrCodeProtocol, errors.New("bad head of an answer"))
		return nil //nolint:nilerr // it is the stream's
	}
	s.head = f.Fields
	s.bodyless = s.bodyless || n == 204 || n == 304
	if !s.declare() || f.StreamEnded() && !s.bodyless && s.declared > 0 {
		c.refuse(s.id, http2.ErrCodeProtocol, errors.New("bad content-length"))
		return nil
	}
	if f.StreamEnded() {
		s.endRecv()
	}
	s.wake()
	return nil
}

func (c *Conn) windowUpdate(f *http2.WindowUpdateFrame) error {
	if f.StreamID == 0 {
		if c.sendWindow += int64(f.Increment); c.sendWindow > maxWindow {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		if c.blocked > 0 {
			c.wakeSenders()
		}
		return nil
	}
	s := c.streams[f.StreamID]
	if s == nil {
		if c.isIdle(f.StreamID) {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		return nil
	}
	if s.sendWindow += int64(f.Increment); s.sendWindow > maxWindow {
		c.refuse(f.StreamID, http2.ErrCodeFlowControl, nil)
		return nil
	}
	s.send.Signal()
	return nil
}

func (c *Conn) reset(f *http2.RSTStreamFrame) error {
	s := c.streams[f.StreamID]
	if s == nil {
		if c.isIdle(f.StreamID) {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		return nil
	}
	s.forget()
	s.lose(&Error{Code: f.ErrCode, Reset: true, Remote: true, Unprocessed: f.ErrCode == http2.ErrCodeRefusedStream})
	if s.accepted && !s.answered {
		return c.busy(wasted)
	}
	return nil
}

func (c *Conn) settings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	if c.settled { // a frame may have thousands, and each may concern every stream
		if err := c.busy(1 + f.NumSettings()); err != nil {
			return err
		}
	}
	if err := f.ForeachSetting(c.setting); err != nil {
		return err
	}
	if !c.settled {
		c.settled = true
		close(c.ready)
	}
	_ = c.fw.WriteSettingsAck() // into memory
	if c.onPlace != nil {
		c.onPlace()
	}
	c.flush()
	return nil
}

func (c *Conn) setting(s http2.Setting) error {
	if err := s.Valid(); err != nil {
		return err
	}
	switch s.ID { //nolint:exhaustive // the others are for whoever sends
	case http2.SettingMaxConcurrentStreams:
		c.peerStreams = s.Val
	case http2.SettingInitialWindowSize:
		more := int64(s.Val) - int64(c.peerWindow)
		c.peerWindow = int32(s.Val) // #nosec G115 -- Valid
		for _, st := range c.streams {
			if st.sendWindow += more; st.sendWindow > maxWindow {
				return http2.ConnectionError(http2.ErrCodeFlowControl)
			}
			st.send.Signal()
		}
	case http2.SettingMaxFrameSize:
		c.peerFrame = int(min(s.Val, 64<<10))
	case http2.SettingHeaderTableSize:
		c.enc.SetMaxDynamicTableSize(min(s.Val, 4096))
	case http2.SettingEnableConnectProtocol:
		c.peerConnect = s.Val == 1
	}
	return nil
}

func (c *Conn) ping(f *http2.PingFrame) error {
	if !f.IsAck() {
		_ = c.fw.WritePing(true, f.Data) // into memory
		c.flush()
		return c.busy(1)
	}
	if f.Data == alivePing && c.timers.asked {
		c.timers.asked = false
		c.timers.keepalive.Reset(c.config.Keepalive.Interval)
	}
	if f.Data == goodbyePing && c.goodbye == saidSoon {
		c.goodbye = saidAll
		_ = c.fw.WriteGoAway(c.last, http2.ErrCodeNo, nil) // as above
		c.flush()
		c.settle()
	}
	return nil
}

func (c *Conn) goAway(f *http2.GoAwayFrame) {
	c.gone = true
	for id, s := range c.streams {
		if c.client() && id > f.LastStreamID {
			delete(c.streams, id)
			s.lose(&Error{Unprocessed: true, Err: fmt.Errorf("the peer said goodbye: %v", f.ErrCode)})
		}
	}
	if c.onPlace != nil {
		c.onPlace()
	}
	c.settle()
}

// Value is the value of the first field of that name.
func Value(fields []hpack.HeaderField, name string) string {
	for i := range fields {
		if fields[i].Name == name {
			return fields[i].Value
		}
	}
	return ""
}

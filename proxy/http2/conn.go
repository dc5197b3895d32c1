package http2

import (
	"bufio"
	"bytes"
	"math"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Preface is what a client begins with (RFC 9113 section 3.4).
const Preface = http2.ClientPreface

// Config is what a connection is made with.
type Config struct {
	// Accept gets each request when its head is there, on the goroutine that reads, so
	// it must not block. It must be nil for a client.
	Accept func(*Stream)
	// MaxStreams is how many requests the peer may have in flight.
	MaxStreams uint32
	// StreamWindow and ConnWindow bound what is received and not yet read.
	StreamWindow, ConnWindow int32
	// MaxHeaderBytes bounds a head, counted as RFC 9113 section 6.5.2 does.
	MaxHeaderBytes uint32
	// HeadTimeout, where above 0, bounds the preface, and each head that has begun.
	HeadTimeout time.Duration
	// Connect allows extended CONNECT (RFC 8441).
	Connect bool
	// IdleTimeout closes a connection without streams; 0: never.
	IdleTimeout time.Duration
	// Keepalive, where Interval is above 0, asks a silent peer whether it is there.
	Keepalive Keepalive
}

// Keepalive is when a peer is pinged, and how long it has to answer.
type Keepalive struct{ Interval, Timeout time.Duration }

const (
	maxFrame    = 16 << 10
	readBuffer  = 16 << 10
	firstWindow = 1<<16 - 1 // of the peer, until it says otherwise
	maxWindow   = math.MaxInt32
)

// Conn is one end of a connection.
type Conn struct {
	// Set once.
	nc     net.Conn
	raw    syscall.RawConn // nil: none
	config Config
	done   chan struct{} // closed at the end
	ready  chan struct{} // closed when the peer's settings are there

	// The reader's.
	br *bufio.Reader
	fr *http2.Framer

	mu      sync.Mutex
	err     error // why it has ended
	streams map[uint32]*Stream
	woken   []*Stream // to be woken when all that has come was read
	last    uint32    // the last stream begun by the client, whichever end that is
	unheard uint32    // the last that was begun when no more were taken
	greeted bool      // hello has been said

	reserved   uint32 // places for streams that are not begun yet
	retired    bool   // no streams are begun here any more
	goodbye    uint8  // how much of it was said; see Shutdown
	gone       bool   // the peer has said it
	settled    bool   // the peer's settings are there
	abuse      int    // of this second, which began abuseSince
	abuseSince time.Time
	finishing  bool   // it ends when all has been sent
	running    uint32 // requests accepted and not finished
	onPlace    func() // a stream has ended, or the connection; nil: nobody asks

	// What the peer has set.
	peerStreams uint32
	peerWindow  int32 // of a new stream
	peerFrame   int
	peerConnect bool

	// Flow control.
	sendWindow int64
	recvWindow int64
	unacked    int64 // read, and not credited
	blocked    int   // who waits to send

	writer
	idleSince, lastRead time.Time
	timers              timers
}

// NewConn makes an end of nc; Serve must be called.
func NewConn(nc net.Conn, config Config) *Conn {
	c := &Conn{
		nc: nc, config: config, done: make(chan struct{}), ready: make(chan struct{}),
		streams:     make(map[uint32]*Stream),
		peerStreams: math.MaxUint32, peerWindow: firstWindow, peerFrame: maxFrame,
		sendWindow: firstWindow, recvWindow: int64(config.ConnWindow),
	}
	c.raw = rawOf(nc)
	c.br = bufio.NewReaderSize(nc, readBuffer)
	c.fr = http2.NewFramer(nil, c.br)
	c.fr.SetReuseFrames()
	c.fr.SetMaxReadFrameSize(maxFrame)
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.fr.MaxHeaderListSize = config.MaxHeaderBytes
	c.fw = http2.NewFramer((*appender)(&c.writer), nil)
	c.enc = hpack.NewEncoder(&c.block)
	return c
}

// rawOf is the socket of a connection that adds nothing to what is written to it; nil
// where it has none, as TLS.
func rawOf(nc net.Conn) syscall.RawConn {
	for {
		switch v := nc.(type) {
		case interface{ Wrapped() net.Conn }:
			nc = v.Wrapped()
		case *net.TCPConn:
			if raw, err := v.SyscallConn(); err == nil {
				return raw
			}
			return nil
		default:
			return nil
		}
	}
}

// client says which end this is.
func (c *Conn) client() bool { return c.config.Accept == nil }

// hello says the preface, where it is a client's to say, and the settings.
func (c *Conn) hello() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.greet()
}

// greet is hello. REQUIRES c.mu.
func (c *Conn) greet() {
	if c.greeted || c.err != nil {
		return
	}
	c.greeted = true
	if c.client() {
		c.out = append(c.out, Preface...)
	}
	settings := []http2.Setting{
		{ID: http2.SettingInitialWindowSize, Val: uint32(c.config.StreamWindow)}, // #nosec G115 -- positive
		{ID: http2.SettingMaxHeaderListSize, Val: c.config.MaxHeaderBytes},
	}
	if c.client() {
		settings = append(settings, http2.Setting{ID: http2.SettingEnablePush, Val: 0})
	} else {
		settings = append(settings, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: c.config.MaxStreams})
		if c.config.Connect {
			settings = append(settings, http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1})
		}
	}
	_ = c.fw.WriteSettings(settings...) // into memory
	if more := c.config.ConnWindow - firstWindow; more > 0 {
		_ = c.fw.WriteWindowUpdate(0, uint32(more)) // #nosec G115 -- positive
	}
	c.idleSince, c.lastRead = time.Now(), time.Now()
	c.startTimers()
	c.flush()
}

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Ready is closed when the peer's settings have arrived.
func (c *Conn) Ready() <-chan struct{} { return c.ready }

// Err is why the connection has ended; nil while it has not.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends it and every stream.
func (c *Conn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail(ErrClosed)
}

// fail ends it. REQUIRES c.mu.
func (c *Conn) fail(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	c.stopTimers()
	_ = c.nc.Close() // there is nobody to tell
	for _, s := range c.streams {
		s.lose(&Error{Err: err})
	}
	clear(c.streams)
	close(c.done)
	if c.onPlace != nil {
		c.onPlace()
	}
}

// abandon says why, and ends it. REQUIRES c.mu.
func (c *Conn) abandon(code http2.ErrCode, err error) {
	if c.err != nil {
		return
	}
	_ = c.fw.WriteGoAway(c.last, code, nil) // into memory
	c.flush()
	c.fail(err)
}

// settle closes the connection where nothing is left to do. REQUIRES c.mu.
func (c *Conn) settle() {
	if len(c.streams) > 0 || c.reserved > 0 {
		return
	}
	c.idleSince = time.Now()
	if c.goodbye == saidAll || c.gone || c.retired && c.client() {
		c.finishing = true
		c.finish()
	}
}

// finish ends the connection when all has been sent: this side first, where that can
// be, for to close it while something comes in could take back what went out. REQUIRES
// c.mu.
func (c *Conn) finish() {
	if !c.finishing || c.flushing || len(c.out) > 0 || c.err != nil {
		return
	}
	half, ok := c.nc.(interface{ CloseWrite() error })
	if c.client() || !ok || half.CloseWrite() != nil {
		c.fail(ErrClosed)
		return
	}
	if c.timers.linger == nil {
		c.timers.linger = time.AfterFunc(time.Second, c.Close)
	}
}

// How much of a goodbye was said.
const (
	saidNothing uint8 = iota
	saidSoon          // no new streams, please; those on their way are welcome
	saidAll           // and none any more
)

// Shutdown says goodbye (RFC 9113 section 6.8): streams that run or are on their way
// go on to their ends, then the connection does.
func (c *Conn) Shutdown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shutdown()
}

// shutdown is Shutdown. REQUIRES c.mu.
func (c *Conn) shutdown() {
	if c.err != nil || c.goodbye != saidNothing {
		return
	}
	c.greet() // nothing comes before the settings
	c.goodbye = saidSoon
	_ = c.fw.WriteGoAway(maxWindow, http2.ErrCodeNo, nil) // into memory
	_ = c.fw.WritePing(false, goodbyePing)                // as above
	c.timers.goodbye = time.AfterFunc(time.Second, c.lastWord)
	c.flush()
}

// goodbyePing comes back when all has arrived that was sent before the goodbye was heard.
var goodbyePing = [8]byte{'g', 'o', 'o', 'd', 'b', 'y', 'e', '!'} //nolint:gochecknoglobals // immutable

func (c *Conn) lastWord() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.goodbye != saidSoon {
		return
	}
	c.goodbye = saidAll
	_ = c.fw.WriteGoAway(c.last, http2.ErrCodeNo, nil) // into memory
	c.flush()
	c.settle()
}

// writer is how frames go out. All of it is guarded by the connection's mu.
type writer struct {
	fw         *http2.Framer // into out
	enc        *hpack.Encoder
	block      bytes.Buffer // enc's
	out, spare []byte
	flushing   bool
	trying     []byte // what try sends
	tried      int
	tryErr     error
}

// appender writes into out.
type appender writer

func (a *appender) Write(p []byte) (int, error) {
	a.out = append(a.out, p...)
	return len(p), nil
}

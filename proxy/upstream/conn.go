package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

const (
	// headBuffer is the read buffer of an exchange; most heads fit.
	headBuffer = 8 << 10
	// maxHead bounds an answer's head, as Envoy does.
	maxHead = 60 << 10
)

// conn is one connection. Between exchanges it holds no buffers.
type conn struct {
	nc  net.Conn
	raw syscall.RawConn

	open prometheus.Gauge
	pool *pool
	born time.Time
	// ends is abort, to be handed on.
	ends func()
	// closed is set by whoever closes it first.
	closed atomic.Bool

	// Of the exchange that runs; of one goroutine at a time.
	br       *bufio.Reader
	bw       *bufio.Writer
	unfit    bool // not to be used again
	requests uint32

	// sent counts the bytes written, sentBefore those before this exchange;
	// ackedBase is what the kernel counted as acknowledged when nothing had been
	// sent.
	sent, sentBefore, ackedBase uint64
	unsent                      bool // set where unacknowledged is true of the first error

	look      look // of whoever has taken it out, or the pool's mu
	idleSince time.Time
	waited    bool      // it has been idle
	lookedAt  time.Time // when it was last seen alive while idle; guarded by the pool's mu
}

// newConn makes a connection for which the pool has a place, which it gives back.
func newConn(nc net.Conn, open prometheus.Gauge, p *pool) (*conn, error) {
	c := &conn{nc: nc, open: open, pool: p, born: time.Now()}
	c.ends = c.abort
	if sc, ok := nc.(syscall.Conn); ok {
		raw, err := sc.SyscallConn()
		if err != nil {
			return nil, err
		}
		c.raw = raw
		// What TLS has sent already counts as sent, and may not be acknowledged yet.
		if s, ok := nc.(*secureConn); ok {
			c.sent = s.Sent()
		} else {
			c.ackedBase, _ = acked(raw)
		}
	}
	open.Inc()
	return c, nil
}

// attach borrows buffers for an exchange.
func (c *conn) attach() {
	c.br = readers.Get().(*bufio.Reader) //nolint:forcetypeassert // the pool holds nothing else
	c.bw = writers.Get().(*bufio.Writer) //nolint:forcetypeassert // the pool holds nothing else
	c.br.Reset(c.nc)
	c.bw.Reset(c)
}

// detach gives them back.
func (c *conn) detach() {
	if c.br == nil {
		return
	}
	c.br.Reset(nil)
	c.bw.Reset(nil)
	if c.br.Size() == headBuffer {
		readers.Put(c.br)
	}
	writers.Put(c.bw)
	c.br, c.bw = nil, nil
}

// Write counts what is sent.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.nc.Write(p)
	c.sent += uint64(n) // #nosec G115 -- n is not negative
	if s, ok := c.nc.(*secureConn); ok {
		c.sent = s.Sent()
	}
	return n, err
}

// abort closes the connection under whoever reads or writes. It may be called at
// any time, from any goroutine, more than once.
func (c *conn) abort() {
	if !c.closed.CompareAndSwap(false, true) {
		return
	}
	_ = c.nc.Close() // there is nobody to tell
	c.open.Dec()
	c.pool.gone()
}

// close aborts and gives the buffers back. Nobody may read or write any more.
func (c *conn) close() {
	c.abort()
	c.detach()
}

// readHead reads an answer's head.
func (c *conn) readHead(h *fasthttp.ResponseHeader) error {
	if _, err := c.br.Peek(1); err != nil {
		return err // fasthttp would call any error here io.EOF
	}
	err := h.Read(c.br)
	if _, small := errors.AsType[*fasthttp.ErrSmallBuffer](err); small && c.br.Size() < maxHead {
		// Nothing has been consumed: go on with a larger buffer.
		have, _ := c.br.Peek(c.br.Buffered())
		rest := io.MultiReader(bytes.NewReader(bytes.Clone(have)), c.nc)
		c.br.Reset(nil)
		readers.Put(c.br)
		c.br = bufio.NewReaderSize(rest, maxHead)
		c.unfit = true
		err = h.Read(c.br)
	}
	return proxy.Quiet(err)
}

// unacknowledged says whether err, the first of an exchange, proves that the server
// had closed the connection before the request reached it: the end of its side has
// been received, and the server's kernel had not acknowledged one byte of the
// request by then.
func (c *conn) unacknowledged(err error) bool {
	if !c.waited || c.raw == nil || c.closed.Load() || c.br.Buffered() > 0 ||
		(!errors.Is(err, io.EOF) && !errors.Is(err, syscall.EPIPE)) {
		return false
	}
	n, ok := acked(c.raw)
	return ok && n-c.ackedBase <= c.sentBefore
}

// alive says whether an idle connection can be used: open, and silent.
func (c *conn) alive() bool {
	if c.raw == nil {
		return true
	}
	return c.silent()
}

// agedAt is at what age, as an idle connection, it ended that was found to have ended
// now: when it was last seen alive or, unseen, half of what it may be.
func (c *conn) agedAt(now time.Time) time.Duration {
	if c.lookedAt.After(c.idleSince) {
		return c.lookedAt.Sub(c.idleSince)
	}
	return now.Sub(c.idleSince) / 2
}

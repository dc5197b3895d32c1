package h1

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/exchange"
)

// inMemory is the longest body that is read before the request is handled: it has
// mostly come with the head.
const inMemory = 8 << 10

// maxIdleBody is how long a request's body may be silent, where stream_idle_timeout
// does not say less.
const maxIdleBody = 5 * time.Minute

// newBody makes the request's body. One that is declared longer than the limit is
// refused before any of it is read.
func newBody(rc *fasthttp.RequestCtx, x *exchange.Exchange) (proxy.Body, error) {
	limit := x.Active.HTTP.MaxBodyBytes
	n := int64(rc.Request.Header.ContentLength())
	stream := rc.RequestBodyStream()
	switch {
	case stream == nil || n == 0:
		return proxy.NoBody, nil
	case n > limit:
		return proxy.NoBody, exchange.TooLarge(limit)
	case n > 0 && n <= inMemory:
		b := make([]byte, n)
		body := proxy.NewBytesBody(b)
		if rc.Conn().(*screen).settled() { //nolint:forcetypeassert // ServeConn made it
			// It has come with the head: there is nothing to wait for.
			if _, err := io.ReadFull(stream, b); err != nil {
				return proxy.NoBody, explain(err)
			}
			return body, nil
		}
		slow := &requestBody{conn: rc.Conn(), header: &rc.Request.Header, stream: stream, length: n, limit: limit}
		slow.restrain(x)
		slow.idle = min(x.Active.HTTP.Limits.StreamIdleTimeout, maxIdleBody) // nobody else ends this Read
		if _, err := io.ReadFull(slow, b); err != nil {
			return proxy.NoBody, err
		}
		return body, nil
	}
	b := &requestBody{conn: rc.Conn(), header: &rc.Request.Header, stream: stream, length: max(n, -1), limit: limit}
	b.restrain(x)
	return b, nil
}

// restrain gives the body the listener's limits of time. What ends an exchange that
// stands still ends its body as well.
func (b *requestBody) restrain(x *exchange.Exchange) {
	l := &x.Active.HTTP.Limits
	b.idle, b.x = maxIdleBody, x
	if l.RequestTimeout < config.Unlimited {
		b.until = x.Request.Start.Add(l.RequestTimeout)
	}
}

// requestBody is a request's content, pulled from the caller's connection.
type requestBody struct {
	conn   net.Conn
	header *fasthttp.RequestHeader
	length int64
	limit  int64
	idle   time.Duration
	until  time.Time // when all of it must have come; zero: none
	x      *exchange.Exchange

	closed, ended atomic.Bool

	mu      sync.Mutex // held by Read
	stream  io.Reader
	read    int64
	err     error
	trailer *fasthttp.ResponseHeader
}

var _ proxy.Body = (*requestBody)(nil)

func (b *requestBody) Len() int64 { return b.length }

func (b *requestBody) Trailer() *fasthttp.ResponseHeader { return b.trailer }

// Read returns what has arrived. Its errors are [*proxy.Error]s: 413 past the
// limit, 400 where the caller's framing is broken, 408 where nothing comes for
// too long, 499 where the caller has gone.
func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	if b.closed.Load() {
		return 0, errClosed
	}
	// Also takes back the deadline of the head.
	deadline := time.Now().Add(b.idle)
	if !b.until.IsZero() && b.until.Before(deadline) {
		deadline = b.until
	}
	if err := b.conn.SetReadDeadline(deadline); err != nil {
		b.err = explain(err)
		return 0, b.err
	}
	if b.closed.Load() {
		return 0, errClosed // Close has moved the deadline before this has, or will
	}
	b.x.Receiving(true)
	n, err := b.stream.Read(p)
	b.read += int64(n)
	b.x.Receiving(false)
	switch {
	case b.read > b.limit:
		b.err = exchange.TooLarge(b.limit)
		return 0, b.err
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && (b.length < 0 || b.read == b.length):
		b.err = io.EOF
		b.ended.Store(true)
		b.readTrailer()
	default:
		b.err = explain(err)
	}
	return n, b.err
}

var errClosed = errors.New("request body closed")

func explain(err error) *proxy.Error {
	if pe, ok := errors.AsType[*proxy.Error](err); ok { // the screen's
		return pe
	}
	pe := &proxy.Error{Status: fasthttp.StatusBadRequest, Flag: proxy.FlagDownstreamProtocol, Message: "malformed request body", Err: err}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		pe.Status, pe.Flag, pe.Message = fasthttp.StatusRequestTimeout, proxy.FlagTimeout, "request body timeout"
	} else if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		pe.Status, pe.Flag, pe.Message = 499, proxy.FlagDownstreamGone, "caller gone"
	}
	return pe
}

// readTrailer takes what fasthttp has read into the request's header.
func (b *requestBody) readTrailer() {
	for name := range b.header.Trailers() {
		if b.trailer == nil {
			b.trailer = new(fasthttp.ResponseHeader)
			b.trailer.DisableNormalizing()
		}
		if b.trailer.AddTrailerBytes(name) == nil {
			b.trailer.SetBytesKV(name, b.header.PeekBytes(name))
		}
	}
}

// Close ends a Read in flight by moving the connection's deadline to the past;
// fasthttp then does not use the connection again. After a Read has returned the
// end it does nothing.
func (b *requestBody) Close() error {
	if !b.closed.CompareAndSwap(false, true) {
		return nil
	}
	if b.mu.TryLock() {
		defer b.mu.Unlock()
		return nil
	}
	if err := b.conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return nil
}

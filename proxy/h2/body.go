package h2

import (
	"errors"
	"io"
	"math"
	"sync"
	"sync/atomic"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/exchange"
	"github.com/fridaymesh/friday/proxy/http2"
)

// inMemory is the longest body that is read before the request is handled, so that
// it can be sent once more: as in HTTP/1.1.
const inMemory = 8 << 10

// newBody makes the request's body. One that is declared longer than the limit is
// refused before any of it is read. A stream of gRPC messages may go on for ever: it
// is each message that the limit is for. A tunnel has no limit.
func newBody(st *http2.Stream, x *exchange.Exchange) (proxy.Body, error) {
	limit := x.Active.HTTP.MaxBodyBytes
	n := st.Length()
	grpc := x.Request.Protocol == protocolGRPC
	if x.Request.Upgrade != "" {
		return &requestBody{st: st, length: -1, limit: math.MaxInt64, x: x, tunnel: true}, nil
	}
	switch {
	case n == 0:
		return proxy.NoBody, nil
	case n > limit && !grpc:
		return proxy.NoBody, exchange.TooLarge(limit)
	}
	b := &requestBody{st: st, length: n, limit: limit, x: x, expected: http2.Value(st.Fields(), "expect") != ""}
	b.late = newLate(&x.Active.HTTP.Limits, x.Request.Start, grpc, st.CloseRead)
	if grpc {
		b.messages = &messages{limit: limit}
	}
	if n < 0 || n > inMemory {
		return b, nil
	}
	b.late.idle = min(x.Active.HTTP.Limits.StreamIdleTimeout, maxIdleBody) // nobody else ends this Read
	whole := make([]byte, n)
	if _, err := io.ReadFull(b, whole); err != nil {
		return proxy.NoBody, err
	}
	return proxy.NewBytesBody(whole), nil
}

// requestBody is a request's content, pulled from its stream.
type requestBody struct {
	st       *http2.Stream
	length   int64
	limit    int64
	messages *messages // nil where it is not gRPC's
	late     *late
	x        *exchange.Exchange
	tunnel   bool
	expected bool // the caller waits to be told to send

	closed atomic.Bool

	mu      sync.Mutex // held by Read
	read    int64
	err     error
	trailer *fasthttp.ResponseHeader
}

var _ proxy.Body = (*requestBody)(nil)

func (b *requestBody) Len() int64 { return b.length }

func (b *requestBody) Trailer() *fasthttp.ResponseHeader { return b.trailer }

// Read returns what has arrived. Its errors are [*proxy.Error]s: 413 past the
// limit, 400 where there is less than was declared, 499 where the caller has gone.
func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	if b.closed.Load() {
		return 0, errClosed
	}
	n, err := b.receive(p)
	b.read += int64(n)
	switch {
	case b.tooLarge(p[:n]):
		b.err = exchange.TooLarge(b.limit)
		return 0, b.err
	case err == nil:
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		b.err = io.EOF
		b.readTrailer()
	default:
		b.err = b.explain(err)
	}
	return n, b.err
}

func (b *requestBody) receive(p []byte) (int, error) {
	if b.tunnel {
		defer b.x.Moved()
		return b.st.Read(p)
	}
	if b.expected {
		b.expected = false
		b.st.Continue()
	}
	b.x.Receiving(true)
	b.late.begin()
	defer b.x.Receiving(false)
	defer b.late.end()
	return b.st.Read(p)
}

var errClosed = errors.New("request body closed")

func (b *requestBody) tooLarge(p []byte) bool {
	if b.messages != nil {
		return !b.messages.pass(p)
	}
	return b.read > b.limit
}

func (b *requestBody) explain(err error) error {
	if late := b.late.err(); late != nil {
		return late
	}
	switch {
	case b.closed.Load():
		return errClosed
	case malformedBody(err):
		return &proxy.Error{Status: fasthttp.StatusBadRequest, Flag: proxy.FlagDownstreamProtocol, Message: "malformed request body", Err: err}
	}
	return &proxy.Error{Status: 499, Flag: proxy.FlagDownstreamGone, Message: "caller gone", Err: err}
}

// malformedBody says that the stream was reset here, for what its caller sent.
func malformedBody(err error) bool {
	e, ok := errors.AsType[*http2.Error](err)
	return ok && e.Reset && !e.Remote && e.Err != nil
}

func (b *requestBody) readTrailer() {
	for _, f := range b.st.Trailer() {
		b.trailer = proxy.AddTrailer(b.trailer, f.Name, f.Value)
	}
}

// Close ends a Read in flight and returns when it has returned.
func (b *requestBody) Close() error {
	if !b.closed.CompareAndSwap(false, true) {
		return nil
	}
	b.st.CloseRead()
	b.mu.Lock()
	defer b.mu.Unlock()
	return nil
}

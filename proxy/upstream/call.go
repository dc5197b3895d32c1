package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/valyala/fasthttp"
	xhttp2 "golang.org/x/net/http2"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/http2"
)

// call is one request and its answer on one stream.
type call struct {
	t    *Multiplexer
	req  *proxy.Request
	s    *http2.Stream
	stop func() bool // takes the reset at the context's end back

	// sent is nil where the request was sent before the answer was listened for; else
	// it is closed by the goroutine that sends.
	sent chan struct{}
	// bodyErr is why the request's body could not be read to its end; it is written
	// before sent is closed.
	bodyErr error
}

func (x *call) run(ctx context.Context, c *http2.Conn) (*proxy.Response, error) {
	tunnel := x.req.Upgrade != ""
	if tunnel && !c.TakesConnect() {
		c.Unreserve()
		return nil, errNoConnect()
	}
	body, head := x.req.Body, x.req.Header.IsHead()
	n := body.Len()
	if tunnel {
		n = -1
	}
	whole, inMemory := body.(*proxy.BytesBody)
	inMemory = inMemory && n < sendAtOnce && !tunnel
	fields := x.fields(n)
	s, err := c.Open(*fields, n == 0, !inMemory, head)
	fieldLists.Put(fields)
	if err != nil {
		return nil, err
	}
	x.s = s
	x.stop = context.AfterFunc(ctx, x.cancel)
	switch {
	case n == 0:
	case inMemory:
		_ = s.Write(whole.Bytes(), true, true) // Head says why
	case !tunnel:
		x.sent = make(chan struct{})
		go x.send()
	}
	in, err := s.Head(x.inform)
	if err == nil {
		var resp *proxy.Response
		if resp, err = x.answer(in, head); err == nil {
			return resp, nil
		}
	}
	x.end()
	return nil, err
}

// inform passes an informational answer on.
func (x *call) inform(fields []xhttp2Field) {
	resp := proxy.NewResponse()
	for _, f := range fields {
		if f.Name == ":status" {
			status, _ := strconv.Atoi(f.Value) // three digits, the first is 1
			resp.Header.SetStatusCode(status)
		} else {
			resp.Header.Add(f.Name, f.Value)
		}
	}
	inform(x.req, &resp.Header)
	_ = resp.Close() // it has no body
}

func (x *call) cancel() { x.s.Reset(xhttp2.ErrCodeCancel) }

// send relays the request's body, one write for each read.
func (x *call) send() {
	defer close(x.sent)
	defer func() {
		if v := recover(); v != nil { // the body's: it may be a filter's
			x.bodyErr = proxy.PanicError(v, debug.Stack())
			x.cancel()
		}
	}()
	buf := copyBuffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer copyBuffers.Put(buf)
	for {
		n, err := x.req.Body.Read(*buf)
		end := errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
		if n > 0 && x.s.Write((*buf)[:n], false, !end) != nil {
			return // whoever reads knows
		}
		switch {
		case err == nil:
		case end:
			_ = x.s.Trail(trailerFields(x.req.Body.Trailer())) // as above
			return
		default:
			// Without the rest of the request there will be no answer worth having.
			x.bodyErr = err
			x.cancel()
			return
		}
	}
}

// end gives up what is left of the call, and returns when nobody touches the request
// any more.
func (x *call) end() {
	x.stop()
	x.cancel()
	if x.sent != nil {
		_ = x.req.Body.Close() // it only has to end a Read in flight
		<-x.sent
	}
}

// answer makes the Response.
func (x *call) answer(in []xhttp2Field, head bool) (*proxy.Response, error) {
	n := x.s.Length()
	if n > 0 && http2.Value(in, "trailer") != "" {
		n = -1 // HTTP/1.1 has trailers only where the length is not told
	}
	resp := proxy.NewResponse()
	if x.req.Upgrade != "" {
		if http2.Value(in, ":status") == "200" {
			n = -1
			x.sent = make(chan struct{})
			go x.send()
		}
	}
	if err := x.readAnswerHead(&resp.Header, in, n, head); err != nil {
		return nil, errors.Join(err, resp.Close())
	}
	if head || n == 0 {
		x.end()
		return resp, nil
	}
	resp.Body = &received{x: x, length: n}
	return resp, nil
}

// received is an answer's content, read from its stream as it comes.
type received struct {
	x      *call
	length int64

	closed atomic.Bool

	mu      sync.Mutex // held by Read
	err     error
	trailer *fasthttp.ResponseHeader
}

var _ proxy.Body = (*received)(nil)

func (b *received) Len() int64 { return b.length }

// Ready is how many bytes Read would return without waiting.
func (b *received) Ready() int { return b.x.s.Ready() }

func (b *received) Trailer() *fasthttp.ResponseHeader { return b.trailer }

// Read returns what has arrived, the last of it together with io.EOF.
func (b *received) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	if b.closed.Load() {
		return 0, errClosed
	}
	n, err := b.x.s.Read(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		b.err = io.EOF
		for _, f := range b.x.s.Trailer() {
			b.trailer = proxy.AddTrailer(b.trailer, f.Name, f.Value)
		}
		b.x.end()
	default:
		b.err = fmt.Errorf("upstream %s: %w", b.x.t.address, err)
	}
	return n, b.err
}

// Close gives up the rest, where there is one: it resets the stream, and no other.
func (b *received) Close() error {
	if b.closed.CompareAndSwap(false, true) {
		b.x.end()
	}
	return nil
}

func errNoConnect() *proxy.Error {
	return &proxy.Error{
		Status: fasthttp.StatusBadGateway, Flag: proxy.FlagUpstreamProtocol, Message: "the server takes no upgrades over HTTP/2",
		Err: errors.New("the server's settings do not allow extended CONNECT (RFC 8441)"),
	}
}

// cutShortRequest is the error of a request's body that could not be read; nil where
// that is not what happened.
func cutShortRequest(err error) *proxy.Error {
	if err == nil {
		return nil
	}
	if pe, ok := errors.AsType[*proxy.Error](err); ok {
		return pe
	}
	return &proxy.Error{Status: fasthttp.StatusBadRequest, Flag: proxy.FlagDownstreamProtocol, Message: "request body cut short", Err: err}
}

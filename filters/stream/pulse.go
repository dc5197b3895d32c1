package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/stream"
)

// A pulse is the answer to a request for server-sent events whose caller is told, by a
// comment, that all is well while the server says nothing.
//
// Problem: load balancers and clients on the way cut a connection on which nothing
// comes for some time, often 60 s, and a long prompt takes longer. Comments are made
// for that, but nobody can write one before the head of the answer, and the server
// sends its head with the first token.
//
// Way taken: where there is no head after the time of a heartbeat, Friday sends one of
// its own: 200, text/event-stream. What that costs: the server's status and headers
// cannot reach the caller any more. An error is then told as an event, in the words of
// the API, and the stream is cut; a client that would have tried again on 503 or 429
// sees a stream that failed. Servers refuse early, so that a heartbeat of some seconds
// leaves almost all errors as they are; and where it is not configured nothing of this
// exists. An answer whose head came in time is the server's to the last byte but for
// the comments.
//
// A Read that waits for the server cannot be interrupted and taken up again, so one
// goroutine asks next and then reads when it is told to; the caller's side waits for it
// or for the clock. It begins with the request and has ended when Close returns.
type pulse struct {
	// Set once.
	f      *filter
	ctx    context.Context //nolint:containedctx // the request's
	cancel context.CancelCauseFunc
	req    *proxy.Request // the caller's
	inner  proxy.Request  // a copy, which next works on
	early  bool           // the head is Friday's

	heads  chan head
	wants  chan struct{}
	pieces chan piece
	closed chan struct{}
	ended  chan struct{}
	once   sync.Once

	// The goroutine's, until it hands over a piece.
	buf []byte

	mu sync.Mutex // held by Read
	// The reader's.
	resp    *proxy.Response // the server's, nil before it came
	body    proxy.Body      // of resp; nil where that is no stream of events
	reading bool
	rest    []byte
	restErr error
	tail    stream.Tail
	timer   *time.Timer
}

type head struct {
	resp *proxy.Response
	err  error
}

type piece struct {
	n   int
	err error
}

var _ proxy.Body = (*pulse)(nil)

const (
	// comment is what the caller gets (HTML standard, section 9.2.6).
	comment = ": heartbeat\n\n"
	// maxAsking is the longest request that is read to see whether it asks for a stream.
	maxAsking = 1 << 20
	// maxRefusal is how much of an answer is read to be told in an event.
	maxRefusal = 16 << 10
)

// asksForEvents says whether a request's answer will be server-sent events, in an API
// that can tell of errors within them.
func asksForEvents(req *proxy.Request) (bool, error) {
	a := apiOf(req)
	if a == nil || a.words == noWords || a.words == ollama || !req.Header.IsHTTP11() {
		return false, nil
	}
	body, err := inference.Whole(req, maxAsking)
	if err != nil {
		return false, fmt.Errorf("request body: %w", err)
	}
	if body == nil || len(req.Header.ContentEncoding()) > 0 {
		return false, nil
	}
	asked := read(body)
	if req.Trace.Model == "" {
		req.Trace.Model = asked.model
	}
	return asked.stream, nil
}

// pulse has next answer, and answers itself where that takes too long.
func (f *filter) pulse(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	p := &pulse{
		f: f, req: req, inner: *req,
		heads: make(chan head, 1), wants: make(chan struct{}), pieces: make(chan piece, 1),
		closed: make(chan struct{}), ended: make(chan struct{}),
		timer: time.NewTimer(f.config.Heartbeat),
	}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	go p.run(next)
	select {
	case h := <-p.heads:
		*req = p.inner // nobody works on it any more
		p.resp = h.resp
		if h.err == nil && kindOf(h.resp) == events {
			p.body, h.resp.Body = h.resp.Body, p
			return h.resp, nil
		}
		<-p.ended
		p.timer.Stop()
		if h.err != nil {
			p.cancel(nil)
			return nil, h.err
		}
		if _, ok := h.resp.Body.(*proxy.BytesBody); ok || h.resp.Body == proxy.NoBody {
			p.cancel(nil)
			return h.resp, nil
		}
		h.resp.Body = &untilEnd{Body: h.resp.Body, end: p.cancel}
		return h.resp, nil
	case <-p.timer.C:
	}
	p.early = true
	resp := proxy.NewResponse()
	resp.Header.SetStatusCode(200)
	resp.Header.SetContentType("text/event-stream")
	resp.Header.Set("cache-control", "no-cache")
	resp.Body = p
	p.rest = []byte(comment)
	p.tail.Add(p.rest)
	return resp, nil
}

// run is the goroutine.
func (p *pulse) run(next proxy.Handler) {
	defer close(p.ended)
	h := p.ask(next)
	body := proxy.Body(nil)
	if h.err == nil && kindOf(h.resp) == events {
		body = h.resp.Body
	}
	p.heads <- h
	if body == nil {
		return
	}
	p.buf = make([]byte, min(p.f.config.MaxBufferBytes, 32<<10))
	for {
		select {
		case <-p.wants:
		case <-p.closed:
			return
		}
		n, err := p.read(body)
		p.pieces <- piece{n, err}
		if err != nil {
			return
		}
	}
}

// ask and read make a panic an error: on a goroutine of its own it would end everything.
func (p *pulse) ask(next proxy.Handler) (h head) {
	defer func() {
		if v := recover(); v != nil {
			h = head{err: proxy.PanicError(v, debug.Stack())}
		}
	}()
	resp, err := p.f.answer(p.ctx, &p.inner, next)
	return head{resp, err}
}

func (p *pulse) read(body proxy.Body) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			n, err = 0, proxy.PanicError(v, debug.Stack())
		}
	}()
	return body.Read(p.buf)
}

// Read passes on what is ready, or a comment.
func (p *pulse) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.rest) == 0 {
		if p.restErr != nil {
			return 0, p.restErr
		}
		if err := p.await(); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// await waits for the next piece, or for the time of a comment.
func (p *pulse) await() error {
	if p.body != nil && !p.reading {
		select {
		case p.wants <- struct{}{}:
			p.reading = true
		case <-p.closed:
			return errClosed
		}
	}
	p.timer.Reset(p.f.config.Heartbeat)
	select {
	case got := <-p.pieces:
		p.reading = false
		p.rest, p.restErr = p.buf[:got.n], got.err
	case h := <-p.heads:
		p.head(h)
	case <-p.timer.C:
		if !p.tail.BetweenEvents() {
			return nil // a comment would tear an event apart
		}
		p.rest = []byte(comment)
	case <-p.closed:
		return errClosed
	}
	p.tail.Add(p.rest)
	return nil
}

var errClosed = errors.New("body closed")

// head takes the server's answer, after Friday's head was sent.
func (p *pulse) head(h head) {
	words := apiOf(p.req).words
	if h.err != nil {
		pe := proxy.AsError(p.ctx, h.err)
		if p.restErr = pe; pe.Flag != proxy.FlagDownstreamGone {
			p.rest = words.tell(events, pe, nil)
		}
		return
	}
	p.resp = h.resp
	if kindOf(h.resp) == events {
		if status := h.resp.Header.StatusCode(); status == 200 {
			p.body = h.resp.Body
			return
		}
	}
	status := h.resp.Header.StatusCode()
	text, err := io.ReadAll(io.LimitReader(h.resp.Body, maxRefusal))
	pe := &proxy.Error{
		Status: status, Flag: proxy.FlagUpstreamProtocol, Err: err,
		Message: fmt.Sprintf("the server answered %d, %s, after a stream had been begun for it", status, bytes.Clone(h.resp.Header.ContentType())),
	}
	p.rest, p.restErr = words.repeat(pe, text), pe
}

// Close ends everything, and returns when nobody works for the request any more.
func (p *pulse) Close() error {
	p.once.Do(func() {
		close(p.closed)
		p.cancel(context.Cause(p.ctx))
		p.mu.Lock() // a Read has returned, or does
		defer p.mu.Unlock()
		if p.body != nil {
			_ = p.body.Close() // makes a Read return
		}
		<-p.ended
		p.timer.Stop()
		select {
		case h := <-p.heads: // nobody has seen it
			p.resp = h.resp
		default:
		}
		if p.early {
			if p.resp != nil {
				_ = p.resp.Close() // as above
			}
			p.req.Trace, p.req.Endpoint, p.req.Call = p.inner.Trace, p.inner.Endpoint, p.inner.Call
		}
	})
	return nil
}

// Len is never known.
func (p *pulse) Len() int64 { return -1 }

// Trailer is the server's.
func (p *pulse) Trailer() *fasthttp.ResponseHeader {
	if p.body == nil {
		return nil
	}
	return p.body.Trailer()
}

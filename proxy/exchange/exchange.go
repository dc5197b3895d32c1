package exchange

import (
	"context"
	"errors"
	"io"
	"runtime/debug"
	"time"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/format"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// Exchange is one request and its answer. A codec calls Begin, fills Request, calls
// Handle, writes the answer's head and what Read returns, and calls Finish; one
// goroutine at a time.
type Exchange struct {
	Active  *config.Active
	Request proxy.Request
	// Response is set by Handle.
	Response *proxy.Response
	// Record becomes the access log's line. Record.Err is why Friday answered itself
	// or cut the answer short.
	Record telemetry.Exchange

	codec  *Codec
	ctx    context.Context //nolint:containedctx // the exchange is what the context is of
	cancel context.CancelCauseFunc
	// unlimit is nil without Limit, still without Watch.
	unlimit context.CancelFunc
	still   *still
	stuck   Stuck // nil: no write waits for ever
}

// Begin loads what is in force.
func (x *Exchange) Begin(c *Codec) {
	x.codec, x.Active = c, c.Listener()
	c.active.Inc()
	x.ctx, x.cancel = context.WithCancelCause(c.base)
}

// Gone ends the request's context: its caller has left.
func (x *Exchange) Gone() { x.cancel(proxy.ErrCallerGone) }

// Limit ends the request's context when d has passed, as the caller has asked for.
// It is called before Handle.
func (x *Exchange) Limit(d time.Duration) {
	x.ctx, x.unlimit = context.WithTimeoutCause(x.ctx, d, proxy.ErrTimeout)
}

// Handle has the request handled, and sets Response or, where it returns an error,
// Record.Err. The answer to that is the codec's to make. refused, where not nil, is
// why the request is not to be handled at all.
func (x *Exchange) Handle(refused error) *proxy.Error {
	err := refused
	if err == nil {
		x.Response, err = x.run()
	}
	if err != nil {
		x.Record.Err = proxy.AsError(x.ctx, err)
	}
	return x.Record.Err
}

// run has the request handled. A panic is an error like another, of this
// request alone.
func (x *Exchange) run() (resp *proxy.Response, err error) {
	defer func() {
		if v := recover(); v != nil {
			resp, err = nil, proxy.PanicError(v, debug.Stack())
		}
	}()
	if x.Request.Looped {
		return nil, errLoop()
	}
	return x.Active.Handle(x.ctx, &x.Request)
}

// Read reads the answer's body and counts it. An error that is not io.EOF has been
// noted as Fail does; the codec must cut the answer so that it never looks like a
// whole one.
func (x *Exchange) Read(p []byte) (int, error) {
	x.Moved() // the piece before this one has been written
	n, err := x.read(p)
	x.Moved()
	x.Record.Sent += int64(n)
	if err != nil && (!errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		x.Fail(err)
	}
	return n, err
}

// read makes a panic an error: a codec's server would swallow it.
func (x *Exchange) read(p []byte) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			n, err = 0, proxy.PanicError(v, debug.Stack())
		}
	}()
	return x.Response.Body.Read(p)
}

// Fail notes why the answer was cut short.
func (x *Exchange) Fail(err error) {
	if x.ctx.Err() == nil {
		if pe, ok := errors.AsType[*proxy.Error](err); ok {
			x.Record.Err = pe
			return
		}
		x.Record.Err = &proxy.Error{
			Status: x.Record.Status, Flag: proxy.FlagUpstreamReset, Message: "answer cut short", Err: err,
		}
		return
	}
	x.Record.Err = proxy.AsError(x.ctx, err)
}

// Finish ends the exchange: whoever still works for it stops, and it is recorded.
// It is called once, when the answer has been written or could not be.
func (x *Exchange) Finish() {
	if x.Record.Err == nil && x.ctx.Err() != nil {
		x.Record.Err = proxy.AsError(x.ctx, x.ctx.Err())
	}
	if x.Active.Logs() || x.Request.Span.Sampled() {
		x.log()
	}
	x.letGo(x.Response)
	x.letGo(x.Request.Body)
	x.still.end() // who has read the bodies has told it
	x.cancel(nil)
	if x.unlimit != nil {
		x.unlimit()
	}
	x.Record.Request = &x.Request
	x.Record.Duration = time.Since(x.Request.Start)
	x.codec.Record(x.Active, &x.Record)
	x.codec.active.Dec()
}

// letGo closes what has been written, or is of no more use. A panic there is a filter's,
// and must end nothing else.
func (x *Exchange) letGo(c io.Closer) {
	defer func() {
		if v := recover(); v != nil {
			x.Record.Err = proxy.PanicError(v, debug.Stack())
		}
	}()
	_ = c.Close() // there is nobody to tell
}

// log writes the line in formats of the configuration, and ends the request's span, while
// the answer's head is there.
func (x *Exchange) log() {
	x.Active.Log(&format.Facts{
		Request: &x.Request, Response: &x.Response.Header, Trailer: x.Response.Body.Trailer(),
		Status: x.Record.Status, Err: x.Record.Err,
		Received: max(x.Request.Body.Len(), 0), Sent: x.Record.Sent, Duration: time.Since(x.Request.Start),
	})
}

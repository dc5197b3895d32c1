package h1

import (
	"context"
	"errors"
	"io"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

const protocol = "http1"

// maxWhole is the longest answer of unknown length that an HTTP/1.0 caller gets.
const maxWhole = 64 << 20

// goneTeller is a connection that tells when its peer has gone.
type goneTeller interface{ OnGone(f func()) }

// exchange is one request and its answer.
type exchange struct {
	s      *Server
	active *config.Active
	ctx    context.Context //nolint:containedctx // the exchange is what the context is of
	cancel context.CancelCauseFunc
	teller goneTeller
	req    proxy.Request
	http10 bool
	body   *requestBody // nil where the request's is in memory
	resp   *proxy.Response
	rec    telemetry.Exchange

	// header is the answer's, for the trailers.
	header *fasthttp.ResponseHeader
}

// handle serves one request. It returns before the answer's body has been
// written where that is a stream; fasthttp then reads the exchange as the body
// and closes it, which ends the exchange.
func (s *Server) handle(rc *fasthttp.RequestCtx) {
	x := &exchange{s: s, active: s.listener(), header: &rc.Response.Header}
	s.active.Inc()
	x.http10 = !rc.Request.Header.IsHTTP11()
	rc.Request.Header.SetNoDefaultContentType(true) // whoever writes it adds nothing
	x.ctx, x.cancel = context.WithCancelCause(s.base)
	if x.teller, _ = rc.Conn().(goneTeller); x.teller != nil {
		x.teller.OnGone(func() { x.cancel(proxy.ErrCallerGone) })
	}
	x.req = proxy.Request{
		Header: &rc.Request.Header,
		Remote: rc.RemoteAddr(), Local: rc.LocalAddr(),
		Protocol: protocol,
		Start:    time.Now(),
	}
	body, err := newBody(rc, x.active.HTTP.MaxBodyBytes)
	x.req.Body = body
	x.body, _ = body.(*requestBody)
	if err == nil {
		x.resp, err = x.run()
	}
	if err != nil {
		x.rec.Err = proxy.AsError(x.ctx, err)
		x.resp = x.rec.Err.Response()
	}
	x.write(rc)
}

// run has the request handled. A panic is an error like another, of this
// request alone.
func (x *exchange) run() (resp *proxy.Response, err error) {
	defer func() {
		if v := recover(); v != nil {
			resp, err = nil, proxy.PanicError(v, debug.Stack())
		}
	}()
	return x.active.Handle(x.ctx, &x.req)
}

// readier is a body that knows how much of it is there.
type readier interface{ Ready() int }

// write hands the answer to fasthttp: in one piece where all of it is there, else
// as a stream whose head goes out at once and each piece as it comes.
func (x *exchange) write(rc *fasthttp.RequestCtx) {
	x.rec.Status = x.resp.Header.StatusCode()
	copyHead(&rc.Response.Header, &x.resp.Header)
	body := x.resp.Body
	n := body.Len()
	if x.s.drain.Load() || x.s.retired.Load() || x.rec.Status == 499 || x.unread() {
		rc.Response.SetConnectionClose()
	}
	switch b := body.(type) {
	case *proxy.BytesBody:
		rc.Response.SetBodyRaw(b.Bytes())
		if !rc.IsHead() {
			x.rec.Sent = n
		}
		x.finish()
		return
	case readier:
		if n > 0 && n <= int64(b.Ready()) {
			buf := rc.Response.BodyWriter()
			m, err := io.CopyN(buf, body, n)
			x.rec.Sent = m
			if err == nil {
				x.finish()
				return
			}
			// Not reached: what is ready can be read.
			rc.Response.ResetBody()
			x.fail(err)
		}
	}
	if n < 0 && x.http10 {
		// HTTP/1.0 knows no chunks: the answer is sent when all of it is there.
		b, err := io.ReadAll(io.LimitReader(body, maxWhole+1))
		if err == nil && len(b) <= maxWhole {
			rc.Response.SetBodyRaw(b)
			x.rec.Sent = int64(len(b))
		} else {
			x.fail(errors.Join(err, errors.New("answer too long for HTTP/1.0")))
			rc.Response.Header.SetStatusCode(fasthttp.StatusBadGateway)
			x.rec.Status = fasthttp.StatusBadGateway
		}
		x.finish()
		return
	}
	if n == 0 {
		x.finish()
		return
	}
	rc.Response.ImmediateHeaderFlush = true
	rc.Response.SetBodyStream(x, int(n))
}

// unread says that the request's body was not read to its end, so that the
// connection cannot be used for another.
func (x *exchange) unread() bool {
	if x.rec.Err != nil && (x.rec.Err.Flag == proxy.FlagDownstreamTooLarge || x.rec.Err.Flag == proxy.FlagDownstreamProtocol) {
		return true
	}
	return x.body != nil && !x.body.ended.Load()
}

// Read is called by fasthttp, which writes and flushes what it returns. An error
// makes fasthttp close the connection without the last chunk, so that a cut
// answer never looks like a whole one.
func (x *exchange) Read(p []byte) (int, error) {
	n, err := x.read(p)
	x.rec.Sent += int64(n)
	if err == nil {
		return n, nil
	}
	if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		x.fail(err)
		return n, err
	}
	if t := x.resp.Body.Trailer(); t != nil {
		for name := range t.Trailers() {
			// fasthttp refuses names that must not be trailers (RFC 9110 section 6.5.1).
			if x.header.AddTrailerBytes(name) == nil {
				x.header.SetBytesKV(name, t.PeekBytes(name))
			}
		}
	}
	return n, err
}

// read makes a panic an error: fasthttp would swallow it.
func (x *exchange) read(p []byte) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			n, err = 0, proxy.PanicError(v, debug.Stack())
		}
	}()
	return x.resp.Body.Read(p)
}

// fail notes why the answer was cut short.
func (x *exchange) fail(err error) {
	if x.ctx.Err() == nil {
		if pe, ok := errors.AsType[*proxy.Error](err); ok {
			x.rec.Err = pe
			return
		}
		x.rec.Err = &proxy.Error{
			Status: x.rec.Status, Flag: proxy.FlagUpstreamReset, Message: "answer cut short", Err: err,
		}
		return
	}
	x.rec.Err = proxy.AsError(x.ctx, err)
}

// Close is called by fasthttp when the answer has been written, or could not be.
func (x *exchange) Close() error {
	x.finish()
	return nil
}

// finish ends the exchange: whoever still works for it stops, and it is recorded.
// fasthttp closes a stream once; the other ways here return at once.
func (x *exchange) finish() {
	if x.teller != nil {
		x.teller.OnGone(nil)
	}
	if x.rec.Err == nil && x.ctx.Err() != nil {
		x.rec.Err = proxy.AsError(x.ctx, x.ctx.Err())
	}
	_ = x.resp.Close()     // it has been written or is of no more use
	_ = x.req.Body.Close() // as above
	x.cancel(nil)
	x.rec.Request = &x.req
	x.rec.Duration = time.Since(x.req.Start)
	x.s.record(x.active, &x.rec)
	x.s.active.Dec()
}

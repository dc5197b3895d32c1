package h1

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/exchange"
)

const protocol = "http1"

// maxWhole is the longest answer of unknown length that an HTTP/1.0 caller gets.
const maxWhole = 64 << 20

// goneTeller is a connection that tells when its peer has gone.
type goneTeller interface{ OnGone(f func()) }

// serving is one request and its answer.
type serving struct {
	exchange.Exchange

	s      *Server
	teller goneTeller
	http10 bool
	body   *requestBody // nil where the request's is in memory
	tunnel *tunnel      // nil where no upgrade is asked for

	// answering says that no informational answers are passed on any more.
	informing sync.Mutex
	answering bool

	// header is the answer's, for the trailers.
	header *fasthttp.ResponseHeader
	// conn is where a stream is written to, piece by piece.
	conn net.Conn
}

// handle serves one request. It returns before the answer's body has been
// written where that is a stream; fasthttp then reads what serves it as
// the body and closes it, which ends the exchange.
func (s *Server) handle(rc *fasthttp.RequestCtx) {
	x := &serving{s: s, header: &rc.Response.Header, conn: rc.Conn()}
	x.Begin(s.Codec)
	x.http10 = !rc.Request.Header.IsHTTP11()
	rc.Request.Header.SetNoDefaultContentType(true) // whoever writes it adds nothing
	if x.teller, _ = rc.Conn().(goneTeller); x.teller != nil {
		x.teller.OnGone(x.Gone)
	}
	x.Request = proxy.Request{
		Header: &rc.Request.Header,
		Remote: rc.RemoteAddr(), Local: rc.LocalAddr(),
		Protocol: protocol,
		Start:    time.Now(),
		Caller:   x,
	}
	originForm(&rc.Request.Header)
	if x.Active.HTTP.Limits.Underscores == config.DropUnderscores {
		dropUnderscores(&rc.Request.Header)
	}
	x.Watch(nil)                                              // a write that waits for the caller ends by itself, see screen.Write
	exchange.Connection(&x.Request, rc.Conn().(*screen).Conn) //nolint:forcetypeassert // ServeConn made it
	body, err := newBody(rc, &x.Exchange)
	if err == nil && rc.IsConnect() {
		err = exchange.NoConnect()
	}
	x.Request.Body = body
	x.body, _ = body.(*requestBody)
	if kind := upgradeOf(&rc.Request.Header, &x.Active.HTTP); kind != "" {
		x.tunnel = newTunnel(rc.Conn(), x.Moved)
		x.Request.Upgrade, x.Request.Body = kind, x.tunnel
	}
	if pe := x.Handle(err); pe != nil {
		x.Response = x.Active.Reply(&x.Request, pe)
	}
	x.informing.Lock()
	x.answering = true
	x.informing.Unlock()
	x.write(rc)
}

// Inform passes an informational answer on: HTTP/1.0 knows none.
func (x *serving) Inform(h *fasthttp.ResponseHeader) {
	x.informing.Lock()
	defer x.informing.Unlock()
	if x.http10 || x.answering {
		return
	}
	text := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n", h.StatusCode(), fasthttp.StatusMessage(h.StatusCode()))
	for k, v := range exchange.Informational(h) {
		text = append(append(append(append(text, k...), ": "...), v...), "\r\n"...)
	}
	_, _ = x.conn.Write(append(text, "\r\n"...)) // whoever writes the answer meets the error
}

// readier is a body that knows how much of it is there.
type readier interface{ Ready() int }

// write hands the answer to fasthttp: in one piece where all of it is there, else
// as a stream whose head goes out at once and each piece as it comes.
func (x *serving) write(rc *fasthttp.RequestCtx) {
	x.Record.Status = x.Response.Header.StatusCode()
	exchange.CopyHead(&rc.Response.Header, &x.Response.Header)
	if x.tunnel != nil && x.Record.Status == fasthttp.StatusSwitchingProtocols {
		x.upgraded(rc)
		return
	}
	body := x.Response.Body
	n := body.Len()
	if x.s.Closing() || x.Record.Status == 499 || x.unread() || rc.Conn().(*screen).expired.Load() { //nolint:forcetypeassert // ServeConn made it
		rc.Response.SetConnectionClose()
	}
	switch b := body.(type) {
	case *proxy.BytesBody:
		rc.Response.SetBodyRaw(b.Bytes())
		if !rc.IsHead() {
			x.Record.Sent = n
		}
		x.finish()
		return
	case readier:
		if n > 0 && n <= int64(b.Ready()) {
			x.whole(rc, n)
			x.finish()
			return
		}
	}
	if n < 0 && x.http10 {
		// HTTP/1.0 knows no chunks: the answer is sent when all of it is there.
		b, err := io.ReadAll(io.LimitReader(x, maxWhole+1))
		if err == nil && len(b) <= maxWhole {
			rc.Response.SetBodyRaw(b)
		} else {
			x.Fail(errors.Join(err, errors.New("answer too long for HTTP/1.0")))
			rc.Response.Header.SetStatusCode(fasthttp.StatusBadGateway)
			x.Record.Status = fasthttp.StatusBadGateway
		}
		x.finish()
		return
	}
	if n == 0 {
		x.finish()
		return
	}
	rc.Response.ImmediateHeaderFlush = true
	if r, ok := body.(readier); ok && r.Ready() > 0 {
		x.hold() // the head goes out with the first piece
	}
	rc.Response.SetBodyStream(x, int(n))
}

// whole reads an answer that is all there into fasthttp's own buffer. It would be strange
// if it were not: then its caller is not told that it is whole.
func (x *serving) whole(rc *fasthttp.RequestCtx, n int64) {
	buf := slices.Grow(rc.Response.SwapBody(nil)[:0], int(n))[:n]
	_, err := io.ReadFull(x, buf)
	rc.Response.SwapBody(buf)
	if err == nil {
		return
	}
	rc.Response.ResetBody()
	rc.Response.SetStatusCode(fasthttp.StatusBadGateway)
	rc.Response.SetConnectionClose()
	x.Record.Status, x.Record.Sent = fasthttp.StatusBadGateway, 0
}

// unread says that the request's body was not read to its end, so that the
// connection cannot be used for another.
func (x *serving) unread() bool {
	if x.Record.Err != nil && (x.Record.Err.Flag == proxy.FlagDownstreamTooLarge || x.Record.Err.Flag == proxy.FlagDownstreamProtocol) {
		return true
	}
	return x.body != nil && !x.body.ended.Load()
}

// Close is called by fasthttp when the answer has been written, or could not be.
func (x *serving) Close() error {
	x.finish()
	return nil
}

// finish ends the exchange. fasthttp closes a stream once; the other ways here
// return at once.
func (x *serving) finish() {
	if x.teller != nil {
		x.teller.OnGone(nil)
	}
	x.Finish()
}

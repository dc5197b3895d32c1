package h2

import (
	"errors"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/exchange"
	"github.com/fridaymesh/friday/proxy/http2"
)

// The values of proxy.Request.Protocol.
const (
	protocol     = "http2"
	protocolGRPC = "grpc"
)

// serving is one request and its answer.
type serving struct {
	exchange.Exchange

	st   *http2.Stream
	head fasthttp.ResponseHeader // the answer's, without what was its connection's
	// asked says that the request is HEAD's, whose answer has no body.
	asked bool

	answering atomic.Bool
}

// serve serves one request, on a goroutine of its own.
func (s *Server) serve(c *conn, st *http2.Stream) {
	defer c.serving.Done()
	x := &serving{st: st}
	x.Begin(s.Codec)
	// The stream was reset, or its connection closed.
	st.OnGone(x.Gone)
	x.handle(c)
	if s.Closing() || c.last(&x.Active.HTTP.Limits) {
		c.Shutdown() // before the answer: who has it knows
	}
	_ = x.write() // Record has it; what is not whole is reset
	st.OnGone(nil)
	x.Finish()
	st.Finish()
}

// Stuck ends a Write that waits for the caller.
func (x *serving) Stuck() {
	if x.answering.Load() {
		x.st.Reset(xhttp2.ErrCodeCancel)
	}
}

// Inform passes an informational answer on.
func (x *serving) Inform(h *fasthttp.ResponseHeader) {
	fields := []hpack.HeaderField{{Name: ":status", Value: strconv.Itoa(h.StatusCode())}}
	for k, v := range exchange.Informational(h) {
		if name := http2.Name(k); token(name) {
			fields = append(fields, hpack.HeaderField{Name: name, Value: string(v)})
		}
	}
	x.st.Inform(fields)
}

func (x *serving) handle(c *conn) {
	x.Watch(x)
	head, upgrade, err := requestHead(x.st, &x.Active.HTTP)
	x.asked = head.IsHead()
	x.Request = proxy.Request{
		Header: head, Body: proxy.NoBody,
		Remote: c.nc.RemoteAddr(), Local: c.nc.LocalAddr(),
		Protocol: protocol, Start: time.Now(), Upgrade: upgrade, Caller: x,
	}
	exchange.Connection(&x.Request, c.nc)
	if err == nil {
		if proxy.IsGRPC(head) {
			x.Request.Protocol = protocolGRPC
			if d, ok := timeout(head.Peek("grpc-timeout")); ok {
				x.Limit(d)
			}
		}
		x.Request.Body, err = newBody(x.st, &x.Exchange)
	}
	pe := x.Handle(err)
	switch {
	case pe == nil:
		x.Record.Status = x.Response.Header.StatusCode()
	case x.Request.Protocol == protocolGRPC:
		x.Response, x.Record.Status = grpcAnswer(pe), pe.Status
		x.Active.Finish(&x.Request, x.Response)
	default:
		x.Response = x.Active.Reply(&x.Request, pe)
		x.Record.Status = x.Response.Header.StatusCode()
	}
}

// write writes the answer. An error means that it is not whole.
func (x *serving) write() error {
	exchange.CopyHead(&x.head, &x.Response.Header)
	status, body := x.head.StatusCode(), x.Response.Body
	if status == fasthttp.StatusSwitchingProtocols && x.Request.Upgrade != "" {
		status = fasthttp.StatusOK // RFC 8441 section 5
	} else if status < 200 || status > 999 {
		return x.lost(&proxy.Error{Status: fasthttp.StatusBadGateway, Flag: proxy.FlagUpstreamProtocol, Message: "no final status"})
	}
	fields := fieldLists.Get().(*[]hpack.HeaderField) //nolint:forcetypeassert // the pool holds nothing else
	*fields = appendAnswer((*fields)[:0], status, &x.head, body.Len(), x.asked, x.Request.Upgrade != "")
	x.answering.Store(true)
	none := x.asked || body == proxy.NoBody
	err := x.st.Answer(*fields, none, false)
	fieldLists.Put(fields)
	if err != nil {
		return x.gone(err)
	}
	if none {
		return nil
	}
	if b, ok := body.(*proxy.BytesBody); ok {
		if err := x.st.Write(b.Bytes(), true, true); err != nil {
			return x.gone(err)
		}
		x.Record.Sent = body.Len()
		return nil
	}
	return x.stream(body)
}

// gone notes that the caller does not take the answer.
func (x *serving) gone(err error) error {
	x.Gone()
	return x.lost(err)
}

func (x *serving) lost(err error) error {
	x.Fail(err)
	return err
}

// readier is a body that knows how much of it is there.
type readier interface{ Ready() int }

// stream writes each piece of the body as it comes: with the head, or the end, where
// they are at hand.
func (x *serving) stream(body proxy.Body) error {
	if r, ok := body.(readier); !ok || r.Ready() == 0 {
		if err := x.st.Write(nil, false, true); err != nil {
			return x.gone(err)
		}
	}
	buf := buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer buffers.Put(buf)
	for {
		n, err := x.Read(*buf)
		end := errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
		if n > 0 {
			if werr := x.st.Write((*buf)[:n], false, !end); werr != nil {
				return x.gone(werr)
			}
		}
		switch {
		case err == nil:
		case !end:
			return err
		default:
			if err := x.st.Trail(appendTrailer(nil, x.Response.Body.Trailer())); err != nil {
				return x.gone(err)
			}
			return nil
		}
	}
}

// fieldLists serve the heads that are written.
var fieldLists = sync.Pool{New: func() any { f := make([]hpack.HeaderField, 0, 24); return &f }} //nolint:gochecknoglobals // a pool is shared by nature

// buffers serve the bodies that are relayed.
var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }} //nolint:gochecknoglobals // a pool is shared by nature

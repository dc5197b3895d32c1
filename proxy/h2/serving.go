package h2

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/exchange"
)

// The values of proxy.Request.Protocol.
const (
	protocol     = "http2"
	protocolGRPC = "grpc"
)

// serving is one request and its answer.
type serving struct {
	exchange.Exchange

	w    http.ResponseWriter
	r    *http.Request
	head fasthttp.ResponseHeader // the answer's, without what was its connection's

	answering atomic.Bool
}

// serve serves one request, on a goroutine of its own.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(connKey{}).(*conn) //nolint:forcetypeassert // the server's ConnContext has put it there
	if !c.begin() {
		panic(http.ErrAbortHandler)
	}
	defer c.end()
	x := &serving{w: w, r: r}
	x.Begin(s.Codec)
	// The stream was reset, or its connection closed.
	stop := context.AfterFunc(r.Context(), x.Gone)
	x.handle(c)
	whole := x.write(s.Closing() || c.last(&x.Active.HTTP.Limits))
	stop()
	x.Finish()
	if !whole {
		panic(http.ErrAbortHandler) // resets the stream
	}
}

func (x *serving) handle(c *conn) {
	limits := &x.Active.HTTP.Limits
	if limits.StreamIdleTimeout < config.Unlimited {
		stuck := http.NewResponseController(x.w)
		x.Watch(func() {
			if x.answering.Load() {
				_ = stuck.SetWriteDeadline(time.Unix(1, 0)) // it resets the stream
			}
		})
	}
	head, err := requestHead(x.r, limits)
	x.Request = proxy.Request{
		Header: head, Body: proxy.NoBody,
		Remote: c.RemoteAddr(), Local: c.LocalAddr(),
		Protocol: protocol, Start: time.Now(),
	}
	exchange.Connection(&x.Request, c.Conn)
	if err == nil {
		if proxy.IsGRPC(head) {
			x.Request.Protocol = protocolGRPC
			if d, ok := timeout(head.Peek("grpc-timeout")); ok {
				x.Limit(d)
			}
		}
		x.Request.Body, err = newBody(x.r, &x.Exchange, x.Request.Protocol == protocolGRPC)
	}
	pe := x.Handle(err)
	switch {
	case pe == nil:
		x.Record.Status = x.Response.Header.StatusCode()
	case x.Request.Protocol == protocolGRPC:
		x.Response, x.Record.Status = grpcAnswer(pe), pe.Status
	default:
		x.Response, x.Record.Status = pe.Response(), pe.Status
	}
}

// write writes the answer; false where it is not whole.
func (x *serving) write(last bool) bool {
	exchange.CopyHead(&x.head, &x.Response.Header)
	status, body := x.head.StatusCode(), x.Response.Body
	if status < 200 || status > 999 { // net/http's WriteHeader panics, or takes it for an interim answer
		x.Fail(&proxy.Error{Status: fasthttp.StatusBadGateway, Flag: proxy.FlagUpstreamProtocol, Message: "no final status"})
		return false
	}
	writeHead(x.w.Header(), &x.head, body.Len(), x.r.Method == http.MethodHead)
	if last {
		x.w.Header()["Connection"] = []string{"close"} // has net/http send GOAWAY
	}
	x.answering.Store(true)
	x.w.WriteHeader(status)
	if x.r.Method == http.MethodHead || body == proxy.NoBody {
		return true
	}
	if b, ok := body.(*proxy.BytesBody); ok {
		n, err := x.w.Write(b.Bytes())
		x.Record.Sent = int64(n)
		return err == nil || x.lost(err)
	}
	return x.stream()
}

// lost notes that the caller does not take the answer.
func (x *serving) lost(err error) bool {
	x.Gone()
	x.Fail(err)
	return false
}

// stream writes the head at once and each piece of the body as it comes.
func (x *serving) stream() bool {
	flush := http.NewResponseController(x.w).Flush
	if err := flush(); err != nil {
		return x.lost(err)
	}
	buf := buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer buffers.Put(buf)
	for {
		n, err := x.Read(*buf)
		if n > 0 {
			_, werr := x.w.Write((*buf)[:n])
			if werr == nil && err == nil {
				werr = flush()
			}
			if werr != nil {
				return x.lost(werr)
			}
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return false
		}
		writeTrailer(x.w.Header(), x.Response.Body.Trailer())
		return true
	}
}

// buffers serve the bodies that are relayed.
var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }} //nolint:gochecknoglobals // a pool is shared by nature

package proxy

import (
	"io"
	"net"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"
)

// Response is the answer to one Request: a head and a body that is pulled. Who
// gets a Response owns it, and either hands it on or calls Close.
type Response struct {
	// Header holds status and headers. What is meant for one connection only (RFC
	// 9110 section 7.6.1) may be in it; the codec does not write it. The framing
	// (Content-Length, Transfer-Encoding) follows Body.Len when it is written; a
	// Content-Length in Header is kept only where there is no body to measure
	// (an answer to HEAD, 304). Copy it with CopyTo; it must come from
	// NewResponse, or a Date in it is lost.
	Header fasthttp.ResponseHeader
	// Body is never nil. See NoBody.
	Body Body
}

var responses = sync.Pool{New: func() any { return new(Response) }} //nolint:gochecknoglobals // a pool is shared by nature

// NewResponse returns an empty Response with NoBody whose header adds nothing by
// itself: no Date, Server or Content-Type, names as they come.
func NewResponse() *Response {
	r := responses.Get().(*Response) //nolint:forcetypeassert // the pool holds nothing else
	blank().CopyTo(&r.Header)
	r.Body = NoBody
	return r
}

// Reset empties the header as NewResponse does.
func (r *Response) Reset() { blank().CopyTo(&r.Header) }

// Close closes the body and gives the Response back; it must not be used again.
func (r *Response) Close() error {
	err := r.Body.Close()
	r.Body = nil
	responses.Put(r)
	return err
}

// blank is the header that all are copies of. That no Date be added (and the
// server's be kept) can only be said to a fasthttp.Server, which says it to the
// headers that it hands out; so one is made to hand out a header.
var blank = sync.OnceValue(func() *fasthttp.ResponseHeader { //nolint:gochecknoglobals // immutable once made
	h := new(fasthttp.ResponseHeader)
	s := fasthttp.Server{
		NoDefaultDate: true, NoDefaultServerHeader: true, NoDefaultContentType: true,
		DisableHeaderNamesNormalizing: true,
		Handler:                       func(ctx *fasthttp.RequestCtx) { ctx.Response.Header.CopyTo(h) },
	}
	if err := s.ServeConn(&cannedConn{Reader: strings.NewReader("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")}); err != nil {
		panic(err)
	}
	return h
})

// cannedConn is a connection on which one request has arrived.
type cannedConn struct {
	net.Conn
	io.Reader
}

func (c *cannedConn) Read(p []byte) (int, error)  { return c.Reader.Read(p) }
func (c *cannedConn) Write(p []byte) (int, error) { return len(p), nil }
func (c *cannedConn) Close() error                { return nil }
func (c *cannedConn) LocalAddr() net.Addr         { return &net.TCPAddr{} }
func (c *cannedConn) RemoteAddr() net.Addr        { return &net.TCPAddr{} }

// GRPCStatus is the grpc-status of an answer that has been read to its end: the trailer's, or
// the head's of one without a body; empty: there is none.
func (r *Response) GRPCStatus() string {
	code, _ := FieldValue(&r.Header, "grpc-status")
	for name, value := range TrailerFields(r.Body.Trailer()) {
		if strings.EqualFold(string(name), "grpc-status") {
			code = string(value)
		}
	}
	return code
}

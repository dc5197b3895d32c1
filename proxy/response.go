package proxy

import (
	"sync"

	"github.com/valyala/fasthttp"
)

// Response is the answer to one Request: a head and a body that is pulled. Who
// gets a Response owns it, and either hands it on or calls Close.
type Response struct {
	// Header holds status and headers, hop-by-hop headers taken out. The framing
	// (Content-Length, Transfer-Encoding) follows Body.Len when it is written; a
	// Content-Length in Header is kept only where there is no body to measure
	// (an answer to HEAD, 304).
	Header fasthttp.ResponseHeader
	// Body is never nil. See NoBody.
	Body Body
}

var responses = sync.Pool{New: func() any { return new(Response) }} //nolint:gochecknoglobals // a pool is shared by nature

// NewResponse returns an empty Response with NoBody whose header adds nothing by
// itself: no Date, Server or Content-Type, names as they come.
func NewResponse() *Response {
	r := responses.Get().(*Response) //nolint:forcetypeassert // the pool holds nothing else
	r.Header.DisableNormalizing()
	r.Header.SetNoDefaultContentType(true)
	r.Body = NoBody
	return r
}

// Close closes the body and gives the Response back; it must not be used again.
func (r *Response) Close() error {
	err := r.Body.Close()
	r.Body = nil
	r.Header.Reset()
	responses.Put(r)
	return err
}

package proxy

import (
	"io"
	"sync/atomic"

	"github.com/valyala/fasthttp"
)

// Body is a message's content. It is pulled: not reading is the back-pressure.
//
// Read returns what is ready and never waits to fill p, so that one Read is one
// flush; an error that is not io.EOF means that the content is cut short. Close
// is safe while a Read is in flight and makes it return; closing before io.EOF
// gives up the rest (and, upstream, cancels the server's work). Both ends may
// Close more than once.
type Body interface {
	io.ReadCloser
	// Len is the declared length in bytes, -1 where it is not known (chunked).
	Len() int64
	// Trailer is nil until Read has returned io.EOF, and where there is none.
	Trailer() *fasthttp.ResponseHeader
}

// A BytesBody is a Body whose whole content is in memory.
type BytesBody struct {
	b       []byte
	off     int
	release atomic.Pointer[func()]
}

var _ Body = (*BytesBody)(nil)

// NoBody is the empty Body.
var NoBody Body = noBody{} //nolint:gochecknoglobals // stateless, as http.NoBody

// NewBytesBody returns a Body of b, which must not change while it is read.
func NewBytesBody(b []byte) *BytesBody { return &BytesBody{b: b} }

// NewHeldBody is NewBytesBody for content whose memory somebody counts: release is called
// once, when the body is closed.
func NewHeldBody(b []byte, release func()) *BytesBody {
	body := NewBytesBody(b)
	body.release.Store(&release)
	return body
}

// Bytes is the whole content, whatever has been read of it.
func (b *BytesBody) Bytes() []byte { return b.b }

// Rewind makes the next Read start over.
func (b *BytesBody) Rewind() { b.off = 0 }

// Read copies what is left.
func (b *BytesBody) Read(p []byte) (int, error) {
	if b.off == len(b.b) {
		return 0, io.EOF
	}
	n := copy(p, b.b[b.off:])
	b.off += n
	return n, nil
}

// WriteTo writes what is left in one Write.
func (b *BytesBody) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b.b[b.off:])
	b.off += n
	return int64(n), err
}

// SupportsBodyWriteTo lets fasthttp write the content without a copy.
func (b *BytesBody) SupportsBodyWriteTo() bool { return true }

// Close lets go of what is counted; the content stays as it is.
func (b *BytesBody) Close() error {
	if release := b.release.Swap(nil); release != nil {
		(*release)()
	}
	return nil
}

// Len is the length of the whole content.
func (b *BytesBody) Len() int64 { return int64(len(b.b)) }

// Trailer is always nil.
func (b *BytesBody) Trailer() *fasthttp.ResponseHeader { return nil }

type noBody struct{}

func (noBody) Read([]byte) (int, error)          { return 0, io.EOF }
func (noBody) Close() error                      { return nil }
func (noBody) Len() int64                        { return 0 }
func (noBody) Trailer() *fasthttp.ResponseHeader { return nil }

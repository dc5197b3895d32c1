package h1

import (
	"errors"
	"io"
	"strconv"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// How a stream is written.
//
// Problem: fasthttp writes a body of known length when 4 KiB of it have come, not when
// a piece has; it copies each piece of a chunked one into that buffer, so that a large
// one costs several writes; and head and end are writes of their own.
//
// Way taken: fasthttp writes the head and, of a chunked body, the end. In between the
// pieces go straight to the connection, each in one write, its framing built around it
// where it lies. Where the first piece is there already, the head is held back for it,
// and where the last one is known to be the last, it is held back for the end.

const (
	// small is enough for tokens; who fills it gets large.
	small = 4 << 10
	large = 32 << 10
	// before and after a piece there is room for its framing.
	before = len("ffffffff\r\n")
	after  = len("\r\n")
)

var (
	smallBuffers = sync.Pool{New: func() any { return newBuffer(small) }} //nolint:gochecknoglobals // a pool is shared by nature
	largeBuffers = sync.Pool{New: func() any { return newBuffer(large) }} //nolint:gochecknoglobals // a pool is shared by nature
)

func newBuffer(size int) *[]byte {
	b := make([]byte, before+size+after)
	return &b
}

// holder is a connection that can send two writes as one.
type holder interface{ Hold() }

func (x *serving) hold() {
	if h, ok := x.conn.(holder); ok {
		h.Hold()
	}
}

var _ fasthttp.BodyWriterTo = (*serving)(nil)

// SupportsBodyWriteTo has fasthttp call WriteTo.
func (x *serving) SupportsBodyWriteTo() bool { return true }

// Read is not called.
func (x *serving) Read(p []byte) (int, error) { return x.Exchange.Read(p) }

// WriteTo writes the body to the connection, past fasthttp's buffer, which is empty. An
// error makes fasthttp close the connection without the last chunk, so that a cut
// answer never looks like a whole one.
func (x *serving) WriteTo(io.Writer) (int64, error) {
	pool := &smallBuffers
	buf := pool.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer func() { pool.Put(buf) }()
	length := x.Response.Body.Len()
	var total int64
	for {
		room := (*buf)[before : len(*buf)-after]
		n, err := x.Exchange.Read(room)
		total += int64(n)
		ended := errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
		if length >= 0 && total > length {
			return total, errTooLong
		}
		if n > 0 {
			piece := room[:n]
			if length < 0 {
				if ended {
					x.hold() // fasthttp writes the end next
				}
				piece = frame(*buf, n)
			}
			if _, werr := x.conn.Write(piece); werr != nil {
				x.Gone()
				x.Fail(werr)
				return total, werr
			}
		}
		switch {
		case ended:
			x.addTrailers()
			return total, nil
		case err != nil:
			return total, err
		case n == len(room) && n < large:
			pool.Put(buf)
			pool = &largeBuffers
			buf = pool.Get().(*[]byte) //nolint:forcetypeassert // as above
		}
	}
}

var errTooLong = errors.New("answer longer than its length")

// frame makes a chunk of the n bytes that stand in the middle of buf (RFC 9112 section
// 7.1).
func frame(buf []byte, n int) []byte {
	var digits [before]byte
	size := append(strconv.AppendInt(digits[:0], int64(n), 16), '\r', '\n')
	start := before - len(size)
	copy(buf[start:], size)
	copy(buf[before+n:], "\r\n")
	return buf[start : before+n+after]
}

// addTrailers has fasthttp write the body's trailers behind it.
func (x *serving) addTrailers() {
	for name, value := range proxy.TrailerFields(x.Response.Body.Trailer()) {
		// fasthttp refuses names that must not be trailers (RFC 9110 section 6.5.1).
		if x.header.AddTrailerBytes(name) == nil {
			x.header.AddBytesKV(name, value)
		}
	}
}

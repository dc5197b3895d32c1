package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// Values of body.remaining that are no count.
const (
	chunked    = -1
	untilClose = -2
)

// body is an answer's content, read from the connection as it comes (RFC 9112
// sections 6 and 7).
type body struct {
	x      *exchange
	length int64 // declared; -1: not known

	mu sync.Mutex // held by Read
	// remaining is what is left of the content, or of nothing known: chunked,
	// untilClose. chunkLeft is what is left of the chunk, and chunkEnd says that
	// the line end after it has not been read yet.
	remaining int64
	chunkLeft int64
	chunkEnd  bool
	err       error
	trailer   *fasthttp.ResponseHeader

	// done is set by whoever ends the exchange first: the Read that saw the end,
	// or Close.
	done atomic.Bool
}

var _ proxy.Body = (*body)(nil)

// frame finds the content's framing.
func (b *body) frame(h *fasthttp.ResponseHeader, head bool) {
	s := h.StatusCode()
	n := h.ContentLength()
	switch {
	case head, s == fasthttp.StatusNoContent, s == fasthttp.StatusNotModified:
		b.remaining = 0
	case n >= 0:
		b.remaining = int64(n)
	case n == -1:
		b.remaining = chunked
	default:
		b.remaining = untilClose
		b.x.c.unfit = true
	}
	b.length = max(b.remaining, -1)
}

func (b *body) Len() int64 { return b.length }

// Ready is how many bytes Read would return without waiting; of a chunked body one
// stands for some.
func (b *body) Ready() int {
	if !b.mu.TryLock() {
		return 0 // a Read waits
	}
	defer b.mu.Unlock()
	if b.err != nil || b.done.Load() {
		return 0
	}
	br := b.x.c.br
	switch {
	case b.remaining != chunked:
		return br.Buffered()
	case b.chunkLeft > 0:
		return int(min(int64(br.Buffered()), b.chunkLeft))
	case b.moreBuffered(br):
		return 1
	}
	return 0
}

func (b *body) Trailer() *fasthttp.ResponseHeader { return b.trailer }

// Read returns what has arrived; several small chunks that have arrived
// together come together.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	if b.done.Load() {
		return 0, errClosed
	}
	n, err := b.read(p)
	if err == nil {
		return n, nil
	}
	b.err = err
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		b.finish()
	} else {
		b.err = fmt.Errorf("upstream %s: %w", b.x.t.address, err)
		b.cut()
	}
	return n, b.err
}

var errClosed = errors.New("body closed")

func (b *body) read(p []byte) (int, error) {
	br := b.x.c.br
	switch b.remaining {
	case chunked:
		return b.readChunked(br, p)
	case untilClose:
		return br.Read(p)
	}
	n, err := br.Read(p[:min(int64(len(p)), b.remaining)])
	b.remaining -= int64(n)
	if b.remaining == 0 {
		return n, io.EOF
	}
	return n, cutShort(err)
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (b *body) readChunked(br *bufio.Reader, p []byte) (n int, err error) {
	for n < len(p) {
		if n > 0 && !b.moreBuffered(br) {
			break
		}
		if b.chunkLeft == 0 {
			last, err := b.nextChunk(br)
			if last || err != nil {
				return n, err
			}
		}
		m, err := br.Read(p[n:min(int64(len(p)), int64(n)+b.chunkLeft)])
		n += m
		b.chunkLeft -= int64(m)
		b.chunkEnd = b.chunkLeft == 0
		if err != nil {
			return n, cutShort(err)
		}
	}
	return n, nil
}

// moreBuffered says whether going on needs no waiting.
func (b *body) moreBuffered(br *bufio.Reader) bool {
	if b.chunkLeft > 0 {
		return br.Buffered() > 0
	}
	have, _ := br.Peek(br.Buffered())
	if b.chunkEnd {
		_, have, _ = bytes.Cut(have, []byte{'\n'})
	}
	line, after, ok := bytes.Cut(have, []byte{'\n'})
	if !ok || len(line) == 0 || len(after) == 0 {
		return false
	}
	// The last chunk may be followed by trailers that have not arrived; mostly the end
	// is there.
	return line[0] != '0' || after[0] == '\n' || bytes.HasPrefix(after, []byte("\r\n"))
}

// nextChunk reads on to the data of the next chunk, or to the end of the
// content, for which it returns io.EOF.
func (b *body) nextChunk(br *bufio.Reader) (last bool, err error) {
	if b.chunkEnd {
		if err := readLineEnd(br); err != nil {
			return false, err
		}
		b.chunkEnd = false
	}
	line, err := br.ReadSlice('\n')
	if err != nil {
		return false, cutShort(err)
	}
	size, err := chunkSize(line)
	if err != nil {
		return false, err
	}
	if size > 0 {
		b.chunkLeft = size
		return false, nil
	}
	t := new(fasthttp.ResponseHeader)
	t.DisableNormalizing()
	t.SetNoDefaultContentType(true)
	if err := proxy.Quiet(t.ReadTrailer(br)); err != nil {
		return false, cutShort(err)
	}
	if len(t.PeekTrailerKeys()) > 0 {
		b.trailer = t
	}
	return true, io.EOF
}

func readLineEnd(br *bufio.Reader) error {
	c, err := br.ReadByte()
	if err == nil && c == '\r' {
		c, err = br.ReadByte()
	}
	if err != nil {
		return cutShort(err)
	}
	if c != '\n' {
		return errors.New("chunk longer than its size")
	}
	return nil
}

// chunkSize reads the line before a chunk (RFC 9112 section 7.1): hexadecimal
// digits, then perhaps extensions, which are read over.
func chunkSize(line []byte) (int64, error) {
	var size int64
	i := 0
	for ; i < len(line); i++ {
		d := hexDigit(line[i])
		if d < 0 {
			break
		}
		if i == 15 {
			return 0, errors.New("chunk size too large")
		}
		size = size<<4 | d
	}
	rest := bytes.TrimRight(line[i:], " \t\r\n")
	if i == 0 || (len(rest) > 0 && bytes.TrimLeft(rest, " \t")[0] != ';') {
		return 0, fmt.Errorf("bad chunk size %q", line[:min(len(line), 32)])
	}
	return size, nil
}

func hexDigit(c byte) int64 {
	switch {
	case c >= '0' && c <= '9':
		return int64(c - '0')
	case c >= 'a' && c <= 'f':
		return int64(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int64(c-'A') + 10
	}
	return -1
}

// finish ends the exchange after the last byte.
func (b *body) finish() {
	if b.done.CompareAndSwap(false, true) {
		b.x.finish()
	}
}

// cut ends it before.
func (b *body) cut() {
	if b.done.CompareAndSwap(false, true) {
		b.x.fail()
	}
}

// Close cancels what is left: the connection is closed at once.
func (b *body) Close() error {
	if !b.done.CompareAndSwap(false, true) {
		return nil
	}
	b.x.c.abort() // ends a Read in flight
	b.mu.Lock()
	defer b.mu.Unlock()
	b.x.fail()
	return nil
}

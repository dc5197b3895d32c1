package upstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// request makes net/http's request: the caller's head less what was meant for its
// own connection, as appendHead does for HTTP/1.1.
func (t *Multiplexer) request(ctx context.Context, req *proxy.Request) (*http.Request, *sentBody) {
	h := req.Header
	target, host := string(h.RequestURI()), string(h.Host())
	if scheme, rest, ok := strings.Cut(target, "://"); ok && scheme != "" && !strings.ContainsAny(scheme, "/?") {
		// The absolute form's host wins (RFC 9112 section 3.2.2).
		i := strings.IndexAny(rest+"/", "/?")
		if host, target = rest[:i], rest[i:]; !strings.HasPrefix(target, "/") {
			target = "/" + target
		}
	}
	out := &http.Request{
		Method: string(h.Method()), URL: t.url(target), Host: host,
		Header: make(http.Header), Proto: "HTTP/2.0", ProtoMajor: 2,
	}
	text := headBuffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	*text = appendHead((*text)[:0], h, t.address)
	for name, value := range proxy.Fields(*text) {
		addField(out.Header, name, value)
	}
	headBuffers.Put(text)
	if len(out.Header["User-Agent"]) == 0 {
		out.Header["User-Agent"] = []string{""} // or net/http adds its own
	}
	if out.Header.Get("Trailer") != "" {
		out.Trailer = make(http.Header)
		for name := range h.Trailers() {
			out.Trailer[http.CanonicalHeaderKey(string(name))] = nil
		}
		delete(out.Header, "Trailer")
	}
	if req.Body.Len() == 0 {
		return out.WithContext(ctx), nil
	}
	b := &sentBody{body: req.Body, trailer: out.Trailer}
	out.Body, out.ContentLength = b, req.Body.Len()
	return out.WithContext(ctx), b
}

// url has net/http send target as it is, byte for byte.
func (t *Multiplexer) url(target string) *url.URL {
	u := &url.URL{Scheme: t.scheme, Host: t.address}
	if strings.HasPrefix(target, "//") {
		// As Opaque it would be taken for an authority.
		u.RawPath, u.RawQuery, u.ForceQuery = target, "", false
		if path, query, ok := strings.Cut(target, "?"); ok {
			u.RawPath, u.RawQuery, u.ForceQuery = path, query, query == ""
		}
		u.Path = u.RawPath
		if p, err := url.PathUnescape(u.RawPath); err == nil {
			u.Path = p
		}
		return u
	}
	u.Opaque = target
	return u
}

// addField adds what HTTP/2 has as a field. Host is :authority, and the framing is
// net/http's.
func addField(dst http.Header, name, value []byte) {
	switch len(name) {
	case 4:
		if bytes.EqualFold(name, []byte("host")) {
			return
		}
	case 14:
		if bytes.EqualFold(name, []byte("content-length")) {
			return
		}
	case 17:
		if bytes.EqualFold(name, []byte("transfer-encoding")) {
			return
		}
	}
	key := http.CanonicalHeaderKey(string(name))
	dst[key] = append(dst[key], string(value))
}

// sentBody is the request's body as net/http reads it. Once it is closed nobody
// touches the body underneath any more; one that was never read from stays as it was,
// and may be sent once more.
type sentBody struct {
	trailer http.Header // announced; nil: none

	closed  atomic.Bool
	touched atomic.Bool

	mu   sync.Mutex // held by Read
	body proxy.Body
	err  error
}

// Read relays what is ready.
func (b *sentBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.touched.Store(true) // before the look, so that Close sees either this or that
	if b.closed.Load() {
		return 0, errClosed
	}
	n, err := b.body.Read(p)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		b.readTrailer()
	case !b.closed.Load():
		b.err = err
	}
	return n, err
}

func (b *sentBody) readTrailer() {
	for k, v := range proxy.TrailerFields(b.body.Trailer()) {
		name := http.CanonicalHeaderKey(string(k))
		if values, announced := b.trailer[name]; announced {
			b.trailer[name] = append(values, string(v))
		}
	}
}

// Close ends a Read in flight and returns when it has returned.
func (b *sentBody) Close() error {
	if b == nil || !b.closed.CompareAndSwap(false, true) || !b.touched.Load() {
		return nil
	}
	if b.mu.TryLock() {
		defer b.mu.Unlock()
		return nil
	}
	err := b.body.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	return err
}

// release makes sure that net/http reads no more.
func (b *sentBody) release() { _ = b.Close() } // the outcome is the round trip's

// failure is why the request's body could not be read to its end.
func (b *sentBody) failure() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// answer makes the Response of net/http's.
func (t *Multiplexer) answer(in *http.Response, sent *sentBody, head bool) (*proxy.Response, error) {
	b := &received{in: in, sent: sent, address: t.address}
	if len(in.Trailer) > 0 && !head && in.ContentLength > 0 {
		// HTTP/1.1 has trailers only where the length is not told.
		in.ContentLength = -1
		delete(in.Header, "Content-Length")
	}
	resp := proxy.NewResponse()
	if err := readAnswerHead(&resp.Header, in, head); err != nil {
		return nil, errors.Join(err, resp.Close(), b.Close())
	}
	if head {
		sent.release()
		return resp, b.Close()
	}
	resp.Body = b
	if in.ContentLength != 0 {
		return resp, nil
	}
	// Nothing comes but the end, and perhaps trailers.
	if _, err := b.Read(make([]byte, 1)); err == nil || !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errors.Join(err, resp.Close())
	}
	if b.trailer == nil {
		resp.Body = proxy.NoBody
		return resp, b.Close()
	}
	return resp, nil
}

// readAnswerHead makes of an answer's head what one in HTTP/1.1 would have become,
// by the same parser.
func readAnswerHead(h *fasthttp.ResponseHeader, in *http.Response, head bool) error {
	text := headBuffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer headBuffers.Put(text)
	b := append(strconv.AppendInt(append((*text)[:0], "HTTP/1.1 "...), int64(in.StatusCode), 10), " \r\n"...)
	for _, name := range slices.Sorted(maps.Keys(in.Header)) {
		lower := strings.ToLower(name)
		for _, v := range in.Header[name] {
			b = append(append(append(append(b, lower...), ": "...), v...), "\r\n"...)
		}
	}
	if !head && in.StatusCode != http.StatusNoContent && in.StatusCode != http.StatusNotModified && len(in.Header["Content-Length"]) == 0 {
		b = append(b, "transfer-encoding: chunked\r\n"...)
	}
	*text = append(b, "\r\n"...)
	return h.Read(bufio.NewReaderSize(bytes.NewReader(*text), len(*text)))
}

// received is an answer's content, read from its stream as it comes.
type received struct {
	in      *http.Response
	sent    *sentBody // nil where there was none
	address string

	closed atomic.Bool

	mu      sync.Mutex // held by Read
	err     error
	trailer *fasthttp.ResponseHeader
}

var _ proxy.Body = (*received)(nil)

func (b *received) Len() int64 { return b.in.ContentLength }

func (b *received) Trailer() *fasthttp.ResponseHeader { return b.trailer }

// Read returns what has arrived.
func (b *received) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	if b.closed.Load() {
		return 0, errClosed
	}
	n, err := b.in.Body.Read(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		b.err = io.EOF
		b.readTrailer()
	default:
		b.err = fmt.Errorf("upstream %s: %w", b.address, err)
	}
	return n, b.err
}

func (b *received) readTrailer() {
	for _, name := range slices.Sorted(maps.Keys(b.in.Trailer)) {
		lower := strings.ToLower(name)
		for _, v := range b.in.Trailer[name] {
			b.trailer = proxy.AddTrailer(b.trailer, lower, v)
		}
	}
}

// Close gives up the rest, where there is one: it resets the stream, and no other.
func (b *received) Close() error {
	if !b.closed.CompareAndSwap(false, true) {
		return nil
	}
	b.sent.release()
	err := b.in.Body.Close()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return err
}

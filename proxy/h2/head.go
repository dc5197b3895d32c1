package h2

import (
	"bufio"
	"bytes"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
)

// requestHead makes of a request's head what the HTTP/1.1 codec would have made of
// it: it is written in HTTP/1.1 and read by the same parser, so that whatever stands
// behind the codecs (the router, the batcher's keys, the upstream) cannot tell. The
// path stays as it was received, byte for byte; names are in lower case, as HTTP/2
// has them.
//
// net/http has refused the fields that belong to one connection, and control
// characters in values; method and path are checked here, for they must not become a
// second line.
func requestHead(r *http.Request, l *config.Limits) (*fasthttp.RequestHeader, error) {
	h := new(fasthttp.RequestHeader)
	h.DisableNormalizing()
	h.SetNoDefaultContentType(true)
	if !token(r.Method) || !visible(r.RequestURI) || strings.ContainsAny(r.Host, " \t\r\n") {
		return h, malformed(errors.New("malformed :method, :path or :authority"))
	}
	if err := check(r.Header, l); err != nil {
		return h, err
	}
	s := scratches.Get().(*scratch) //nolint:forcetypeassert // the pool holds nothing else
	defer scratches.Put(s)
	s.text = appendHead(s.text[:0], r)
	s.source.Reset(s.text)
	br := s.br
	if len(s.text) > br.Size() {
		br = bufio.NewReaderSize(&s.source, len(s.text))
	}
	br.Reset(&s.source)
	if err := h.Read(br); err != nil {
		return h, malformed(err)
	}
	return h, nil
}

// check holds the fields to the listener's limits.
func check(h http.Header, l *config.Limits) error {
	n := 0
	for name, values := range h {
		n += len(values)
		if l.Underscores == config.AllowUnderscores || !strings.Contains(name, "_") {
			continue
		}
		if l.Underscores == config.RefuseUnderscores {
			return malformed(errors.New("an underscore in a name"))
		}
		delete(h, name)
	}
	if n > l.MaxHeaders {
		return &proxy.Error{
			Status: fasthttp.StatusRequestHeaderFieldsTooLarge, Flag: proxy.FlagDownstreamTooLarge,
			Message: "Request Header Fields Too Large", Err: errors.New("too many fields in the head"),
		}
	}
	return nil
}

func malformed(err error) *proxy.Error {
	return &proxy.Error{Status: fasthttp.StatusBadRequest, Flag: proxy.FlagDownstreamProtocol, Err: err}
}

// appendHead writes a request's head as HTTP/1.1.
func appendHead(b []byte, r *http.Request) []byte {
	b = append(append(append(append(b, r.Method...), ' '), r.RequestURI...), " HTTP/1.1\r\n"...)
	b = appendField(b, "host", r.Host)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if name == "Host" {
			continue // :authority has said it
		}
		for _, value := range r.Header[name] {
			b = appendField(b, name, value)
		}
	}
	if len(r.Trailer) > 0 {
		b = appendField(b, "trailer", strings.ToLower(strings.Join(slices.Sorted(maps.Keys(r.Trailer)), ", ")))
	}
	if r.ContentLength < 0 {
		b = appendField(b, "transfer-encoding", "chunked")
	}
	return append(b, "\r\n"...)
}

func appendField(b []byte, name, value string) []byte {
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		b = append(b, c)
	}
	b = append(append(b, ": "...), value...)
	return append(b, "\r\n"...)
}

// token says whether s is one (RFC 9110 section 5.6.2).
func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// visible says whether s can stand in a request line: no blanks, no control
// characters.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}

// writeHead makes net/http's header of an answer's, and adds nothing: where the server
// gave no Date, Content-Type or Content-Length, the nil values keep net/http from
// making one up. n is the body's length, -1 where it is not known.
func writeHead(dst http.Header, src *fasthttp.ResponseHeader, n int64, head bool) {
	dst["Date"], dst["Content-Type"], dst["Content-Length"] = nil, nil, nil
	for k, v := range src.All() {
		name := http.CanonicalHeaderKey(string(k))
		switch name {
		case "Transfer-Encoding":
			continue
		case "Content-Length":
			if n > 0 || (n < 0 && !head) {
				continue // what is written is what is there
			}
		}
		dst[name] = append(dst[name], string(v))
	}
	if n > 0 {
		dst["Content-Length"] = []string{strconv.FormatInt(n, 10)}
	}
}

// writeTrailer has net/http send t after the body.
func writeTrailer(dst http.Header, t *fasthttp.ResponseHeader) {
	for k, v := range proxy.TrailerFields(t) {
		name := http.TrailerPrefix + string(k)
		dst[name] = append(dst[name], string(v))
	}
}

// scratch is what reading a head needs for a moment.
type scratch struct {
	text   []byte
	source bytes.Reader
	br     *bufio.Reader
}

var scratches = sync.Pool{New: func() any { return &scratch{br: bufio.NewReaderSize(nil, 4<<10)} }} //nolint:gochecknoglobals // a pool is shared by nature

package h2

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2/hpack"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/exchange"
	"github.com/fridaymesh/friday/proxy/http2"
)

// received is a request's head, taken apart.
type received struct {
	method, path, authority, protocol string
	fields                            []hpack.HeaderField // the others
	length                            int64
}

func receive(st *http2.Stream) *received {
	r := &received{length: st.Length()}
	fields := st.Fields()
	for len(fields) > 0 && strings.HasPrefix(fields[0].Name, ":") {
		switch f := fields[0]; f.Name {
		case ":method":
			r.method = f.Value
		case ":path":
			r.path = f.Value
		case ":authority":
			r.authority = f.Value
		case ":protocol":
			r.protocol = strings.ToLower(f.Value)
		}
		fields = fields[1:]
	}
	r.fields = fields
	return r
}

// requestHead makes of a request's head what the HTTP/1.1 codec would have made of
// it: it is written in HTTP/1.1 and read by the same parser, so that whatever stands
// behind the codecs (the router, the batcher's keys, the upstream) cannot tell. The
// path stays as it was received, byte for byte; names are in lower case, as HTTP/2
// has them. An extended CONNECT (RFC 8441) becomes an upgrade.
//
// Control characters in values have been refused; method and path are checked here,
// for they must not become a second line.
func requestHead(st *http2.Stream, l *config.HTTP) (h *fasthttp.RequestHeader, upgrade string, err error) {
	r := receive(st)
	h = new(fasthttp.RequestHeader)
	h.DisableNormalizing()
	h.SetNoDefaultContentType(true)
	if st.Truncated() {
		return h, "", tooLarge("head too long")
	}
	if r.protocol != "" {
		if upgrade = r.protocol; r.method != "CONNECT" {
			return h, "", malformed(errors.New(":protocol without CONNECT"))
		}
		if !slices.Contains(l.Upgrades, upgrade) {
			return h, "", &proxy.Error{
				Status: fasthttp.StatusNotImplemented, Flag: proxy.FlagDownstreamProtocol, Message: "Not Implemented",
				Err: errors.New("upgrade to " + strconv.Quote(upgrade) + " not configured"),
			}
		}
		r.method = "GET"
	}
	return h, upgrade, r.head(h, upgrade, &l.Limits)
}

// head fills h.
func (r *received) head(h *fasthttp.RequestHeader, upgrade string, l *config.Limits) error {
	if !token(r.method) || !target(r.method, r.path) {
		return malformed(errors.New("malformed :method or :path"))
	}
	if r.method == fasthttp.MethodConnect {
		return exchange.NoConnect()
	}
	if err := r.check(l); err != nil {
		return err
	}
	s := scratches.Get().(*scratch) //nolint:forcetypeassert // the pool holds nothing else
	defer scratches.Put(s)
	s.text = r.append(s.text[:0], upgrade)
	s.source.Reset(s.text)
	br := s.br
	if len(s.text) > br.Size() {
		br = bufio.NewReaderSize(&s.source, len(s.text))
	}
	br.Reset(&s.source)
	if err := h.Read(br); err != nil {
		return malformed(proxy.Quiet(err))
	}
	return nil
}

// check holds the fields to the RFC and to the listener's limits.
func (r *received) check(l *config.Limits) error {
	n, hosts := 0, 0
	for i := range r.fields {
		f := &r.fields[i]
		switch f.Name {
		case "host":
			if hosts++; r.authority == "" {
				r.authority = f.Value
			}
		case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
			return malformed(errors.New("a field of HTTP/1.1's connections: " + f.Name))
		case "te":
			if f.Value != "trailers" {
				return malformed(errors.New("te: " + f.Value))
			}
		}
		n++
		if l.Underscores == config.AllowUnderscores || !strings.Contains(f.Name, "_") {
			continue
		}
		if l.Underscores == config.RefuseUnderscores {
			return malformed(errors.New("an underscore in a name"))
		}
		f.Name = "" // is not written
	}
	if hosts > 1 || !host(r.authority) {
		return malformed(errors.New("no host, or no good one"))
	}
	if l.MaxHeaders > 0 && n > l.MaxHeaders {
		return tooLarge("too many fields in the head")
	}
	return nil
}

func tooLarge(why string) *proxy.Error {
	return &proxy.Error{
		Status: fasthttp.StatusRequestHeaderFieldsTooLarge, Flag: proxy.FlagDownstreamTooLarge,
		Message: "Request Header Fields Too Large", Err: errors.New(why),
	}
}

func malformed(err error) *proxy.Error {
	return &proxy.Error{Status: fasthttp.StatusBadRequest, Flag: proxy.FlagDownstreamProtocol, Err: err}
}

// append writes the head as HTTP/1.1.
func (r *received) append(b []byte, upgrade string) []byte {
	b = append(append(append(append(b, r.method...), ' '), r.path...), " HTTP/1.1\r\n"...)
	b = appendField(b, "host", r.authority)
	cookies, key, length := false, false, false
	for _, f := range r.fields {
		switch f.Name {
		case "", "host": // :authority has said it
			continue
		case "content-length":
			if length || upgrade != "" {
				continue // that they are equal has been seen
			}
			length = true
		case "cookie":
			if cookies {
				continue
			}
			cookies = true
			b = r.appendCookies(b)
			continue
		case "sec-websocket-key":
			key = true
		}
		b = appendField(b, f.Name, f.Value)
	}
	switch {
	case upgrade != "":
		b = appendField(b, "connection", "Upgrade")
		b = appendField(b, "upgrade", upgrade)
		if !key && upgrade == "websocket" {
			// HTTP/2 has no need of it, HTTP/1.1 will not do without.
			var random [16]byte
			_, _ = rand.Read(random[:]) // it never fails
			b = appendField(b, "sec-websocket-key", base64.StdEncoding.EncodeToString(random[:]))
		}
	case r.length < 0:
		b = appendField(b, "transfer-encoding", "chunked")
	}
	return append(b, "\r\n"...)
}

// appendCookies writes as one field what HTTP/2 may have cut into crumbs (RFC 9113
// section 8.2.3).
func (r *received) appendCookies(b []byte) []byte {
	b = append(b, "cookie: "...)
	first := true
	for _, f := range r.fields {
		if f.Name != "cookie" {
			continue
		}
		if !first {
			b = append(b, "; "...)
		}
		first = false
		b = append(b, f.Value...)
	}
	return append(b, "\r\n"...)
}

func appendField(b []byte, name, value string) []byte {
	b = append(append(append(b, name...), ": "...), value...)
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

// target says whether path is a :path (RFC 9113 section 8.3.1) that can stand in a
// request line: no blanks, no control characters, no fragment. One that begins with
// anything but a slash would be another host's to whoever reads it in HTTP/1.1.
func target(method, path string) bool {
	for i := range len(path) {
		if path[i] <= ' ' || path[i] == 0x7f || path[i] == '#' {
			return false
		}
	}
	return strings.HasPrefix(path, "/") || path == "*" && method == fasthttp.MethodOptions
}

// host says whether s is one, as in HTTP/1.1 (RFC 3986 section 3.2.2), perhaps with a port.
func host(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
		if !letter && strings.IndexByte("-._~%!$&'()*+,;=:[]", c) < 0 {
			return false
		}
	}
	return s != ""
}

// appendAnswer makes an answer's head, and adds nothing. n is the body's length, -1
// where it is not known.
func appendAnswer(f []hpack.HeaderField, status int, src *fasthttp.ResponseHeader, n int64, head, tunnel bool) []hpack.HeaderField {
	f = append(f, hpack.HeaderField{Name: ":status", Value: statusText(status)})
	for k, v := range src.All() {
		name := http2.Name(k)
		switch name {
		case "transfer-encoding", "connection":
			continue
		case "content-length":
			if n > 0 || (n < 0 && !head) {
				continue // what is written is what is there
			}
		case "sec-websocket-accept":
			if tunnel {
				continue
			}
		}
		if token(name) {
			f = append(f, hpack.HeaderField{Name: name, Value: http2.Word(v)})
		}
	}
	if n > 0 {
		f = append(f, hpack.HeaderField{Name: "content-length", Value: strconv.FormatInt(n, 10)})
	}
	return f
}

func statusText(status int) string {
	if status == fasthttp.StatusOK {
		return "200"
	}
	return strconv.Itoa(status)
}

func appendTrailer(f []hpack.HeaderField, t *fasthttp.ResponseHeader) []hpack.HeaderField {
	for k, v := range proxy.TrailerFields(t) {
		if name := http2.Name(k); token(name) {
			f = append(f, hpack.HeaderField{Name: name, Value: http2.Word(v)})
		}
	}
	return f
}

// scratch is what reading a head needs for a moment.
type scratch struct {
	text   []byte
	source bytes.Reader
	br     *bufio.Reader
}

var scratches = sync.Pool{New: func() any { return &scratch{br: bufio.NewReaderSize(nil, 4<<10)} }} //nolint:gochecknoglobals // a pool is shared by nature

package upstream

import (
	"bufio"
	"bytes"
	"crypto/sha1" // #nosec G505 -- what RFC 6455 has
	"encoding/base64"
	"strconv"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2/hpack"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/http2"
)

type xhttp2Field = hpack.HeaderField

// fields makes a request's head: the caller's less what was meant for its own
// connection, as appendHead does for HTTP/1.1. n is its body's length, -1 where it is
// not known.
func (x *call) fields(n int64) *[]xhttp2Field {
	h := x.req.Header
	text := headBuffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer headBuffers.Put(text)
	*text = appendHead((*text)[:0], h, x.t.address, x.req.Span)
	target, host := string(h.RequestURI()), string(h.Host())
	if scheme, rest, ok := strings.Cut(target, "://"); ok && scheme != "" && !strings.ContainsAny(scheme, "/?") {
		// The absolute form's host wins (RFC 9112 section 3.2.2).
		i := strings.IndexAny(rest+"/", "/?")
		if host, target = rest[:i], rest[i:]; !strings.HasPrefix(target, "/") {
			target = "/" + target
		}
	}
	list := fieldLists.Get().(*[]xhttp2Field) //nolint:forcetypeassert // the pool holds nothing else
	f := (*list)[:0]
	if kind := x.req.Upgrade; kind != "" {
		f = append(f, xhttp2Field{Name: ":method", Value: "CONNECT"}, xhttp2Field{Name: ":protocol", Value: kind})
	} else {
		f = append(f, xhttp2Field{Name: ":method", Value: http2.Word(h.Method())})
	}
	f = append(f, xhttp2Field{Name: ":scheme", Value: x.t.scheme}, xhttp2Field{Name: ":path", Value: target})
	if host != "" {
		f = append(f, xhttp2Field{Name: ":authority", Value: host})
	}
	for name, value := range proxy.Fields(*text) {
		lower := http2.Name(name)
		switch lower {
		case "host", "transfer-encoding", "connection", "upgrade":
			continue
		case "content-length":
			if n != 0 || string(value) != "0" {
				continue // what is written is what is there
			}
		case "sec-websocket-key":
			if x.req.Upgrade != "" {
				continue // HTTP/2 needs no such proof (RFC 8441 section 5)
			}
		}
		f = append(f, xhttp2Field{Name: lower, Value: http2.Word(value)})
	}
	if n > 0 {
		f = append(f, xhttp2Field{Name: "content-length", Value: strconv.FormatInt(n, 10)})
	}
	*list = f
	return list
}

// trailerFields makes trailers.
func trailerFields(t *fasthttp.ResponseHeader) (f []xhttp2Field) {
	for name, value := range proxy.TrailerFields(t) {
		f = append(f, xhttp2Field{Name: strings.ToLower(string(name)), Value: string(value)})
	}
	return f
}

// readAnswerHead makes of an answer's head what one in HTTP/1.1 would have become,
// by the same parser. n is its body's length, -1 where it is not known.
func (x *call) readAnswerHead(h *fasthttp.ResponseHeader, in []xhttp2Field, n int64, head bool) error {
	s := scratches.Get().(*scratch) //nolint:forcetypeassert // the pool holds nothing else
	defer scratches.Put(s)
	status := in[0].Value // the first is :status: there is no other that an answer may have
	tunnel := x.req.Upgrade != "" && status == "200"
	if tunnel {
		status = "101"
	}
	b := append(append(append(s.text[:0], "HTTP/1.1 "...), status...), " \r\n"...)
	for _, f := range in[1:] {
		switch f.Name {
		case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
			continue // RFC 9113 section 8.2.2 has none of these
		case "content-length":
			if n < 0 && !head {
				continue
			}
		}
		b = append(append(append(append(b, f.Name...), ": "...), f.Value...), "\r\n"...)
	}
	switch {
	case tunnel:
		b = append(append(append(b, "connection: Upgrade\r\nupgrade: "...), x.req.Upgrade...), "\r\n"...)
		if key := x.websocketKey(); key != "" {
			b = append(append(append(b, "sec-websocket-accept: "...), websocketAccept(key)...), "\r\n"...)
		}
	case n < 0 && !head:
		b = append(b, "transfer-encoding: chunked\r\n"...)
	}
	s.text = append(b, "\r\n"...)
	return s.read(h)
}

func (x *call) websocketKey() string {
	for _, name := range []string{"Sec-WebSocket-Key", "sec-websocket-key", "Sec-Websocket-Key"} {
		if v := x.req.Header.Peek(name); len(v) > 0 {
			return string(v)
		}
	}
	return ""
}

// websocketAccept is the proof that a server has understood (RFC 6455 section 4.2.2).
func websocketAccept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // #nosec G401 -- what RFC 6455 has
	return base64.StdEncoding.EncodeToString(sum[:])
}

// fieldLists serve the heads that are written.
var fieldLists = sync.Pool{New: func() any { f := make([]xhttp2Field, 0, 24); return &f }} //nolint:gochecknoglobals // a pool is shared by nature

// scratch is what reading a head needs for a moment.
type scratch struct {
	text   []byte
	source bytes.Reader
	br     *bufio.Reader
}

func (s *scratch) read(h *fasthttp.ResponseHeader) error {
	s.source.Reset(s.text)
	br := s.br
	if len(s.text) > br.Size() {
		br = bufio.NewReaderSize(&s.source, len(s.text))
	}
	br.Reset(&s.source)
	return proxy.Quiet(h.Read(br))
}

var scratches = sync.Pool{New: func() any { return &scratch{br: bufio.NewReaderSize(nil, 4<<10)} }} //nolint:gochecknoglobals // a pool is shared by nature

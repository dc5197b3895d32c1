package upstream

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy/span"
)

// appendHead appends the request's head as it goes to the server: as the caller
// wrote it, in HTTP/1.1, less what was meant for the caller's own connection
// (RFC 9110 section 7.6.1) and Expect, which the downstream codec has met.
//
// It works on the written lines: taking fields out of a fasthttp header would
// change the order of those that stay, and reading them all would rewrite Cookie.
// An HTTP/1.0 request without Host, which 1.1 demands, gets the server's address.
//
// Where the request is traced, s takes the place of what the caller said of its trace.
func appendHead(dst []byte, h *fasthttp.RequestHeader, address string, s *span.Span) []byte {
	if !h.IsHTTP11() {
		h.SetProtocol("HTTP/1.1")
		if len(h.Host()) == 0 {
			h.SetHost(address)
		}
	}
	start := len(dst)
	h.SetNoDefaultContentType(true)
	dst = h.AppendBytes(dst)
	dst = dst[:start+dropHopByHop(dst[start:])]
	if s == nil {
		return dst
	}
	for _, name := range []string{"traceparent", "tracestate"} {
		dst = dst[:start+dropNamed(dst[start:], []byte(name))]
	}
	dst = s.AppendFields(dst[:len(dst)-len("\r\n")])
	return append(dst, "\r\n"...)
}

// dropHopByHop takes the lines out in place and returns the new length.
func dropHopByHop(head []byte) int {
	var named []byte
	w := 0
	for r := 0; r < len(head); {
		end := bytes.IndexByte(head[r:], '\n') + 1
		if end == 0 {
			end = len(head) - r
		}
		line := head[r : r+end]
		r += end
		if w > 0 && mayDrop[line[0]] {
			name, value, _ := bytes.Cut(line, []byte{':'})
			value = bytes.TrimSpace(value)
			if bytes.EqualFold(name, []byte("connection")) {
				named = append(append(named, value...), ',')
				continue
			}
			if dropped(name, value) {
				continue
			}
		}
		w += copy(head[w:], line)
	}
	for name := range bytes.SplitSeq(named, []byte{','}) {
		if name = bytes.TrimSpace(name); len(name) > 0 && !guarded(name) {
			w = dropNamed(head[:w], name)
		}
	}
	return w
}

// dropped says which fields do not go on. TE stays where it only says that
// trailers are welcome, which they are.
func dropped(name, value []byte) bool {
	switch len(name) {
	case 2:
		return bytes.EqualFold(name, []byte("te")) && !bytes.EqualFold(value, []byte("trailers"))
	case 6:
		return bytes.EqualFold(name, []byte("expect"))
	case 7:
		return bytes.EqualFold(name, []byte("upgrade"))
	case 10:
		return bytes.EqualFold(name, []byte("keep-alive"))
	case 16:
		return bytes.EqualFold(name, []byte("proxy-connection"))
	}
	return false
}

// guarded are the fields that a caller must not be able to take out by naming
// them in Connection, and the words there that name no field.
func guarded(name []byte) bool {
	for _, s := range []string{
		"close", "keep-alive", "te", "host", "content-length", "content-type", "content-encoding",
		"transfer-encoding", "trailer", "authorization", "cookie",
	} {
		if bytes.EqualFold(name, []byte(s)) {
			return true
		}
	}
	return false
}

func dropNamed(head, name []byte) int {
	w := 0
	for r := 0; r < len(head); {
		end := bytes.IndexByte(head[r:], '\n') + 1
		if end == 0 {
			end = len(head) - r
		}
		line := head[r : r+end]
		r += end
		if w > 0 {
			if field, _, _ := bytes.Cut(line, []byte{':'}); bytes.EqualFold(field, name) {
				continue
			}
		}
		w += copy(head[w:], line)
	}
	return w
}

// mayDrop has the first letters of the fields that may be dropped.
var mayDrop = [256]bool{ //nolint:gochecknoglobals // immutable
	'c': true, 'C': true, 'e': true, 'E': true, 'k': true, 'K': true,
	'p': true, 'P': true, 't': true, 'T': true, 'u': true, 'U': true,
}

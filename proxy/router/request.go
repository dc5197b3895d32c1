package router

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// request is the part of a request that routes look at. It lives on the stack of
// Match.
type request struct {
	header *fasthttp.RequestHeader
	// authority is Host, or the target's own where that is in absolute form.
	authority []byte
	// target is path and query: Envoy's ":path".
	target []byte
	// path is target up to "?" or "#", query what follows "?".
	path, query []byte
}

func newRequest(h *fasthttp.RequestHeader, uri []byte) request {
	r := request{header: h, authority: h.Host(), target: uri}
	if uri[0] != '/' {
		if authority, target, ok := absolute(uri); ok {
			r.authority, r.target = authority, target
		}
	}
	r.path = r.target
	if i := bytes.IndexByte(r.target, '?'); i >= 0 {
		r.path, r.query = r.target[:i], r.target[i+1:]
	}
	// A fragment is not allowed in a target, but comes; Envoy cuts the path there
	// and lets the query be.
	if i := bytes.IndexByte(r.path, '#'); i >= 0 {
		r.path = r.path[:i]
	}
	return r
}

// absolute takes "http://authority/path?query" apart (RFC 9112 section 3.2.2).
func absolute(uri []byte) (authority, target []byte, ok bool) {
	const http, https = "http://", "https://"
	switch {
	case hasPrefixFold(uri, http):
		uri = uri[len(http):]
	case hasPrefixFold(uri, https):
		uri = uri[len(https):]
	default:
		return nil, nil, false
	}
	end := bytes.IndexAny(uri, "/?#")
	switch {
	case end < 0:
		return uri, slash, true
	case uri[end] != '/':
		// An empty path is "/" (RFC 9110 section 4.2.3). This allocates, and nobody
		// sends it.
		return uri[:end], append([]byte{'/'}, uri[end:]...), true
	}
	return uri[:end], uri[end:], true
}

var slash = []byte("/") //nolint:gochecknoglobals // never written

// param returns the value of the first query parameter of a name, as it stands.
// A parameter without "=" is there, and empty.
func (r *request) param(name string) (value []byte, ok bool) {
	for rest := r.query; len(rest) > 0; {
		var one []byte
		one, rest, _ = bytes.Cut(rest, ampersand)
		key, value, _ := bytes.Cut(one, equals)
		if string(key) == name {
			return value, true
		}
	}
	return nil, false
}

// cookie returns the value of the first cookie of a name.
func (r *request) cookie(name string) (value []byte, ok bool) {
	ok, _ = cookieName.lines(r.header, func(rest []byte) bool {
		for len(rest) > 0 {
			var one []byte
			one, rest, _ = bytes.Cut(rest, semicolon)
			key, v, found := bytes.Cut(bytes.TrimSpace(one), equals)
			if found && string(key) == name {
				value = bytes.Trim(v, `"`)
				return true
			}
		}
		return false
	})
	return value, ok
}

//nolint:gochecknoglobals // never written
var (
	cookieName = headerName{"cookie", "Cookie"}

	semicolon = []byte(";")
	ampersand = []byte("&")
	equals    = []byte("=")
)

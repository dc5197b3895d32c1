package proxy

import (
	"bytes"
	"iter"

	"github.com/valyala/fasthttp"
)

// Fields goes over the names and values of a written head (what AppendBytes of a
// fasthttp header makes), in order and to the letter, without its first line. Asking a fasthttp
// request header for all its fields instead would parse Cookie and write it anew.
func Fields(head []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		_, rest, _ := bytes.Cut(head, []byte{'\n'})
		for len(rest) > 0 {
			var line []byte
			line, rest, _ = bytes.Cut(rest, []byte{'\n'})
			name, value, ok := bytes.Cut(line, []byte{':'})
			if !ok {
				continue
			}
			value = bytes.TrimSuffix(bytes.TrimPrefix(value, []byte{' '}), []byte{'\r'})
			if !yield(name, value) {
				return
			}
		}
	}
}

// TrailerFields goes over the names and values of a [Body]'s trailer, which may be
// nil: every value of a name, and also those under names that HTTP/1.1 may not have in
// a trailer (RFC 9110 section 6.5.1).
func TrailerFields(t *fasthttp.ResponseHeader) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		if t == nil {
			return
		}
		for name := range t.Trailers() {
			for _, value := range t.PeekAll(string(name)) {
				if !yield(name, value) {
					return
				}
			}
		}
		for name, value := range t.All() {
			if !bytes.EqualFold(name, []byte("trailer")) && !yield(name, value) {
				return
			}
		}
	}
}

// AddTrailer adds a field to a trailer for [Body.Trailer], and makes one where t is
// nil.
func AddTrailer(t *fasthttp.ResponseHeader, name, value string) *fasthttp.ResponseHeader {
	if t == nil {
		t = new(fasthttp.ResponseHeader)
		t.DisableNormalizing()
		t.SetNoDefaultContentType(true)
	}
	_ = t.AddTrailer(name) // a name that HTTP/1.1 may not have there is kept as a field
	t.Add(name, value)
	return t
}

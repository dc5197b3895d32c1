package exchange

import (
	"bytes"
	"errors"
	"iter"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// CopyHead copies an answer's head, less what belongs to the connection that it
// came over (RFC 9110 section 7.6.1). Who writes it makes the framing anew.
func CopyHead(dst, src *fasthttp.ResponseHeader) {
	src.CopyTo(dst)
	if !dst.IsHTTP11() {
		dst.SetProtocol([]byte("HTTP/1.1"))
	}
	var (
		doomed [8][]byte
		n      int
		named  []byte
	)
	for k, v := range dst.All() {
		if n == len(doomed) || !hopByHop(k) {
			continue
		}
		doomed[n] = bytes.Clone(k)
		n++
		if len(k) == len("connection") && k[0]|0x20 == 'c' {
			named = append(append(named, v...), ',')
		}
	}
	dst.ResetConnectionClose()
	for _, k := range doomed[:n] {
		dst.DelBytes(k)
	}
	if len(named) > 0 {
		dropNamed(dst, named)
	}
}

// Informational yields the fields of an informational answer (RFC 9110 section 15.2)
// that go on. It has no content that they could frame.
func Informational(src *fasthttp.ResponseHeader) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		var h fasthttp.ResponseHeader
		CopyHead(&h, src)
		for k, v := range h.All() {
			if bytes.EqualFold(k, []byte("content-length")) || bytes.EqualFold(k, []byte("transfer-encoding")) || len(v) == 0 {
				continue
			}
			if !yield(k, v) {
				return
			}
		}
	}
}

// NoConnect refuses CONNECT: there is nobody here to make the connection, and an answer
// to it has framing of its own (RFC 9112 section 6.3).
func NoConnect() *proxy.Error {
	return &proxy.Error{
		Status: fasthttp.StatusNotImplemented, Flag: proxy.FlagDownstreamProtocol, Message: "Not Implemented",
		Err: errors.New("CONNECT"),
	}
}

// dropNamed takes out the fields that a Connection value names. Those that must
// reach the caller cannot be named away.
func dropNamed(h *fasthttp.ResponseHeader, value []byte) {
	for name := range bytes.SplitSeq(value, []byte{','}) {
		name = bytes.TrimSpace(name)
		if len(name) == 0 || guarded(name) {
			continue
		}
		var found []byte
		for k := range h.All() {
			if bytes.EqualFold(k, name) {
				found = bytes.Clone(k)
				break
			}
		}
		if found != nil {
			h.DelBytes(found)
		}
	}
}

func guarded(name []byte) bool {
	for _, s := range []string{"close", "keep-alive", "content-type", "content-encoding", "content-length", "set-cookie", "transfer-encoding", "trailer"} {
		if bytes.EqualFold(name, []byte(s)) {
			return true
		}
	}
	return false
}

func hopByHop(name []byte) bool {
	switch len(name) {
	case 7:
		return bytes.EqualFold(name, []byte("upgrade"))
	case 10:
		return bytes.EqualFold(name, []byte("connection")) || bytes.EqualFold(name, []byte("keep-alive"))
	case 16:
		return bytes.EqualFold(name, []byte("proxy-connection"))
	}
	return false
}

package proxy

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// UpstreamProtocol is what is spoken to the servers of a cluster. gRPC is spoken in
// HTTP/2 always.
type UpstreamProtocol int

// The protocols.
const (
	UpstreamHTTP1 UpstreamProtocol = iota
	// UpstreamHTTP2 is, in cleartext, with prior knowledge (RFC 9113 section 3.3).
	UpstreamHTTP2
	// UpstreamAsCaller is what the caller speaks.
	UpstreamAsCaller
	// UpstreamByALPN is what the server chooses in TLS; HTTP/1.1 in cleartext.
	UpstreamByALPN
)

// IsGRPC says whether a request speaks gRPC, which has no other way than HTTP/2: by
// its content type, "application/grpc" with perhaps a "+" or ";" after it
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). gRPC-Web, which
// was made for HTTP/1.1, is something else.
func IsGRPC(h *fasthttp.RequestHeader) bool {
	const kind = "application/grpc"
	t := h.ContentType()
	if len(t) < len(kind) || !bytes.EqualFold(t[:len(kind)], []byte(kind)) {
		return false
	}
	return len(t) == len(kind) || t[len(kind)] == '+' || t[len(kind)] == ';'
}

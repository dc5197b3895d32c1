package batch

import (
	"bytes"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// The statuses of gRPC that are told apart
// (https://github.com/grpc/grpc/blob/master/doc/statuscodes.md).
const (
	grpcOK                = 0
	grpcCancelled         = 1
	grpcDeadlineExceeded  = 4
	grpcPermissionDenied  = 7
	grpcResourceExhausted = 8
	grpcUnavailable       = 14
	grpcUnauthenticated   = 16
)

// judgeGRPC looks at the outcome of a gRPC call that was answered with HTTP's 200. It
// stands in the trailer, or in the head of an answer that is nothing else.
func judgeGRPC(head, trailer *fasthttp.ResponseHeader) (remedy, string) {
	h := trailer
	if h == nil {
		h = head
	}
	status, err := strconv.Atoi(string(fieldOf(h, "grpc-status")))
	if err != nil {
		return halve, "reset" // the server broke off
	}
	switch status {
	case grpcOK:
		return split, ""
	case grpcResourceExhausted:
		// A server that takes no message of that length (4 MiB, if nobody says
		// otherwise) takes each of those that were merged: all libraries say it with
		// these words.
		if bytes.Contains(fieldOf(h, "grpc-message"), []byte("message larger than max")) {
			return halve, "too_large"
		}
		return share, ""
	case grpcUnauthenticated, grpcPermissionDenied, grpcUnavailable, grpcDeadlineExceeded, grpcCancelled:
		// To ask once more would add to what the server complains of.
		return share, ""
	}
	return halve, "status"
}

// fieldOf is the value of a header by its name in lower case, nil where there is
// none.
func fieldOf(h *fasthttp.ResponseHeader, name string) []byte {
	for k, v := range proxy.TrailerFields(h) {
		if bytes.EqualFold(k, []byte(name)) {
			return v
		}
	}
	return nil
}

// trailedBody is a body in memory with a trailer. Its length is not declared, so that
// HTTP/1.1 has a place for the trailer (RFC 9112 section 7.1.2).
type trailedBody struct {
	proxy.Body

	trailer *fasthttp.ResponseHeader
	ended   bool
}

var _ proxy.Body = (*trailedBody)(nil)

func (b *trailedBody) Read(p []byte) (int, error) {
	n, err := b.Body.Read(p)
	b.ended = b.ended || err != nil
	return n, err
}

func (b *trailedBody) Len() int64 { return -1 }

func (b *trailedBody) Trailer() *fasthttp.ResponseHeader {
	if !b.ended {
		return nil
	}
	return b.trailer
}

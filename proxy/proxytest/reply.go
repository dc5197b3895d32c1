package proxytest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// Reply is one answer, told rather than programmed. Its zero value is 200 without
// content.
type Reply struct {
	// Proto is the status line's; "" is HTTP/1.1. HTTP/1.0 ends its content and
	// the connection together, unless ContentLength says otherwise.
	Proto string
	// Status is 200 where it is 0.
	Status int
	// Headers are lines such as "name: value", sent as they are.
	Headers []string

	// Body is sent with its length; Chunks, where not nil, as chunks instead, each
	// in a write of its own, then Trailers.
	Body     string
	Chunks   []string
	Trailers []string
	// ContentLength replaces the true length of Body, so that the answer lies.
	// NoLength leaves it out.
	ContentLength int64

	// Early answers before the request's content has been read.
	Early bool
	// Delay comes before the head.
	Delay time.Duration
	// Gate is received from before the head, ChunkGate before each chunk.
	Gate, ChunkGate <-chan struct{}

	// ResetAfter, where positive, resets the connection after so many bytes of the
	// answer, head and framing counted; AtOnce before the first.
	ResetAfter int
	// CloseAfter ends it in order there.
	CloseAfter int
	// Close ends it in order after the answer, without having said so.
	Close bool
}

const (
	// NoLength is the ContentLength of an answer that does not tell it.
	NoLength = math.MinInt64
	// AtOnce is the ResetAfter or CloseAfter of a connection that ends without an
	// answer.
	AtOnce = -1
)

var _ Script = Reply{}.Play

// Play is the Reply as a Script.
func (r Reply) Play(x *Exchange) {
	if !r.Early {
		if _, err := x.ReadBody(); err != nil {
			return
		}
	}
	if r.Delay > 0 {
		x.Sleep(r.Delay)
	}
	if r.Gate != nil && !x.Receive(r.Gate) {
		return
	}
	limit, end := r.end(x)
	for i, part := range r.parts(x.Method == "HEAD") {
		if i > 0 && r.ChunkGate != nil && i <= len(r.Chunks) && !x.Receive(r.ChunkGate) {
			return
		}
		if len(part) >= limit {
			x.Write(part[:limit])
			end()
			return
		}
		limit -= len(part)
		x.Write(part)
	}
	if r.Close || r.Proto == "HTTP/1.0" {
		x.Close()
	}
}

// end says after how many bytes the connection ends, and how.
func (r Reply) end(x *Exchange) (limit int, end func()) {
	switch {
	case r.ResetAfter != 0:
		return max(0, r.ResetAfter), x.Reset
	case r.CloseAfter != 0:
		return max(0, r.CloseAfter), x.Close
	}
	return math.MaxInt, nil
}

// parts are the answer's writes: the head and Body, or the head, each chunk and
// the end.
func (r Reply) parts(isHead bool) []string {
	headers := slices.Clone(r.Headers)
	switch {
	case r.Chunks != nil:
		headers = append(headers, "transfer-encoding: chunked")
	case r.ContentLength != NoLength && r.Proto != "HTTP/1.0" || r.ContentLength > 0:
		headers = append(headers, "content-length: "+strconv.FormatInt(cmp.Or(r.ContentLength, int64(len(r.Body))), 10))
	}
	first := head(cmp.Or(r.Proto, "HTTP/1.1"), cmp.Or(r.Status, 200), headers)
	switch {
	case isHead:
		return []string{first}
	case r.Chunks == nil:
		return []string{first + r.Body}
	}
	parts := []string{first}
	for _, c := range r.Chunks {
		parts = append(parts, chunk(c))
	}
	return append(parts, lastChunk(slices.Clone(r.Trailers)))
}

// Sequence plays the replies one a request, in order of arrival, and the last
// again and again.
func Sequence(replies ...Reply) Script {
	var n atomic.Int64
	return func(x *Exchange) {
		i := min(int(n.Add(1)), len(replies)) - 1
		replies[i].Play(x)
	}
}

// Echo answers with the request's content.
func Echo(x *Exchange) {
	body, err := x.ReadBody()
	if err != nil {
		return
	}
	x.Write(fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: %d\r\n\r\n%s", len(body), body))
}

var _ Script = Echo

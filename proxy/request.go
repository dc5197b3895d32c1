package proxy

import (
	"crypto/tls"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy/span"
)

// Request is one downstream request, as the caller sent it. The fields that are
// meant for one connection only (RFC 9110 section 7.6.1) may still be in Header;
// the upstream round trip does not send them on.
type Request struct {
	// Header is the head: method, target, headers. Its memory is the codec's.
	Header *fasthttp.RequestHeader
	// Body is never nil. See NoBody.
	Body Body
	// Remote is the caller's address, Local the one that it called.
	Remote, Local net.Addr
	// TLS is the state of the caller's connection; nil in cleartext. Its certificates
	// have been verified as the filter chain asks.
	TLS *tls.ConnectionState
	// Protocol is the downstream codec: "http1", "http2" or "grpc".
	Protocol string
	// Upgrade is what the caller asks its connection, or stream, to become, as
	// "websocket"; empty: nothing. The head is that of HTTP/1.1 (RFC 9110 section 7.8)
	// whatever the caller speaks. An answer of 101 agrees; then the two bodies are what
	// each side sends from then on.
	Upgrade string
	// Start is when the head had been read.
	Start time.Time

	// HealthCheck says that a filter has known it for a health check.
	HealthCheck bool

	// Caller, where not nil, is the codec that the request came by.
	Caller Caller

	// Peer is who the connection is with, where Remote was told by x-forwarded-for; nil:
	// Remote.
	Peer net.Addr

	// Route and Cluster are the names of what the router chose, set before the
	// route's chain runs.
	Route, Cluster string
	// VirtualHost is the name of the virtual host that Route is of.
	VirtualHost string
	// Endpoint, where not nil, pins the endpoint that the upstream round trip
	// goes to. The cluster sets it where nobody did before.
	Endpoint *Endpoint

	// Hash, where Hashed, is what consistent hashing goes by: what the route's hash
	// policies made of the request.
	Hash   uint64
	Hashed bool
	// HighPriority is the route's priority: the cluster's limits of that priority count.
	HighPriority bool
	// OriginalDestination is the host:port that the caller's connection was meant for
	// before it was redirected here; empty where it was not.
	OriginalDestination string
	// Looped says that the request came from this process itself: what it had sent was
	// redirected back to it.
	Looped bool
	// Avoid are the endpoints that earlier attempts went to; others are picked where
	// there are any.
	Avoid []*Endpoint

	// Metadata is what filters have found out about the request, by the name of the filter
	// and a key: what JSON is made of, numbers as float64. nil: nothing. See SetMetadata.
	Metadata map[string]map[string]any

	// Call is what filters/inference made of the request, computed at most once,
	// on the first filter's ask. Nobody else reads or writes it.
	Call any

	// Trace is filled on the way for the access log and the debug headers.
	Trace Trace
	// Span is the part of the way that the request is on just now; nil: it is not traced.
	// Who sends it on puts a child in its place for as long as that takes.
	Span *span.Span
}

// SetMetadata puts a value under a filter's name and a key.
func (r *Request) SetMetadata(filter, key string, value any) {
	if r.Metadata == nil {
		r.Metadata = map[string]map[string]any{}
	}
	if r.Metadata[filter] == nil {
		r.Metadata[filter] = map[string]any{}
	}
	r.Metadata[filter][key] = value
}

// A Caller is what a codec does for who handles a request. It must not be called when
// the handling has returned; LimitIdle, from one goroutine at a time.
type Caller interface {
	// LimitIdle changes how long the request and its answer may stand still; 0: for
	// ever. It is called before the route's chain runs.
	LimitIdle(d time.Duration)
	// Inform passes an informational answer on (1xx, RFC 9110 section 15.2), unless the
	// answer itself has begun. It may wait for the caller.
	Inform(h *fasthttp.ResponseHeader)
}

// Trace is what happened to a request on its way.
type Trace struct {
	// Model is the model's name, where known. It is bounded in number only by
	// who reads it.
	Model string
	// BatchSize is how many items the upstream call held that served the
	// request; 0: it did not go through the batcher.
	BatchSize int
	// Queued is how long it waited in the batcher.
	Queued time.Duration
	// Expected is how long the batcher had expected the upstream call to take, by what it
	// has learned; 0: it had nothing to say.
	Expected time.Duration
	// Attempts counts the sends to an upstream.
	Attempts int
	// Upstream is the address of the last endpoint tried.
	Upstream string
}

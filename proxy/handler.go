package proxy

import (
	"context"
	"slices"
)

// A Handler answers one request. It returns a Response or an error, never both
// and never neither.
//
// Handle may block for as long as it likes: every request has a goroutine of its
// own. It must return soon after ctx is done; [context.Cause] then tells why
// ([ErrCallerGone], [ErrTimeout]). The Request, its header and its body belong to
// the Handler until it returns, and its header and body stay readable until the
// Response's body has been closed. An error that is not an [*Error] is answered
// as 500.
type Handler interface {
	Handle(ctx context.Context, req *Request) (*Response, error)
}

// HandlerFunc makes a Handler of a function.
type HandlerFunc func(ctx context.Context, req *Request) (*Response, error)

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, req *Request) (*Response, error) {
	return f(ctx, req)
}

// A Filter stands in a route's chain and may delegate to next: not at all (it
// answers), once (it transforms), or for many callers together (it batches).
//
// Safe for concurrent use: one instance serves every request of its route. What
// a Filter gets from next it must hand on or close.
type Filter interface {
	Handle(ctx context.Context, req *Request, next Handler) (*Response, error)
}

// Chain composes filters around last, the first filter outermost. It is called
// when a snapshot is built; a request then costs direct calls only.
func Chain(last Handler, filters ...Filter) Handler {
	for _, f := range slices.Backward(filters) {
		last = &link{filter: f, next: last}
	}
	return last
}

type link struct {
	filter Filter
	next   Handler
}

func (l *link) Handle(ctx context.Context, req *Request) (*Response, error) {
	return l.filter.Handle(ctx, req, l.next)
}

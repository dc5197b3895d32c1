package localratelimit

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/format"
)

// Config is the limit, and what becomes of requests beyond it.
type Config struct {
	// Bucket, where nil, limits nothing.
	Bucket *Bucket
	// Status is 429 where 0.
	Status int
	// Enabled and Enforced are shares of a million: of the requests that are counted, and
	// of those over the limit that are refused.
	Enabled, Enforced uint32
	// Response changes the refusals, Request the requests that are over the limit and
	// pass.
	Response, Request *format.Mutation
	// ResourceExhausted tells gRPC callers RESOURCE_EXHAUSTED in place of UNAVAILABLE.
	ResourceExhausted bool

	// The bucket's tokens last as long as the configuration, over all snapshots that are
	// made of it: a push of something else must not fill it up.
	once   sync.Once
	tokens *tokens
}

// Bucket holds at most Max tokens and gets Fill every Interval.
type Bucket struct {
	Max, Fill uint32
	Interval  time.Duration
}

// Builder makes the filter of a *Config.
type Builder struct{}

var _ proxy.Builder = Builder{}

// Build makes the filter.
func (Builder) Build(config proxy.FilterConfig, _ proxy.Env) (proxy.Filter, error) {
	c := config.(*Config) //nolint:forcetypeassert // the parser's
	c.once.Do(func() {
		if c.Bucket != nil {
			c.tokens = newTokens(*c.Bucket)
		}
	})
	return &filter{c}, nil
}

type filter struct{ *Config }

// resourceExhausted is gRPC's status code, unavailable what it is otherwise.
const (
	resourceExhausted = 8
	unavailable       = 14
)

func (f *filter) Handle(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	if f.tokens == nil || !drawn(f.Enabled) || f.tokens.take(time.Now()) {
		return next.Handle(ctx, req)
	}
	if !drawn(f.Enforced) {
		if f.Request != nil {
			f.Request.Apply(req.Header, &format.Facts{Request: req})
		}
		return next.Handle(ctx, req)
	}
	status, grpc := f.Status, unavailable
	if status == 0 {
		status = fasthttp.StatusTooManyRequests
	}
	if f.ResourceExhausted {
		grpc = resourceExhausted
	}
	return nil, &proxy.Error{
		Status: status, GRPC: grpc, Flag: proxy.FlagRateLimited, Message: "local_rate_limited",
		Decorate: func(h *fasthttp.ResponseHeader) {
			if f.Response != nil {
				f.Response.Apply(h, &format.Facts{Request: req, Response: h, Status: status})
			}
		},
	}
}

func drawn(perMillion uint32) bool {
	return perMillion >= 1_000_000 || rand.Uint32N(1_000_000) < perMillion // #nosec G404 -- a share of traffic needs no secrecy
}

// tokens are a bucket's.
type tokens struct {
	Bucket

	mu     sync.Mutex
	left   uint32
	filled time.Time
}

func newTokens(b Bucket) *tokens { return &tokens{Bucket: b, left: b.Max, filled: time.Now()} }

// take takes a token, where there is one.
func (t *tokens) take(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := now.Sub(t.filled) / t.Interval; n > 0 {
		t.filled = t.filled.Add(now.Sub(t.filled).Truncate(t.Interval))
		t.left = uint32(min(uint64(t.Max), uint64(t.left)+uint64(n)*uint64(t.Fill))) // #nosec G115 -- at most Max
	}
	if t.left == 0 {
		return false
	}
	t.left--
	return true
}

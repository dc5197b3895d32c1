package fault

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/router"
)

// Config is what to inject, into which requests.
type Config struct {
	Delay *Delay
	Abort *Abort
	// Headers must match; nil: any request.
	Headers *router.Headers
	// Cluster, where not empty, is the only one whose requests are meant.
	Cluster string
	// MaxActive bounds how many faults are injected at once; nil: any number.
	MaxActive *uint32
}

// Delay holds requests back: for Fixed or, where that is 0, for what the request's
// header says.
type Delay struct {
	Fixed      time.Duration
	PerMillion uint32
}

// Abort answers requests: with Status, with GRPC, or with what the request's headers
// say.
type Abort struct {
	Status     int
	GRPC       int
	ByHeader   bool
	PerMillion uint32
	Body       string
}

// The headers by which a request asks for its own faults, as in Envoy.
const (
	delayHeader        = "x-envoy-fault-delay-request"
	delayShareHeader   = "x-envoy-fault-delay-request-percentage"
	abortHeader        = "x-envoy-fault-abort-request"
	abortGRPCHeader    = "x-envoy-fault-abort-grpc-request"
	abortShareHeader   = "x-envoy-fault-abort-request-percentage"
	defaultAbortAnswer = "fault filter abort"
)

// Builder makes the filter of a *Config.
type Builder struct{}

var _ proxy.Builder = Builder{}

// Build makes the filter.
func (Builder) Build(config proxy.FilterConfig, _ proxy.Env) (proxy.Filter, error) {
	return &filter{Config: config.(*Config)}, nil //nolint:forcetypeassert // the parser's
}

type filter struct {
	*Config

	active atomic.Int64
}

func (f *filter) Handle(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	if !f.Headers.Match(req.Header) || f.Cluster != "" && f.Cluster != req.Cluster {
		return next.Handle(ctx, req)
	}
	if f.MaxActive != nil && f.active.Load() >= int64(*f.MaxActive) {
		return next.Handle(ctx, req)
	}
	delay, abort := f.delay(req), f.abort(req)
	if delay <= 0 && abort == nil {
		return next.Handle(ctx, req)
	}
	f.active.Add(1)
	err := wait(ctx, delay)
	f.active.Add(-1)
	switch {
	case err != nil:
		return nil, err
	case abort != nil:
		return nil, abort
	}
	return next.Handle(ctx, req)
}

// delay is how long the request is held back.
func (f *filter) delay(req *proxy.Request) time.Duration {
	if f.Delay == nil {
		return 0
	}
	d, share := f.Delay.Fixed, f.Delay.PerMillion
	if d == 0 {
		ms, ok := number(req, delayHeader)
		if !ok {
			return 0
		}
		d, share = time.Duration(ms)*time.Millisecond, asked(req, delayShareHeader, share)
	}
	if !drawn(share) {
		return 0
	}
	return d
}

// abort is the answer in the server's place.
func (f *filter) abort(req *proxy.Request) *proxy.Error {
	if f.Abort == nil {
		return nil
	}
	status, grpc, share := f.Abort.Status, f.Abort.GRPC, f.Abort.PerMillion
	if f.Abort.ByHeader {
		n, ok := number(req, abortHeader)
		g, okGRPC := number(req, abortGRPCHeader)
		switch {
		case ok && n >= 200 && n < 600:
			status = n
		case okGRPC:
			grpc = g
		default:
			return nil
		}
		share = asked(req, abortShareHeader, share)
	}
	if !drawn(share) {
		return nil
	}
	if status == 0 { // who speaks no gRPC gets an empty success, as in Envoy
		status = http.StatusOK
	}
	body := f.Abort.Body
	if body == "" {
		body = defaultAbortAnswer
	}
	return &proxy.Error{Status: status, GRPC: grpc, Flag: proxy.FlagFaultAbort, Message: body}
}

func number(req *proxy.Request, name string) (int, bool) {
	text, ok := proxy.FieldValue(req.Header, name)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 31)
	return int(n), err == nil // #nosec G115 -- 31 bits
}

// asked is the share that the request asks for, at most the configured one.
func asked(req *proxy.Request, name string, most uint32) uint32 {
	if percent, ok := number(req, name); ok {
		return uint32(min(uint64(percent)*10_000, uint64(most))) // #nosec G115 -- just bounded, and not negative
	}
	return most
}

func drawn(perMillion uint32) bool {
	return perMillion >= 1_000_000 || rand.Uint32N(1_000_000) < perMillion // #nosec G404 -- a share of traffic needs no secrecy
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return proxy.AsError(ctx, context.Cause(ctx))
	}
}

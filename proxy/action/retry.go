package action

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/router"
)

// On is what a request is sent once more for; a set.
type On uint32

// The conditions, by Envoy's names.
const (
	On5xx On = 1 << iota
	OnGatewayError
	OnReset
	OnResetBeforeRequest
	OnConnectFailure
	OnRatelimited
	OnRetriable4xx
	OnRefusedStream
	OnStatusCodes
	OnHeaders
	OnCancelled
	OnDeadlineExceeded
	OnInternal
	OnResourceExhausted
	OnUnavailable
)

// conditions by the names that retry_on has.
func conditions() map[string]On {
	return map[string]On{
		"5xx": On5xx, "gateway-error": OnGatewayError, "reset": OnReset, "reset-before-request": OnResetBeforeRequest,
		"connect-failure": OnConnectFailure, "envoy-ratelimited": OnRatelimited, "retriable-4xx": OnRetriable4xx,
		"refused-stream": OnRefusedStream, "retriable-status-codes": OnStatusCodes, "retriable-headers": OnHeaders,
		"cancelled": OnCancelled, "deadline-exceeded": OnDeadlineExceeded, "internal": OnInternal,
		"resource-exhausted": OnResourceExhausted, "unavailable": OnUnavailable,
		"http3-post-connect-failure": 0, // there is no HTTP/3
	}
}

// ParseOn reads retry_on.
func ParseOn(text string) (on On, err error) {
	known := conditions()
	for word := range strings.SplitSeq(text, ",") {
		c, ok := known[strings.TrimSpace(word)]
		if !ok && strings.TrimSpace(word) != "" {
			return on, fmt.Errorf("%q is not a condition that is known", word)
		}
		on |= c
	}
	return on, nil
}

// Retry is when a request is sent once more.
type Retry struct {
	On On
	// Times is how often at most.
	Times uint32
	// PerTry bounds the time to each answer's head, PerTryIdle the time without
	// anything from the server; 0: they do not.
	PerTry, PerTryIdle time.Duration
	// Statuses are for OnStatusCodes, Headers for OnHeaders.
	Statuses []uint32
	Headers  *router.ResponseHeaders
	// Requests are those that are sent again at all; nil: all.
	Requests []*router.Headers
	// Elsewhere avoids the endpoints that were tried.
	Elsewhere bool
	// Base and Most are of the back-off; 0: 25 ms, and 10 times the base.
	Base, Most time.Duration
	// Reset are headers by which a server says when to come back, at most in ResetMost.
	Reset     []ResetHeader
	ResetMost time.Duration
}

// ResetHeader says when to come back: in seconds, or at a second since 1970.
type ResetHeader struct {
	Name string
	Unix bool
}

// mayRetry says whether req may be sent more than once at all.
func (r *Retry) mayRetry(req *proxy.Request) bool {
	if r == nil || r.On == 0 || r.Times == 0 {
		return false
	}
	return len(r.Requests) == 0 || slices.ContainsFunc(r.Requests, func(h *router.Headers) bool { return h.Match(req.Header) })
}

// judgeAnswer says whether an answer is one to try again after.
func (r *Retry) judgeAnswer(resp *proxy.Response) bool {
	h := &resp.Header
	status := h.StatusCode()
	if _, overloaded := proxy.FieldValue(h, "x-envoy-overloaded"); overloaded {
		return false
	}
	if _, limited := proxy.FieldValue(h, "x-envoy-ratelimited"); limited {
		return r.On&OnRatelimited != 0
	}
	switch {
	case r.On&On5xx != 0 && status >= 500 && status <= 599,
		r.On&OnGatewayError != 0 && status >= 502 && status <= 504,
		r.On&OnRetriable4xx != 0 && status == fasthttp.StatusConflict,
		r.On&OnStatusCodes != 0 && slices.Contains(r.Statuses, uint32(status)): // #nosec G115 -- three digits
		return true
	case r.On&OnHeaders != 0 && r.Headers.Any(func(name string) (string, bool) {
		if name == ":status" {
			return strconv.Itoa(status), true
		}
		return proxy.FieldValue(h, name)
	}):
		return true
	}
	if r.On&(OnCancelled|OnDeadlineExceeded|OnInternal|OnResourceExhausted|OnUnavailable) == 0 {
		return false
	}
	code, _ := proxy.FieldValue(h, "grpc-status") // of an answer without a body
	on := map[string]On{
		"1": OnCancelled, "4": OnDeadlineExceeded, "8": OnResourceExhausted, "13": OnInternal, "14": OnUnavailable,
	}[code]
	return r.On&on != 0
}

// judgeError says whether an attempt failed in a way to try again after.
func (r *Retry) judgeError(ctx context.Context, err error, perTry bool) bool {
	if ctx.Err() != nil {
		return false
	}
	if perTry {
		return r.On&(On5xx|OnGatewayError|OnReset) != 0
	}
	pe, ok := errors.AsType[*proxy.Error](err)
	if !ok {
		return false
	}
	switch pe.Flag { //nolint:exhaustive // the others are no failures of an attempt
	case proxy.FlagUpstreamConnection:
		return r.On&(On5xx|OnGatewayError|OnReset|OnResetBeforeRequest|OnConnectFailure) != 0
	case proxy.FlagUpstreamReset:
		if pe.Unsent && r.On&(OnRefusedStream|OnResetBeforeRequest) != 0 {
			return true
		}
		return r.On&(On5xx|OnGatewayError|OnReset) != 0
	case proxy.FlagUpstreamProtocol:
		return r.On&(On5xx|OnGatewayError|OnReset) != 0
	}
	return false
}

// pause is how long to wait before the nth retry, from 1: at random up to a bound that
// doubles, or what the server asks for.
func (r *Retry) pause(n uint32, resp *proxy.Response) time.Duration {
	if resp != nil {
		if d, ok := r.asked(resp); ok {
			return d
		}
	}
	base := r.Base
	if base <= 0 {
		base = 25 * time.Millisecond
	}
	most := r.Most
	if most <= 0 {
		most = 10 * base
	}
	bound := most
	if n < 20 && base<<n-base < most {
		bound = base<<n - base
	}
	return rand.N(bound) // #nosec G404 -- spreads load, guards nothing
}

func (r *Retry) asked(resp *proxy.Response) (time.Duration, bool) {
	for _, reset := range r.Reset {
		values := proxy.FieldValues(&resp.Header, reset.Name)
		if len(values) == 0 {
			continue
		}
		n, err := strconv.ParseInt(values[0], 10, 64)
		if err != nil || n < 0 {
			continue
		}
		d := time.Duration(min(n, 1<<30)) * time.Second
		if reset.Unix {
			d = time.Until(time.Unix(n, 0))
		}
		most := r.ResetMost
		if most <= 0 {
			most = 300 * time.Second
		}
		if d <= 0 || d > most {
			continue
		}
		// Not all at the same moment.
		return d + rand.N(d/2+1), true // #nosec G404 -- spreads load, guards nothing
	}
	return 0, false
}

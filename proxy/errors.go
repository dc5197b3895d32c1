package proxy

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// Causes of a request's cancelled context.
var (
	// ErrCallerGone: the caller closed its connection or reset its stream.
	ErrCallerGone = errors.New("caller gone")
	// ErrTimeout: the route's timeout has passed.
	ErrTimeout = errors.New("request timeout")
	// ErrStreamIdle: neither the request nor its answer has moved for too long.
	ErrStreamIdle = errors.New("stream timeout")
	// ErrDuration: the longest duration that the route allows has passed.
	ErrDuration = errors.New("stream duration")
	// ErrDraining: the process ends and its drain timeout has passed.
	ErrDraining = errors.New("draining")
)

// Flag says in two or three letters why a request did not get an upstream's
// answer. The letters are Envoy's response flags
// (https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage).
type Flag string

// The flags in use.
const (
	FlagUpstreamConnection Flag = "UF"   // connecting failed
	FlagUpstreamReset      Flag = "UC"   // connection closed or reset before a response
	FlagNoHealthyUpstream  Flag = "UH"   // no endpoint to pick
	FlagNoCluster          Flag = "NC"   // the route's cluster does not exist
	FlagNoRoute            Flag = "NR"   // no route matched
	FlagTimeout            Flag = "UT"   // route or upstream timeout
	FlagStreamIdle         Flag = "SI"   // neither request nor answer moved for too long
	FlagDuration           Flag = "DT"   // the longest duration has passed
	FlagOverflow           Flag = "UO"   // a limit (queue, connections) was reached
	FlagDropOverload       Flag = "DO"   // dropped as the control plane asked for
	FlagDownstreamGone     Flag = "DC"   // the caller left
	FlagDownstreamProtocol Flag = "DPE"  // malformed request
	FlagDownstreamTooLarge Flag = "DTL"  // a request limit was passed; Friday's own
	FlagUpstreamProtocol   Flag = "UPE"  // malformed response
	FlagFaultAbort         Flag = "FI"   // a fault was injected
	FlagRateLimited        Flag = "RL"   // rate limited
	FlagDenied             Flag = "RBA"  // denied by a policy of rbac; Friday's own
	FlagNoCredentials      Flag = "UAEX" // no API key, or one that is not known
	FlagLoop               Flag = "LP"   // sent by this process itself; Friday's own
	FlagInternal           Flag = "INT"  // a bug, a panic; Friday's own
	FlagDraining           Flag = "DRN"  // cut by the end of the drain; Friday's own
)

// FlagNoFilterConfig says that a filter's configuration has not come (ECDS).
const FlagNoFilterConfig Flag = "NFCF"

// Error is why a request is answered by Friday rather than by the server.
type Error struct {
	// Status is the HTTP status that the caller gets; 499 where it has left.
	Status int
	Flag   Flag
	// Message is the response's plain text body. It holds nothing that the
	// caller should not see.
	Message string
	// JSON, where not nil, is the response's body in place of Message, for callers whose
	// API has errors of its own form.
	JSON []byte
	// RetryAfter, where positive, becomes a Retry-After header in whole seconds,
	// rounded up.
	RetryAfter time.Duration
	// Unsent says that no byte of the request can have been acted on, so that
	// sending it once more, elsewhere too, is safe.
	Unsent bool
	// GRPC, where positive, is the gRPC status that the caller gets; else it follows from
	// Status.
	GRPC int
	// Decorate, where not nil, changes the head of the answer that is made of the error:
	// what the route adds to every answer.
	Decorate func(h *fasthttp.ResponseHeader)
	// Err is the cause, for the log.
	Err error
}

func (e *Error) Error() string {
	s := strconv.Itoa(e.Status) + " " + string(e.Flag) + ": " + e.Message
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// AsError makes an *Error of any error, and is the one place that knows how:
// an *Error is itself, a cancelled request what its cause says, everything else
// 500.
func AsError(ctx context.Context, err error) *Error {
	if pe, ok := errors.AsType[*Error](err); ok {
		return pe
	}
	cause := err
	if ctx.Err() != nil {
		cause = context.Cause(ctx)
		if pe, ok := errors.AsType[*Error](cause); ok {
			return pe
		}
	}
	switch {
	case errors.Is(cause, ErrCallerGone), errors.Is(cause, context.Canceled):
		return &Error{Status: 499, Flag: FlagDownstreamGone, Message: "caller gone", Err: err}
	case errors.Is(cause, ErrTimeout), errors.Is(cause, context.DeadlineExceeded):
		return &Error{Status: 504, Flag: FlagTimeout, Message: "upstream request timeout", Err: err}
	case errors.Is(cause, ErrStreamIdle):
		return &Error{Status: 504, Flag: FlagStreamIdle, Message: "stream timeout", Err: err}
	case errors.Is(cause, ErrDuration):
		return &Error{Status: 504, Flag: FlagDuration, Message: "downstream duration timeout", Err: err}
	case errors.Is(cause, ErrDraining):
		return &Error{Status: 503, Flag: FlagDraining, Message: "draining", Err: err}
	}
	return &Error{Status: 500, Flag: FlagInternal, Message: "internal error", Err: err}
}

// Response makes the answer that the caller gets: plain text, or JSON where that is set,
// and Retry-After.
func (e *Error) Response() *Response {
	r := NewResponse()
	r.Header.SetStatusCode(e.Status)
	if e.RetryAfter > 0 {
		r.Header.Set("retry-after", strconv.FormatInt(int64((e.RetryAfter+time.Second-1)/time.Second), 10))
	}
	switch {
	case e.JSON != nil:
		r.Header.SetContentType("application/json")
		r.Body = NewBytesBody(e.JSON)
	case e.Message != "":
		r.Header.SetContentType("text/plain")
		r.Body = NewBytesBody([]byte(e.Message))
	}
	if e.Decorate != nil {
		e.Decorate(&r.Header)
	}
	return r
}

// PanicError makes an error of what a recover returned.
func PanicError(v any, stack []byte) *Error {
	return &Error{
		Status: 500, Flag: FlagInternal, Message: "internal error",
		Err: fmt.Errorf("panic: %v\n%s", v, stack),
	}
}

// Quiet is err as it may be logged: its text ends before what it quotes, which of a head
// that cannot be read may be a secret. [errors.Is] and [errors.As] see through it; nil stays nil.
func Quiet(err error) error {
	if err == nil {
		return nil
	}
	return quiet{err}
}

type quiet struct{ err error }

func (q quiet) Error() string {
	text, _, _ := strings.Cut(q.err.Error(), `"`)
	text, _, _ = strings.Cut(text, ", contents:")
	return strings.TrimRight(text, ": ")
}

func (q quiet) Unwrap() error { return q.err }

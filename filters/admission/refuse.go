package admission

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/admission/gate"
	"github.com/fridaymesh/friday/proxy"
)

// gRPC's status codes (https://grpc.github.io/grpc/core/md_doc_statuscodes.html).
const (
	resourceExhausted = 8
	unavailable       = 14
	unauthenticated   = 16
)

// maxRetryAfterSaid bounds what an estimate may have callers wait.
const maxRetryAfterSaid = time.Minute

// refusal is why a request is not let in, in OpenAI's words
// (https://platform.openai.com/docs/guides/error-codes).
type refusal struct {
	status, grpc  int
	flag          proxy.Flag
	message, kind string
	code          string // empty: null
	retryAfter    time.Duration
	challenge     bool // WWW-Authenticate (RFC 6750 section 3)
	result        string
}

func noKey() *refusal {
	return &refusal{
		status: fasthttp.StatusUnauthorized, grpc: unauthenticated, flag: proxy.FlagNoCredentials, challenge: true,
		message: "You didn't provide an API key. Provide it in an Authorization header, as Authorization: Bearer YOUR_KEY.",
		kind:    "invalid_request_error", result: "no_key",
	}
}

func unknownKey() *refusal {
	return &refusal{
		status: fasthttp.StatusUnauthorized, grpc: unauthenticated, flag: proxy.FlagNoCredentials, challenge: true,
		message: "Incorrect API key provided.", kind: "invalid_request_error", code: "invalid_api_key", result: "unknown_key",
	}
}

// exceeded is for a tenant that has used up a limit.
func exceeded(key allowanceKey, short gate.Kind, tokens int64, after time.Duration) *refusal {
	r := &refusal{
		status: fasthttp.StatusTooManyRequests, grpc: resourceExhausted, flag: proxy.FlagRateLimited,
		kind: "requests", code: "rate_limit_exceeded", retryAfter: after, result: "requests_per_minute",
	}
	what, limit, asked := "requests", key.limits.Requests, int64(1)
	if short == gate.Tokens {
		what, limit, asked = "tokens", key.limits.Tokens, tokens
		r.kind, r.result = "tokens", "tokens_per_minute"
	}
	if after == gate.Never {
		r.retryAfter = 0
		r.message = fmt.Sprintf("Request too large for %s on %s per min: Limit %d, Requested %d. It must be reduced to be let in.", key.tenant, what, limit, asked)
		return r
	}
	r.message = fmt.Sprintf("Rate limit reached for %s on %s per min: Limit %d, Requested %d. Please try again in %v.", key.tenant, what, limit, asked, rounded(after))
	return r
}

// overloaded is for a request that the server has no room for.
func overloaded(late bool, after time.Duration) *refusal {
	r := &refusal{
		status: fasthttp.StatusServiceUnavailable, grpc: unavailable, flag: proxy.FlagOverflow, retryAfter: after,
		message: "The server is overloaded: too many requests wait. Please try again later.", kind: "server_error", code: "overloaded",
	}
	if late {
		r.message = "The server is overloaded: no answer within the latency objective. Please try again later."
	}
	return r
}

// err is the answer.
func (r *refusal) err(headers func(h *fasthttp.ResponseHeader)) *proxy.Error {
	return &proxy.Error{
		Status: r.status, GRPC: r.grpc, Flag: r.flag, Message: r.message, JSON: r.body(), RetryAfter: r.retryAfter,
		Decorate: func(h *fasthttp.ResponseHeader) {
			if r.retryAfter > 0 {
				h.Set("retry-after-ms", strconv.FormatInt(int64((r.retryAfter+time.Millisecond-1)/time.Millisecond), 10))
			}
			if r.challenge {
				h.Set("www-authenticate", "Bearer")
			}
			if headers != nil {
				headers(h)
			}
		},
	}
}

// body is {"error": {…}}.
func (r *refusal) body() []byte {
	type inner struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	e := inner{Message: r.message, Type: r.kind}
	if r.code != "" {
		e.Code = &r.code
	}
	text, err := json.Marshal(struct {
		Error inner `json:"error"`
	}{e})
	if err != nil {
		return nil // strings alone cannot fail; Message is told as text then
	}
	return text
}

// rateHeaders writes OpenAI's headers of a tenant's limits
// (https://platform.openai.com/docs/guides/rate-limits).
func (s *state) rateHeaders(key allowanceKey) func(h *fasthttp.ResponseHeader) {
	if key.limits == (gate.PerMinute{}) {
		return nil
	}
	return func(h *fasthttp.ResponseHeader) {
		requests, tokens := s.left(key)
		for _, l := range []struct {
			name string
			left
		}{{"requests", requests}, {"tokens", tokens}} {
			if l.limit == 0 {
				continue
			}
			proxy.SetField(h, "x-ratelimit-limit-"+l.name, strconv.FormatUint(l.limit, 10))
			proxy.SetField(h, "x-ratelimit-remaining-"+l.name, strconv.FormatUint(l.remaining, 10))
			proxy.SetField(h, "x-ratelimit-reset-"+l.name, rounded(l.reset).String())
		}
	}
}

// rounded is d in whole milliseconds, upwards.
func rounded(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}

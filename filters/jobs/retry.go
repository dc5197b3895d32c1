package jobs

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/fridaymesh/friday/proxy"
)

// backoff is how long to wait after the fails-th failure: anything up to a bound that
// doubles each time ("full jitter", which spreads those who failed together best:
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), but no less
// than the server asks for.
func (t *tempo) backoff(fails int, asked time.Duration) time.Duration {
	bound := t.most
	if fails < 30 { // beyond, the shift is the bound anyway
		bound = min(t.most, t.least<<fails)
	}
	return max(asked, rand.N(bound+1)) // #nosec G404 -- spreading load needs no secrecy
}

// mostAsked bounds what a server may ask for.
const mostAsked = 10 * time.Minute

// retryAfter reads the field (RFC 9110 section 10.2.3); 0: there is none.
func retryAfter(value string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, mostAsked)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(0, at.Sub(now)), mostAsked)
	}
	return 0
}

// again says that the same request may be answered otherwise later.
func again(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return status >= 500
}

// unsent says that a request cannot have reached the server, so that the attempt was none.
func unsent(e *proxy.Error) bool {
	switch e.Flag {
	case proxy.FlagUpstreamConnection, proxy.FlagNoHealthyUpstream, proxy.FlagNoCluster, proxy.FlagNoRoute, proxy.FlagOverflow,
		proxy.FlagDropOverload, proxy.FlagRateLimited, proxy.FlagDraining, proxy.FlagNoFilterConfig:
		return true
	default:
		return e.Unsent
	}
}

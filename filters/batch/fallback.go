package batch

import (
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// maxExtra is how many calls the search for the guilty of a failed call may cost;
// the rest go alone. One guilty of 32 costs eight, and two requests alone.
const maxExtra = 8

// remedy is what the outcome of a merged call means for its members.
type remedy uint8

const (
	// share: everyone gets this outcome; it is not about what was asked.
	share remedy = iota
	// split: the answer is cut apart.
	split
	// halve: some of the members may be to blame; smaller calls tell.
	halve
	// apart: each goes alone, as it was sent.
	apart
	// distrusted: each goes alone, and the model is not batched for a while.
	distrusted
)

// judge looks at an answer.
func judge(status int, encoding []byte) (remedy, string) {
	switch status {
	case fasthttp.StatusOK:
		if len(encoding) > 0 && string(encoding) != "identity" {
			return distrusted, "encoded"
		}
		return split, ""
	case fasthttp.StatusUnauthorized, fasthttp.StatusForbidden, fasthttp.StatusRequestTimeout,
		fasthttp.StatusTooManyRequests, fasthttp.StatusServiceUnavailable, fasthttp.StatusGatewayTimeout:
		// To ask once more would add to what the server complains of.
		return share, ""
	}
	if status >= 400 {
		return halve, "status"
	}
	return distrusted, "status"
}

// judgeError looks at what came instead of an answer. Only where the server had
// the request and broke over it, it may be one member's doing.
func judgeError(err *proxy.Error) (remedy, string) {
	if err.Unsent {
		return share, ""
	}
	switch err.Flag {
	case proxy.FlagUpstreamReset, proxy.FlagUpstreamProtocol, proxy.FlagInternal:
		return halve, "reset"
	case proxy.FlagUpstreamConnection, proxy.FlagNoHealthyUpstream, proxy.FlagNoCluster, proxy.FlagNoRoute,
		proxy.FlagTimeout, proxy.FlagOverflow, proxy.FlagDownstreamGone, proxy.FlagDownstreamProtocol,
		proxy.FlagDownstreamTooLarge, proxy.FlagDraining, proxy.FlagStreamIdle, proxy.FlagDuration,
		proxy.FlagDropOverload, proxy.FlagFaultAbort, proxy.FlagRateLimited, proxy.FlagDenied, proxy.FlagNoFilterConfig, proxy.FlagLoop,
		proxy.FlagNoCredentials:
	}
	return share, ""
}

// serve sends one call for members and does what its outcome asks for.
func (b *batch) serve(members []*entry) {
	rest, do, why := b.try(members)
	if do == share || do == split {
		return
	}
	b.group.state.metrics.BatchFallback.WithLabelValues(b.group.model.key.cluster, why).Inc()
	if do == distrusted {
		b.group.model.distrust(time.Now())
	}
	if do != halve || len(rest) < 2 {
		b.apart(rest)
		return
	}
	middle := len(rest) / 2
	for _, half := range [][]*entry{rest[:middle], rest[middle:]} {
		if len(half) == 1 || b.extra >= maxExtra {
			b.apart(half)
			continue
		}
		b.extra++
		b.serve(half)
	}
}

// apart sends each of members alone: back through the queue, where its caller
// gets a slot and sends what it was given. A piece has no such original: it is
// sent by a batch of its own, once; what is wrong with it then is its whole
// request's to put right.
func (b *batch) apart(members []*entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	members = present(members)
	if len(members) == 0 {
		return
	}
	if e := members[0]; e.piece && len(b.members) == 1 {
		e.done, e.out = true, outcome{err: errPiece}
		e.ready <- struct{}{}
		return
	}
	b.group.requeue(members)
}

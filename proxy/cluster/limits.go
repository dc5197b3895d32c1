package cluster

import (
	"sync/atomic"

	"github.com/fridaymesh/friday/proxy"
)

// usage is what a priority's requests use of its Limits just now.
type usage struct{ requests, retries atomic.Int64 }

func priority(req *proxy.Request) int {
	if req.HighPriority {
		return 1
	}
	return 0
}

// admit counts a request that is about to be sent, unless that would be one too many.
// Who was admitted must leave.
func (u *usage) admit(l *Limits) bool {
	n := u.requests.Add(1)
	if l.MaxRequests == nil || n <= int64(*l.MaxRequests) {
		return true
	}
	u.requests.Add(-1)
	return false
}

// The names of limits, for the metrics.
const (
	limitRequests = "requests"
	limitRetries  = "retries"
)

func (u *usage) leave() { u.requests.Add(-1) }

// mayRetry is how many retries may be in flight; negative: any number.
func (u *usage) mayRetry(l *Limits) int64 {
	switch {
	case l.Budget != nil:
		return max(int64(l.Budget.Min), int64(l.Budget.Percent/100*float64(u.requests.Load())))
	case l.MaxRetries != nil:
		return int64(*l.MaxRetries)
	}
	return -1
}

// BeginRetry says whether one more retry of req, by its route's retry policy, may be in
// flight just now. Where it may, EndRetry must follow when that attempt, its answer's
// body included, is over.
func (c *Cluster) BeginRetry(req *proxy.Request) bool {
	p := priority(req)
	u, l := &c.usage[p], &c.Config().Limits[p]
	limit := u.mayRetry(l)
	if n := u.retries.Add(1); limit < 0 || n <= limit {
		return true
	}
	u.retries.Add(-1)
	c.metrics.overflow(p, limitRetries)
	return false
}

// EndRetry ends what BeginRetry began.
func (c *Cluster) EndRetry(req *proxy.Request) { c.usage[priority(req)].retries.Add(-1) }

func overflow() *proxy.Error {
	return &proxy.Error{
		Status: 503, Flag: proxy.FlagOverflow, Unsent: true,
		Message: "upstream connect error or disconnect/reset before headers. reset reason: overflow",
	}
}

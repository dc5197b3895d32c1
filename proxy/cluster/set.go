package cluster

import (
	"slices"
	"sync/atomic"

	"github.com/fridaymesh/friday/proxy"
)

// set is the endpoints of one configuration and the way to choose among them. It
// is immutable but for what the policies count.
type set struct {
	cfg       *Config
	endpoints []*proxy.Endpoint
	weights   []uint32 // beside endpoints
	turn      *atomic.Uint64

	draw func() int // the policy: an index, healthy or not
}

func (s *set) add(ep *proxy.Endpoint, weight uint32) {
	s.endpoints = append(s.endpoints, ep)
	s.weights = append(s.weights, weight)
}

func (s *set) finish() {
	if len(s.endpoints) < 2 {
		return // never drawn from
	}
	switch s.cfg.Policy {
	case LeastRequest:
		s.draw = leastRequest(s.endpoints, s.weights)
	case Random:
		s.draw = random(s.weights)
	case RoundRobin:
		s.draw = roundRobin(s.weights, s.turn)
	default:
		s.draw = roundRobin(s.weights, s.turn)
	}
}

// pick returns an endpoint that is not among tried, if there is another that may
// be used, else any; nil where there is none at all.
//
// Health is looked at after the draw, so that the usual pick costs one look
// however many endpoints there are, and whoever marks an endpoint need not tell
// the set. A draw of an unusable endpoint is drawn again, which leaves the others
// in the proportions of their weights.
func (s *set) pick(tried []*proxy.Endpoint) *proxy.Endpoint {
	switch len(s.endpoints) {
	case 0:
		return nil
	case 1:
		return s.endpoints[0] // alone it is either healthy or the panic's
	}
	panicking, known := false, false
	// Bounded, for by weight one endpoint may be nearly all of the draws.
	for range 2 * len(s.endpoints) {
		ep := s.endpoints[s.draw()]
		if slices.Contains(tried, ep) {
			continue
		}
		if ep.Healthy.Load() {
			return ep
		}
		if !known {
			panicking, known = s.panicking(), true
		}
		if panicking {
			return ep
		}
	}
	return s.pickUnlucky(tried)
}

// pickUnlucky looks at every endpoint and draws at random, by weight, from those
// that may be used.
func (s *set) pickUnlucky(tried []*proxy.Endpoint) *proxy.Endpoint {
	panicking := s.panicking()
	candidates := make([]int, 0, len(s.endpoints))
	var again []int // candidates that have been tried
	for i, ep := range s.endpoints {
		switch {
		case !panicking && !ep.Healthy.Load():
		case slices.Contains(tried, ep):
			again = append(again, i)
		default:
			candidates = append(candidates, i)
		}
	}
	if len(candidates) == 0 {
		candidates = again
	}
	if len(candidates) == 0 { // the last healthy one has just fallen ill
		return s.endpoints[s.draw()]
	}
	weights := make([]uint32, len(candidates))
	for k, i := range candidates {
		weights[k] = s.weights[i]
	}
	return s.endpoints[candidates[random(weights)()]]
}

// panicking says whether fewer than half of the endpoints are healthy.
func (s *set) panicking() bool {
	healthy := 0
	for _, ep := range s.endpoints {
		if ep.Healthy.Load() {
			healthy++
		}
	}
	return 2*healthy < len(s.endpoints)
}

// usable returns the endpoints that may be picked. It allocates only where some
// may not.
func (s *set) usable() []*proxy.Endpoint {
	unhealthy := func(ep *proxy.Endpoint) bool { return !ep.Healthy.Load() }
	if !slices.ContainsFunc(s.endpoints, unhealthy) || s.panicking() {
		return s.endpoints
	}
	healthy := slices.DeleteFunc(slices.Clone(s.endpoints), unhealthy)
	if len(healthy) == 0 { // the last one has just fallen ill
		return s.endpoints
	}
	return healthy
}

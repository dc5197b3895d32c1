package cluster

import (
	"math/rand/v2"
	"slices"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/cluster/policy"
)

// pool is endpoints that are picked from alike, and the policy that does.
type pool struct {
	endpoints []*proxy.Endpoint
	weights   []uint32 // beside endpoints
	policy    policy.Policy
	// blind is a pool of a panic: health is not looked at.
	blind bool
}

// maxDraws bounds how often the policy is asked for one pick.
const maxDraws = 16

// pick returns an endpoint that is not among tried, if there is another that may
// be used, else any.
//
// Health is looked at once more after the draw, so that an endpoint that has just
// fallen ill is not picked although the pools have not been made anew yet.
func (p *pool) pick(hash uint64, tried []*proxy.Endpoint) *proxy.Endpoint {
	if len(p.endpoints) == 1 {
		return p.endpoints[0]
	}
	for attempt := range maxDraws {
		ep := p.endpoints[p.policy.Pick(hash, attempt)]
		if (p.blind || ep.Healthy.Load()) && !slices.Contains(tried, ep) {
			return ep
		}
	}
	return p.pickUnlucky(hash, tried)
}

// pickUnlucky looks at every endpoint and draws at random, by weight, from those
// that may be used.
func (p *pool) pickUnlucky(hash uint64, tried []*proxy.Endpoint) *proxy.Endpoint {
	var fresh, again candidates // again have been tried
	for i, ep := range p.endpoints {
		switch {
		case !p.blind && !ep.Healthy.Load():
		case slices.Contains(tried, ep):
			again.add(ep, p.weights[i])
		default:
			fresh.add(ep, p.weights[i])
		}
	}
	switch {
	case len(fresh.endpoints) > 0:
		return fresh.draw()
	case len(again.endpoints) > 0:
		return again.draw()
	}
	return p.endpoints[p.policy.Pick(hash, 0)] // the last healthy one has just fallen ill
}

type candidates struct {
	endpoints []*proxy.Endpoint
	weights   []uint32
}

func (c *candidates) add(ep *proxy.Endpoint, weight uint32) {
	c.endpoints = append(c.endpoints, ep)
	c.weights = append(c.weights, weight)
}

func (c *candidates) draw() *proxy.Endpoint {
	return c.endpoints[policy.NewRandom(c.weights).Pick(0, 0)]
}

// choice is one pool, or one for each locality and the way to choose among them.
type choice struct {
	pools      []*pool
	localities policy.Policy // nil: there is one pool
}

func (c *choice) pool() *pool {
	if c.localities == nil {
		return c.pools[0]
	}
	return c.pools[c.localities.Pick(0, 0)]
}

// view is what a cluster picks from: immutable, but for what the policies count, and
// made anew when endpoints or their health change.
type view struct {
	set *set
	// lone is the one endpoint that there is, if there is one: nearly every sidecar's.
	lone *proxy.Endpoint
	// only is where all picks go; nil: levels say.
	only   *pool
	levels []level
	usable []*proxy.Endpoint // in all pools that have a share
	// drops is any of the configuration's drops, to be looked up quickly.
	drops bool
}

// level is one priority.
type level struct {
	healthy, degraded choice
	share             share
}

func (v *view) pick(hash uint64, hashed bool, tried []*proxy.Endpoint) *proxy.Endpoint {
	if v.only != nil {
		if !hashed {
			hash = v.only.chance()
		}
		return v.only.pick(hash, tried)
	}
	if !hashed {
		hash = rand.Uint64() // #nosec G404 -- spreads load, guards nothing
	}
	at := hash%100 + 1
	sum := uint64(0)
	for i := range v.levels {
		l := &v.levels[i]
		if sum += l.share.healthy; at <= sum {
			return l.healthy.pick(hash, tried)
		}
	}
	for i := range v.levels {
		l := &v.levels[i]
		if sum += l.share.degraded; at <= sum {
			return l.degraded.pick(hash, tried)
		}
	}
	return nil
}

// chance stands for the hash of a request that has none, where the policy asks for it.
func (p *pool) chance() uint64 {
	switch p.policy.(type) {
	case *policy.Ring, *policy.Maglev, *policy.Bounded:
		return rand.Uint64() // #nosec G404 -- spreads load, guards nothing
	}
	return 0
}

func (c *choice) pick(hash uint64, tried []*proxy.Endpoint) *proxy.Endpoint {
	if len(c.pools) == 0 {
		return nil
	}
	return c.pool().pick(hash, tried)
}

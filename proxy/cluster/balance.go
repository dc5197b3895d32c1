package cluster

import (
	"time"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/cluster/policy"
)

// pool makes the pool of members; nil where none of them has a weight.
func (b *viewBuilder) pool(key turnKey, members []*member) *pool {
	if b.hashes() && b.cfg.LocalityWeighted && key.kind != poolAll {
		members = withWeight(members)
	}
	if len(members) == 0 {
		return nil
	}
	p := &pool{
		endpoints: make([]*proxy.Endpoint, len(members)), weights: make([]uint32, len(members)),
		blind: key.kind == poolAll,
	}
	for i, m := range members {
		p.endpoints[i], p.weights[i] = &m.endpoint, m.config.Weight
	}
	p.policy = b.policy(key, members, p)
	return p
}

func (b *viewBuilder) hashes() bool { return b.cfg.Policy == RingHash || b.cfg.Policy == Maglev }

func (b *viewBuilder) policy(key turnKey, members []*member, p *pool) policy.Policy {
	if len(members) == 1 {
		return policy.Only{}
	}
	switch b.cfg.Policy {
	case Random:
		return policy.NewRandom(p.weights)
	case RingHash, Maglev:
		return b.consistent(key, members, p)
	case LeastRequest:
		return b.leastRequest(members, p)
	case RoundRobin:
	}
	if weight := b.warming(members, p); weight != nil {
		return policy.NewSchedule(len(members), weight)
	}
	return policy.NewRoundRobin(p.weights, b.c.turn(key))
}

func (b *viewBuilder) leastRequest(members []*member, p *pool) policy.Policy {
	choices := b.cfg.Balance.Choices
	if choices == 0 {
		choices = 2
	}
	if b.cfg.Balance.FullScan {
		choices = 0
	}
	weight := b.warming(members, p)
	if weight == nil && equal(p.weights) {
		return policy.NewLeastRequest(p.endpoints, choices)
	}
	if weight == nil {
		weight = func(i int) float64 { return float64(p.weights[i]) }
	}
	bias := 1.0
	if b.cfg.Balance.Bias != nil {
		bias = *b.cfg.Balance.Bias
	}
	return policy.NewSchedule(len(members), policy.Busy(p.endpoints, weight, bias))
}

// warming are weights that grow with age, where an endpoint is in its slow start.
func (b *viewBuilder) warming(members []*member, p *pool) func(i int) float64 {
	s := b.cfg.Balance.SlowStart
	if s == nil {
		return nil
	}
	slow := policy.SlowStart{Window: s.Window, Aggression: s.Aggression, Min: 0.1}
	if s.MinPercent != nil {
		slow.Min = *s.MinPercent / 100
	}
	if slow.Aggression == 0 {
		slow.Aggression = 1
	}
	since, young := make([]time.Time, len(members)), false
	for i, m := range members {
		since[i] = m.since
		if end := m.since.Add(s.Window); end.After(b.now) {
			young = true
			if b.again.IsZero() || end.Before(b.again) {
				b.again = end
			}
		}
	}
	if !young {
		return nil
	}
	return func(i int) float64 { return float64(p.weights[i]) * slow.Share(time.Since(since[i])) }
}

// consistent makes a ring or a table.
func (b *viewBuilder) consistent(key turnKey, members []*member, p *pool) policy.Policy {
	keyed := b.keyed(members, b.cfg.LocalityWeighted && key.kind != poolAll)
	o := &b.cfg.Balance
	var consistent policy.Policy
	if b.cfg.Policy == Maglev {
		size := o.Table
		if size == 0 {
			size = policy.MaglevSize
		}
		consistent = policy.NewMaglev(keyed, size)
	} else {
		least, most := o.Ring.Min, o.Ring.Max
		if least == 0 {
			least = 1024
		}
		if most == 0 {
			most = 8 << 20
		}
		consistent = policy.NewRing(keyed, least, most, o.Ring.Murmur)
	}
	if o.BalanceFactor > 0 {
		return policy.NewBounded(consistent, p.endpoints, keyed, o.BalanceFactor, b.c.active)
	}
	return consistent
}

// keyed says what stands for each member in a hash: hash_key of its metadata envoy.lb,
// its name, or its address.
func (b *viewBuilder) keyed(members []*member, localities bool) []policy.Keyed {
	out := make([]policy.Keyed, len(members))
	sums := map[Locality]float64{}
	for _, m := range members {
		sums[m.config.Locality] += float64(m.config.Weight)
	}
	for i, m := range members {
		k := policy.Keyed{Key: m.config.Address, Weight: float64(m.config.Weight)}
		if b.cfg.Balance.ByHostname && m.config.Hostname != "" {
			k.Key = m.config.Hostname
		}
		if key, ok := m.config.Metadata["envoy.lb"]["hash_key"].(string); ok && key != "" {
			k.Key = key
		}
		if localities {
			k.Weight *= float64(m.config.LocalityWeight) / sums[m.config.Locality]
		}
		out[i] = k
	}
	return out
}

// withWeight leaves out those whose locality has none.
func withWeight(members []*member) []*member {
	out := make([]*member, 0, len(members))
	for _, m := range members {
		if m.config.LocalityWeight > 0 {
			out = append(out, m)
		}
	}
	return out
}

func equal(weights []uint32) bool {
	for _, w := range weights {
		if w != weights[0] {
			return false
		}
	}
	return true
}

// active is how many requests the cluster has in flight.
func (c *Cluster) active() int64 {
	return c.usage[0].requests.Load() + c.usage[1].requests.Load()
}

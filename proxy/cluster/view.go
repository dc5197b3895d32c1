package cluster

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/cluster/policy"
)

// set is the endpoints of one configuration. It is immutable.
type set struct {
	cfg       *Config
	members   []*member
	endpoints []*proxy.Endpoint // beside members
	levels    []uint32          // the priorities that there are, ascending
}

// turnKey names a pool whose round robin goes on across views.
type turnKey struct {
	priority uint32
	kind     int
	locality Locality
}

// The kinds of pool.
const (
	poolHealthy = iota
	poolDegraded
	poolAll
	poolLocalities
)

// viewLocked makes a view of s as its endpoints fare now. It says when the next must be
// made although nothing changes: at the end of a slow start.
//
// REQUIRES: c.mu is held.
func (c *Cluster) viewLocked(s *set) (v *view, again time.Time) {
	b := viewBuilder{c: c, cfg: s.cfg, now: time.Now()}
	v = &view{set: s, drops: len(s.cfg.Load.Drops) > 0}
	groups := b.split(s)
	levels := make([]availability, len(groups))
	for i := range groups {
		levels[i] = groups[i].available
	}
	threshold := 50.0
	if s.cfg.Panic != nil {
		threshold = *s.cfg.Panic
	}
	overprovisioning := uint64(s.cfg.Load.Overprovisioning)
	if overprovisioning == 0 {
		overprovisioning = 140
	}
	v.levels = make([]level, len(groups))
	for i, share := range shares(levels, overprovisioning, threshold) {
		l := &v.levels[i]
		l.share = share
		switch g := &groups[i]; {
		case !share.panics:
			l.healthy = b.choice(g, poolHealthy, g.healthy, overprovisioning)
			l.degraded = b.choice(g, poolDegraded, g.degraded, overprovisioning)
		case !s.cfg.FailOnPanic:
			l.healthy = b.choice(g, poolAll, g.all, overprovisioning)
			l.degraded = l.healthy
		}
	}
	v.finish()
	return v, b.again
}

// finish notes what is picked from, all in all.
func (v *view) finish() {
	var pools []*pool
	for i := range v.levels {
		l := &v.levels[i]
		if l.share.healthy > 0 {
			pools = append(pools, l.healthy.pools...)
		}
		if l.share.degraded > 0 {
			pools = append(pools, l.degraded.pools...)
		}
	}
	if len(pools) == 1 {
		v.only, v.usable = pools[0], pools[0].endpoints
		if len(v.usable) == 1 && v.set.cfg.Discovery != OriginalDestination {
			v.lone = v.usable[0]
		}
		if len(v.usable) == len(v.set.endpoints) {
			v.usable = v.set.endpoints // the same slice as before, if nothing has changed
		}
		return
	}
	for _, p := range pools {
		v.usable = append(v.usable, p.endpoints...)
	}
}

// group is the endpoints of one priority, by health.
type group struct {
	priority               uint32
	available              availability
	healthy, degraded, all []*member
}

type viewBuilder struct {
	c     *Cluster
	cfg   *Config
	now   time.Time
	again time.Time
}

func (b *viewBuilder) split(s *set) []group {
	groups := make([]group, len(s.levels))
	for i, p := range s.levels {
		groups[i].priority = p
	}
	for _, m := range s.members {
		i, _ := slices.BinarySearch(s.levels, m.config.Priority)
		g, f, n := &groups[i], m.health(), uint64(1)
		if s.cfg.Load.WeightedHealth {
			n = uint64(m.config.Weight)
		}
		g.all = append(g.all, m)
		g.available.total += n
		switch {
		case f.degraded():
			g.degraded = append(g.degraded, m)
			g.available.degraded += n
		case f.healthy():
			g.healthy = append(g.healthy, m)
			g.available.healthy += n
		case f&(excludedImmediate|drainingEDS) != 0, f&pendingActive != 0 && s.cfg.IgnoreNew:
			g.available.excluded += n
		}
	}
	return groups
}

// choice makes the pools of some members of g.
func (b *viewBuilder) choice(g *group, kind int, members []*member, overprovisioning uint64) choice {
	if len(members) == 0 {
		return choice{}
	}
	if !b.cfg.LocalityWeighted || kind == poolAll || b.hashes() {
		if p := b.pool(turnKey{priority: g.priority, kind: kind}, members); p != nil {
			return choice{pools: []*pool{p}}
		}
		return choice{}
	}
	var out choice
	var weights []uint32
	total := map[Locality]uint64{}
	for _, m := range g.all {
		total[m.config.Locality]++
	}
	heaviest := 0.0
	var effective []float64
	for _, l := range byLocality(members) {
		first := l[0].config
		bears := min(1, float64(overprovisioning)/100*float64(len(l))/float64(total[first.Locality]))
		w := float64(first.LocalityWeight) * bears
		if w == 0 {
			continue
		}
		out.pools = append(out.pools, b.pool(turnKey{g.priority, kind, first.Locality}, l))
		effective = append(effective, w)
		heaviest = max(heaviest, w)
	}
	for _, w := range effective {
		const resolution = 10000
		weights = append(weights, max(1, uint32(w/heaviest*resolution)))
	}
	if len(out.pools) > 1 {
		out.localities = policy.NewRoundRobin(weights, b.c.turn(turnKey{priority: g.priority, kind: poolLocalities + kind}))
	}
	return out
}

// byLocality keeps the order in which localities first appear.
func byLocality(members []*member) (out [][]*member) {
	at := map[Locality]int{}
	for _, m := range members {
		i, ok := at[m.config.Locality]
		if !ok {
			i = len(out)
			at[m.config.Locality] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], m)
	}
	return out
}

// turn is a round robin's counter. REQUIRES: c.mu is held.
func (c *Cluster) turn(key turnKey) *atomic.Uint64 {
	t := c.turns[key]
	if t == nil {
		t = new(atomic.Uint64)
		c.turns[key] = t
	}
	return t
}

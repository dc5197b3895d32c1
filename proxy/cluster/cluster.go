package cluster

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// EndpointHandler makes the round trips to one address: one attempt each, no
// retry.
//
// Close lets go of idle connections and waits for nothing: what is in use ends
// by itself. A request that was dispatched just before may still arrive after
// Close and is served.
type EndpointHandler interface {
	proxy.Handler
	io.Closer
}

// Dial makes the EndpointHandler of one endpoint. It must not block: connections
// are made when requests need them.
type Dial func(cfg *Config, endpoint *EndpointConfig) EndpointHandler

// Cluster chooses an endpoint for each request and tries again where that is
// safe. It outlives snapshots: Update re-tunes it in place.
type Cluster struct {
	// Set once.
	name    string
	dial    Dial
	log     *zap.Logger
	metrics metrics
	warm    chan struct{} // closed when cold ends

	// mu guards everything that makes a view.
	mu       sync.Mutex
	closed   bool
	cfg      *Config
	set      *set
	members  map[string]*member // by address, and those whose removal is pending
	turns    map[turnKey]*atomic.Uint64
	names    names
	asked    int           // members whose first check is not over
	again    *time.Timer   // makes the next view, where time alone changes it
	last     time.Duration // that making the last view took
	cleaning *time.Timer   // of original destinations

	// Atomic.
	view      atomic.Pointer[view]
	dirty     atomic.Bool // a new view is on its way
	cold      atomic.Bool // names have not been resolved, or endpoints not been asked, even once
	used      atomic.Bool // there has been a request
	usage     [2]usage    // by priority
	originals sync.Map    // of OriginalDestination: address -> *original
	outliers  detector
}

var (
	_ proxy.Handler = (*Cluster)(nil)
	_ proxy.Picker  = (*Cluster)(nil)
	_ io.Closer     = (*Cluster)(nil)
)

// New returns a Cluster of cfg.
func New(cfg *Config, dial Dial, log *zap.Logger, m *telemetry.Metrics) *Cluster {
	c := &Cluster{
		name: cfg.Name, dial: dial, log: log.With(zap.String(telemetry.FieldCluster, cfg.Name)),
		metrics: newMetrics(cfg.Name, m), warm: make(chan struct{}), turns: map[turnKey]*atomic.Uint64{},
	}
	c.names.c = c
	c.outliers.c = c
	c.cold.Store(true)
	c.view.Store(&view{set: &set{cfg: cfg}}) // for those who are quicker than Update
	c.Update(cfg)
	return c
}

// Update makes cfg the configuration. Endpoints whose address stays keep their
// [proxy.Endpoint] and their health, also where their connections must be made anew
// because settings of the connections changed. Endpoints that are gone are not picked
// any more once Update has returned; requests that they have run to their end.
// The name of a cluster does not change.
func (c *Cluster) Update(cfg *Config) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	redial := c.cfg != nil && dialDiffers(c.cfg, cfg)
	c.cfg = cfg
	c.names.update()
	c.outliers.update(cfg.Outliers)
	c.apply(redial)
	c.cleanUp()
}

// dialDiffers says whether connections made under a may not serve under b.
func dialDiffers(a, b *Config) bool {
	return a.ConnectTimeout != b.ConnectTimeout || a.IdleTimeout != b.IdleTimeout ||
		a.MaxRequestsPerConnection != b.MaxRequestsPerConnection || a.Protocol != b.Protocol ||
		a.MaxConnectionDuration != b.MaxConnectionDuration || a.Source != b.Source || a.Preconnect != b.Preconnect ||
		a.KeepaliveInterval != b.KeepaliveInterval || a.KeepaliveTimeout != b.KeepaliveTimeout ||
		a.LimitsConnections() != b.LimitsConnections() || socketsDiffer(a, b)
}

// apply makes the members those of c.cfg and of what its names have been resolved to.
//
// REQUIRES: c.mu is held.
func (c *Cluster) apply(redial bool) {
	want := c.wanted()
	next := &set{cfg: c.cfg, members: make([]*member, 0, len(want))}
	members := make(map[string]*member, len(want))
	var let []EndpointHandler // what is not used any more, closed after the swap
	added := 0
	for i := range want {
		e := &want[i]
		if members[e.Address] != nil {
			continue // the first of equal addresses counts
		}
		m := c.members[e.Address]
		switch {
		case m == nil:
			m = newMember(c.name, e, c.dial(c.cfg, e))
			added++
		case redial || c.cfg.socketDiffers(&m.config, e):
			let = append(let, m.replace(c.dial(c.cfg, e)))
		}
		m.config = *e
		m.config.Weight = max(1, e.Weight)
		m.mark(controlFlags|pendingRemoval, e.Health.flags())
		members[e.Address] = m
		next.members = append(next.members, m)
	}
	removed := c.leave(next, members, &let)
	if c.cfg.CloseOnChange && !redial && c.set != nil && (added > 0 || removed > 0) {
		for _, m := range next.members {
			let = append(let, m.replace(c.dial(c.cfg, &m.config)))
		}
	}
	c.members = members
	next.finish()
	c.set = next
	c.outliers.hosts.Store(int64(len(next.members)))
	c.checkAll()
	c.look()
	c.let(let)
	c.settle()
	c.log.Debug("endpoints updated", zap.Int("endpoints", len(next.members)),
		zap.Int("added", added), zap.Int("removed", removed), zap.Bool("redialled", redial))
}

// leave lets go of the members that next does not have, or keeps them where they are
// still healthy and that is asked for.
func (c *Cluster) leave(next *set, members map[string]*member, let *[]EndpointHandler) (removed int) {
	if c.set == nil {
		return 0
	}
	for _, m := range c.set.members {
		if members[m.endpoint.Address] == m {
			continue
		}
		if c.keeps(m) {
			m.mark(pendingRemoval, pendingRemoval)
			members[m.endpoint.Address] = m
			next.members = append(next.members, m)
			continue
		}
		c.drop(m)
		*let = append(*let, m)
		removed++
	}
	return removed
}

// keeps says whether a member outlives its removal: it passes its health checks.
func (c *Cluster) keeps(m *member) bool {
	return c.cfg.Check != nil && !c.cfg.LeaveAtOnce && m.check != nil && m.health()&(failedActive|pendingActive) == 0
}

// drop ends what the cluster does for a member.
func (c *Cluster) drop(m *member) {
	c.stopCheck(m)
	c.outliers.forget(m)
}

// finish fills in what follows from the members.
func (s *set) finish() {
	s.endpoints = make([]*proxy.Endpoint, len(s.members))
	for i, m := range s.members {
		s.endpoints[i] = &m.endpoint
		if at, found := slices.BinarySearch(s.levels, m.config.Priority); !found {
			s.levels = slices.Insert(s.levels, at, m.config.Priority)
		}
	}
}

// look makes the view anew. REQUIRES: c.mu is held.
func (c *Cluster) look() {
	c.dirty.Store(false)
	start := time.Now()
	v, again := c.viewLocked(c.set)
	c.last = time.Since(start)
	c.view.Store(v)
	c.metrics.show(c.set)
	if again.IsZero() {
		return
	}
	if c.again == nil {
		c.again = time.AfterFunc(time.Until(again), c.lookAgain)
		return
	}
	c.again.Reset(time.Until(again))
}

// changed has a view made soon, because the health of a member has changed. It is
// called on the request's path, too, and does not wait. However often it is called,
// making views takes a tenth of a core at most.
func (c *Cluster) changed() {
	if c.dirty.Swap(true) {
		return
	}
	go func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.closed {
			return
		}
		if pause := 9 * c.last; pause > 10*time.Millisecond {
			time.AfterFunc(pause, c.lookAgain)
			return
		}
		c.look()
	}()
}

func (c *Cluster) lookAgain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.look()
	}
}

// settle ends the cold where it is over. REQUIRES: c.mu is held.
func (c *Cluster) settle() {
	if c.cold.Load() && c.asked == 0 && c.names.answered() {
		c.cold.Store(false)
		close(c.warm)
	}
}

// Close lets go of every idle connection and ends updates. Requests of an old
// snapshot are still served.
func (c *Cluster) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	c.names.close()
	c.outliers.close()
	for _, t := range []*time.Timer{c.again, c.cleaning} {
		if t != nil {
			t.Stop()
		}
	}
	var errs []error
	for _, m := range c.members {
		c.drop(m)
		errs = append(errs, m.Close())
	}
	if c.cold.Swap(false) {
		close(c.warm)
	}
	return errors.Join(errs...)
}

func (c *Cluster) let(what []EndpointHandler) {
	for _, w := range what {
		if err := w.Close(); err != nil {
			c.log.Warn("closing an endpoint's connections", zap.Error(err))
		}
	}
}

// wanted are the endpoints as configured and resolved. REQUIRES: c.mu is held.
func (c *Cluster) wanted() []EndpointConfig {
	switch c.cfg.Discovery {
	case StrictDNS, LogicalDNS:
		return c.names.endpoints()
	case OriginalDestination:
		return c.visited()
	case Given:
	}
	return c.cfg.Endpoints
}

// Pick chooses an endpoint by the cluster's policy, priorities and localities.
// Unhealthy endpoints are skipped, unless too few are healthy: then health is ignored,
// for the few would not bear the load of all (Envoy's panic threshold,
// https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/panic_threshold).
func (c *Cluster) Pick(_ context.Context, req *proxy.Request) (*proxy.Endpoint, error) {
	if ep := c.pick(req, nil); ep != nil {
		return ep, nil
	}
	return nil, noHealthy()
}

func (c *Cluster) pick(req *proxy.Request, tried []*proxy.Endpoint) *proxy.Endpoint {
	v := c.view.Load()
	if v.lone != nil {
		return v.lone
	}
	if v.set.cfg.Discovery == OriginalDestination {
		return c.original(v.set.cfg, req)
	}
	if req == nil {
		return v.pick(0, false, tried)
	}
	return v.pick(req.Hash, req.Hashed, tried)
}

// Endpoints returns the endpoints that Pick chooses from just now.
func (c *Cluster) Endpoints() []*proxy.Endpoint { return c.view.Load().usable }

// All returns every endpoint, also those that Pick skips, for those who show
// them. The slice must not be changed.
func (c *Cluster) All() []*proxy.Endpoint { return c.view.Load().set.endpoints }

// Config returns the configuration in force.
func (c *Cluster) Config() *Config { return c.view.Load().set.cfg }

// PicksByRequest says whether it depends on the request where it goes: whoever chooses
// for several together must not choose.
func (c *Config) PicksByRequest() bool {
	return c.Discovery == OriginalDestination || c.Policy == RingHash || c.Policy == Maglev
}

func noHealthy() *proxy.Error {
	return &proxy.Error{Status: 503, Flag: proxy.FlagNoHealthyUpstream, Message: "no healthy upstream", Unsent: true}
}

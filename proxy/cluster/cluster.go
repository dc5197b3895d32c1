package cluster

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
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

// Dial makes the EndpointHandler of one address. It must not block: connections
// are made when requests need them.
type Dial func(cfg *Config, address string) EndpointHandler

// Cluster chooses an endpoint for each request and tries again where that is
// safe. It outlives snapshots: Update re-tunes it in place.
type Cluster struct {
	// Set once.
	name    string
	dial    Dial
	log     *zap.Logger
	retries struct{ connect, reset prometheus.Counter }

	mu     sync.Mutex // guards replacing set, and what follows
	closed bool

	set  atomic.Pointer[set]
	turn atomic.Uint64 // of the round robin; it goes on across updates

	usage [2]usage // by priority
}

var (
	_ proxy.Handler = (*Cluster)(nil)
	_ proxy.Picker  = (*Cluster)(nil)
	_ io.Closer     = (*Cluster)(nil)
)

// New returns a Cluster of cfg.
func New(cfg *Config, dial Dial, log *zap.Logger, m *telemetry.Metrics) *Cluster {
	c := &Cluster{name: cfg.Name, dial: dial, log: log.With(zap.String(telemetry.FieldCluster, cfg.Name))}
	c.retries.connect = m.UpstreamRetries.WithLabelValues(cfg.Name, "connect-failure")
	c.retries.reset = m.UpstreamRetries.WithLabelValues(cfg.Name, "reset-before-request")
	c.Update(cfg)
	return c
}

// Update makes cfg the configuration. Endpoints whose address stays keep their
// [proxy.Endpoint], also where their connections must be made anew because
// settings of the connections changed. Endpoints that are gone are not picked
// any more once Update has returned; requests that they have run to their end.
// The name of a cluster does not change.
func (c *Cluster) Update(cfg *Config) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	old := c.set.Load()
	byAddress := map[string]*proxy.Endpoint{}
	redial := false
	if old != nil {
		redial = dialDiffers(old.cfg, cfg)
		for _, ep := range old.endpoints {
			byAddress[ep.Address] = ep
		}
	}

	var let []io.Closer // what is not used any more, closed after the swap
	added := 0
	next := &set{cfg: cfg, turn: &c.turn}
	for _, e := range cfg.Endpoints {
		if slices.ContainsFunc(next.endpoints, func(ep *proxy.Endpoint) bool { return ep.Address == e.Address }) {
			continue // the first of equal addresses counts
		}
		ep, stays := byAddress[e.Address]
		switch {
		case !stays:
			ep = &proxy.Endpoint{Cluster: c.name, Address: e.Address, Handler: newConnection(c.dial(cfg, e.Address))}
			added++
		case redial:
			let = append(let, connectionOf(ep).replace(c.dial(cfg, e.Address)))
		}
		delete(byAddress, e.Address)
		ep.Healthy.Store(e.Health.usable())
		next.add(ep, max(1, e.Weight))
	}
	next.finish()
	c.set.Store(next)

	for _, ep := range byAddress {
		let = append(let, connectionOf(ep))
	}
	c.close(let)
	c.log.Debug("endpoints updated", zap.Int("endpoints", len(next.endpoints)),
		zap.Int("added", added), zap.Int("removed", len(byAddress)), zap.Bool("redialled", redial))
}

// dialDiffers says whether connections made under a may not serve under b.
func dialDiffers(a, b *Config) bool {
	return a.ConnectTimeout != b.ConnectTimeout || a.IdleTimeout != b.IdleTimeout ||
		a.MaxRequestsPerConnection != b.MaxRequestsPerConnection || a.Protocol != b.Protocol
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
	var errs []error
	for _, ep := range c.set.Load().endpoints {
		errs = append(errs, connectionOf(ep).Close())
	}
	return errors.Join(errs...)
}

func (c *Cluster) close(what []io.Closer) {
	for _, w := range what {
		if err := w.Close(); err != nil {
			c.log.Warn("closing an endpoint's connections", zap.Error(err))
		}
	}
}

// Pick chooses an endpoint by the cluster's policy. Unhealthy endpoints are
// skipped, unless fewer than half of all are healthy: then health is ignored,
// for the few would not bear the load of all (Envoy's panic threshold,
// https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/panic_threshold).
func (c *Cluster) Pick(context.Context, *proxy.Request) (*proxy.Endpoint, error) {
	if ep := c.set.Load().pick(nil); ep != nil {
		return ep, nil
	}
	return nil, noHealthy()
}

// Endpoints returns the endpoints that Pick chooses from just now.
func (c *Cluster) Endpoints() []*proxy.Endpoint { return c.set.Load().usable() }

// All returns every endpoint, also those that Pick skips, for those who show
// them. The slice must not be changed.
func (c *Cluster) All() []*proxy.Endpoint { return c.set.Load().endpoints }

// Config returns the configuration in force.
func (c *Cluster) Config() *Config { return c.set.Load().cfg }

func noHealthy() *proxy.Error {
	return &proxy.Error{Status: 503, Flag: proxy.FlagNoHealthyUpstream, Message: "no healthy upstream", Unsent: true}
}

// connection is an endpoint's Handler: what makes its round trips just now. It
// lets the endpoint stay the same while its connections are made anew.
type connection struct {
	current atomic.Pointer[EndpointHandler]
}

var _ EndpointHandler = (*connection)(nil)

func newConnection(h EndpointHandler) *connection {
	c := &connection{}
	c.current.Store(&h)
	return c
}

func connectionOf(ep *proxy.Endpoint) *connection {
	return ep.Handler.(*connection) //nolint:forcetypeassert // made by Update
}

// replace returns what served until now.
func (c *connection) replace(h EndpointHandler) EndpointHandler { return *c.current.Swap(&h) }

// Handle makes the round trip.
func (c *connection) Handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	return (*c.current.Load()).Handle(ctx, req)
}

// Close lets go of the idle connections.
func (c *connection) Close() error { return (*c.current.Load()).Close() }

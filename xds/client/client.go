package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// Client keeps a sidecar's configuration up to date.
type Client struct {
	// Set once.
	opts    Options
	log     *zap.Logger
	metrics *telemetry.Metrics
	started time.Time
	saves   chan *state // to the one that writes the state file, latest only

	// For everybody; only Run's goroutine stores.
	state atomic.Pointer[state]
	ready atomic.Bool

	// Run's goroutine only.
	applied  *config.Resources
	versions [kinds]string // as the metric shows them
	retry    retry
}

// New makes a Client that does nothing until Run.
func New(opts Options) *Client {
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	if opts.Metrics == nil {
		opts.Metrics = telemetry.New(prometheus.NewRegistry())
	}
	c := &Client{
		opts:    opts,
		log:     opts.Log,
		metrics: opts.Metrics,
		started: time.Now(),
		saves:   make(chan *state, 1),
	}
	c.state.Store(newState(opts.Parser, opts.Static))
	return c
}

// Run applies the static configuration, if there is any, and the last good one
// from the state file, and then follows the control plane, through all its
// failures, until ctx ends; then it returns nil. An error means that the static
// configuration cannot be put in force. It is called once.
func (c *Client) Run(ctx context.Context) error {
	if len(c.opts.Targets) == 0 {
		c.change(func(s *state) { s.complete = true })
		if err := c.apply(c.state.Load()); err != nil {
			return fmt.Errorf("static configuration: %w", err)
		}
		c.ready.Store(true)
		<-ctx.Done()
		return nil
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	if c.opts.StateFile != "" {
		wg.Go(func() { c.keep(ctx) })
		c.restore()
	}
	if err := c.apply(c.state.Load()); err != nil {
		return fmt.Errorf("static configuration: %w", err)
	}
	c.follow(ctx)
	return nil
}

// Ready says whether the first configuration has been applied: the static one
// where there is no control plane, else one from the control plane or the state
// file.
func (c *Client) Ready() bool { return c.ready.Load() }

// Versions are the last versions that were accepted whole, by type URL; types
// without one are not in it.
func (c *Client) Versions() map[string]string {
	out := map[string]string{}
	s := c.state.Load()
	for k := range kinds {
		if v := s.known[k].version; v != "" {
			out[k.typeURL()] = v
		}
	}
	return out
}

// apply hands what follows from s to the data plane, where it differs from what
// is in force. Nothing at all is no configuration, before the first is complete:
// the data plane would think that it is ready.
func (c *Client) apply(s *state) error {
	r := s.resources()
	if !s.complete && len(r.Listeners) == 0 && len(r.Clusters) == 0 {
		return nil
	}
	if c.applied != nil && same(c.applied, r) {
		return nil
	}
	if err := c.opts.Apply(r); err != nil {
		return err
	}
	c.applied = r
	return nil
}

// commit makes s the state. What follows from it is in force.
func (c *Client) commit(s *state) {
	old := c.state.Swap(s)
	for name := range s.without {
		if !old.without[name] {
			c.log.Warn("endpoints have not come in time: the clusters go on without", zap.String(telemetry.FieldResource, name))
		}
	}
	if s.complete && len(c.opts.Targets) > 0 && !c.ready.Swap(true) {
		c.log.Info("first configuration is in force")
	}
	if s.complete && (!old.complete || !sameForce(old.inForce(), s.inForce())) {
		c.save(s)
	}
	for k := range kinds {
		if v := s.known[k].version; v != c.versions[k] {
			c.metrics.XDSVersion.DeleteLabelValues(k.String(), c.versions[k])
			c.metrics.XDSVersion.WithLabelValues(k.String(), v).Set(1)
			c.versions[k] = v
		}
	}
}

// handle takes a response and returns what is wrong with it, for the NACK.
func (c *Client) handle(k kind, resp *discoveryv3.DiscoveryResponse, now time.Time) error {
	err, applyErr := c.attempt(k, resp, now)
	if applyErr != nil {
		c.retry.refused(k, resp, now)
		err = errors.Join(err, applyErr)
	} else {
		c.retry.taken(k)
	}
	log := c.log.With(zap.Stringer(telemetry.FieldType, k), zap.String(telemetry.FieldVersion, resp.GetVersionInfo()))
	if err != nil {
		c.metrics.XDSUpdates.WithLabelValues(k.String(), "rejected").Inc()
		log.Error("update refused", zap.Strings("problems", strings.Split(err.Error(), "\n")))
		return err
	}
	c.metrics.XDSUpdates.WithLabelValues(k.String(), "accepted").Inc()
	log.Info("update accepted", zap.Int("resources", len(resp.GetResources())))
	return nil
}

// attempt makes what is good of a response the state, where the data plane takes
// what follows from it. err is what is wrong with the response itself, applyErr
// what the data plane says.
func (c *Client) attempt(k kind, resp *discoveryv3.DiscoveryResponse, now time.Time) (err, applyErr error) {
	next := c.state.Load().clone()
	err = next.accept(k, resp, now)
	next.settle(now)
	if applyErr = c.apply(next); applyErr != nil {
		next = c.state.Load().clone()
		next.refuse(k, resp, applyErr, now)
		next.settled = now
	}
	c.commit(next)
	return err, applyErr
}

// tick lets time pass. It returns the kinds whose last response was refused and
// is now in force.
func (c *Client) tick(now time.Time) (acknowledge []kind) {
	acknowledge = c.again(now)
	next := c.state.Load().clone()
	next.settle(now)
	err := c.apply(next)
	if err != nil {
		c.log.Error("what follows from waiting was refused", zap.Error(err))
		next = c.state.Load().clone()
		next.settled = now
	}
	c.retry.waiting(err != nil, now)
	c.commit(next)
	return acknowledge
}

// change commits a change that cannot be refused.
func (c *Client) change(do func(*state)) {
	next := c.state.Load().clone()
	do(next)
	c.commit(next)
}

// inForce are the resources that serve, by kind and name.
func (s *state) inForce() (out [kinds]map[string]*item) {
	out[lds], out[rds] = s.listeners, s.tables
	out[cds], out[eds] = make(map[string]*item, len(s.clusters)), map[string]*item{}
	for name, c := range s.clusters {
		out[cds][name] = c.item
		if c.source != nil {
			out[eds][c.source.endpoints().Name] = c.source
		}
	}
	return out
}

func sameForce(a, b [kinds]map[string]*item) bool {
	for k := range kinds {
		if !maps.Equal(a[k], b[k]) {
			return false
		}
	}
	return true
}

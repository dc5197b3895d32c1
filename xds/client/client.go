package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// Client keeps a sidecar's configuration up to date.
type Client struct {
	// Set once.
	opts        Options
	log         *zap.Logger
	metrics     *telemetry.Metrics
	started     time.Time
	returnAfter time.Duration
	saves       chan *state   // to the one that writes the state file, latest only
	moved       chan struct{} // the state has changed: for the clock

	// For everybody; only who has mu stores.
	state atomic.Pointer[state]
	ready atomic.Bool

	mu       sync.Mutex // guards changing the state, and what follows
	applied  *config.Resources
	versions [kinds]string // as the metric shows them
	retry    retry
	feeds    map[string]*feed
	// spawn starts to follow a feed; nil while Run does not run.
	spawn func(*feed)
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
		opts:        opts,
		log:         opts.Log,
		metrics:     opts.Metrics,
		started:     time.Now(),
		returnAfter: opts.ReturnAfter,
		saves:       make(chan *state, 1),
		moved:       make(chan struct{}, 1),
		feeds:       map[string]*feed{},
	}
	if c.returnAfter == 0 {
		c.returnAfter = returnAfter
	}
	s := newState(opts.Parser, opts.Static)
	s.needs = append(slices.Clip(opts.Needs), opts.Identity.needs()...)
	s.reachable = make(map[string]bool, len(opts.Servers))
	for name := range opts.Servers {
		s.reachable[name] = true
	}
	c.state.Store(s)
	for k := range allKinds { // at 0, so that the first refusal is seen to be an increase
		c.metrics.XDSUpdates.WithLabelValues(k.String(), "rejected")
	}
	return c
}

// Run applies the static configuration, if there is any, and the last good one
// from the state file, and then follows the control plane, through all its
// failures, until ctx ends; then it returns nil. An error means that the static
// configuration cannot be put in force. It is called once.
func (c *Client) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	c.recall()
	if len(c.opts.Targets) > 0 && c.opts.StateFile != "" {
		wg.Go(func() { c.keep(ctx) })
		c.restore()
	}
	if err := c.begin(); err != nil {
		return fmt.Errorf("static configuration: %w", err)
	}
	c.mu.Lock()
	c.spawn = func(f *feed) {
		own, stop := context.WithCancel(ctx)
		f.stop = stop
		wg.Go(func() { f.follow(own) })
	}
	if len(c.opts.Targets) > 0 {
		c.feed("", c.opts.Targets, c.opts.Delta, slices.Collect(allKinds))
	}
	c.serve(c.state.Load()) // of what the state file had
	c.mu.Unlock()
	c.clock(ctx)
	c.mu.Lock()
	c.spawn = nil
	for _, f := range c.feeds {
		f.stop()
	}
	c.mu.Unlock()
	return nil
}

// recall takes the identity of before a restart.
func (c *Client) recall() {
	if c.opts.Identity == nil || c.opts.Identity.file == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.state.Load().clone()
	if err := c.opts.Identity.restore(next); err != nil {
		c.log.Error("the identity of before cannot be read", zap.String("file", c.opts.Identity.file), zap.Error(err))
		return
	}
	c.commit(next)
}

func allKinds(yield func(kind) bool) {
	for k := range kinds {
		if !yield(k) {
			return
		}
	}
}

// begin puts what is there without a control plane in force.
func (c *Client) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.opts.Targets) == 0 {
		c.change(func(s *state) {
			s.complete = true
			s.want()
		})
	}
	if err := c.apply(c.state.Load()); err != nil {
		return err
	}
	if len(c.opts.Targets) == 0 {
		c.ready.Store(true)
	}
	return nil
}

// feed starts to follow a source. REQUIRES: mu.
func (c *Client) feed(source string, targets []Target, delta bool, kinds []kind) {
	f := &feed{c: c, source: source, targets: targets, delta: delta, kinds: kinds, wake: make(chan struct{}, 1)}
	c.feeds[source] = f
	c.spawn(f)
}

// clock lets time pass until ctx ends.
func (c *Client) clock(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		if at, ok := c.deadline(); ok {
			wait = max(0, time.Until(at))
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-c.moved:
		case now := <-timer.C:
			c.tick(now)
		}
	}
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
// the data plane would think that it is ready. REQUIRES: mu.
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

// commit makes s the state. What follows from it is in force. REQUIRES: mu.
func (c *Client) commit(s *state) {
	old := c.state.Swap(s)
	for k := range s.without {
		if !old.without[k] {
			c.log.Warn("a resource has not come in time: who needs it goes on without",
				zap.Stringer(telemetry.FieldType, k.kind), zap.String(telemetry.FieldResource, k.name))
		}
	}
	if s.complete && len(c.opts.Targets) > 0 && !c.ready.Swap(true) {
		c.log.Info("first configuration is in force")
	}
	if s.complete && (!old.complete || !sameForce(old, s)) {
		c.save(s)
	}
	for k := range kinds {
		if v := s.known[k].version; v != c.versions[k] {
			c.metrics.XDSVersion.DeleteLabelValues(k.String(), c.versions[k])
			c.metrics.XDSVersion.WithLabelValues(k.String(), v).Set(1)
			c.versions[k] = v
		}
	}
	c.identify(s)
	c.serve(s)
	c.wake()
}

// serve follows the servers whose secrets are asked for, and no others.
// REQUIRES: mu.
func (c *Client) serve(s *state) {
	if c.spawn == nil {
		return
	}
	for p := range s.lists {
		if p.source != "" && c.feeds[p.source] == nil && s.reachable[p.source] {
			c.feed(p.source, c.opts.Servers[p.source], false, []kind{sds})
		}
	}
	for source, f := range c.feeds {
		if source != "" && len(s.lists[part{sds, source}]) == 0 {
			delete(c.feeds, source)
			c.retry.forget(source)
			f.stop()
		}
	}
}

// wake tells the feeds and the clock that the state has changed. REQUIRES: mu.
func (c *Client) wake() {
	for _, f := range c.feeds {
		nudge(f.wake)
	}
	nudge(c.moved)
}

func nudge(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// connected and disconnected say that a stream to source has been opened and has
// ended. The control plane sends again what is not in force.
func (c *Client) connected(source string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retry.forget(source)
	now := time.Now()
	c.change(func(s *state) { s.connected(source, now) })
	c.pass(now)
}

func (c *Client) disconnected(source string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.change(func(s *state) { s.disconnected(source) })
}

// handle takes an update and returns what is wrong with it, for the NACK.
func (c *Client) handle(source string, u *update, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := u.kind
	err, applyErr := c.attempt(source, u, now)
	if applyErr != nil {
		c.retry.refused(source, u, now)
		err = errors.Join(err, applyErr)
	} else {
		c.retry.passed(source, u)
	}
	log := c.log.With(zap.Stringer(telemetry.FieldType, k), zap.String(telemetry.FieldVersion, u.version))
	if err != nil {
		c.metrics.XDSUpdates.WithLabelValues(k.String(), "rejected").Inc()
		log.Error("update refused", zap.Strings("problems", strings.Split(cut(err.Error()), "\n")))
		return err
	}
	c.metrics.XDSUpdates.WithLabelValues(k.String(), "accepted").Inc()
	log.Info("update accepted", zap.Int("resources", len(u.resources)), zap.Int("removed", len(u.removed)))
	return nil
}

// attempt makes what is good of an update the state, where the data plane takes
// what follows from it. err is what is wrong with the update itself, applyErr
// what the data plane says. REQUIRES: mu.
func (c *Client) attempt(source string, u *update, now time.Time) (err, applyErr error) {
	next := c.state.Load().clone()
	err = next.accept(source, u, now)
	next.settle(now)
	if applyErr = c.apply(next); applyErr != nil {
		next = c.state.Load().clone()
		pieces := next.pieces(source, u)
		if len(pieces) < 2 {
			next.refuse(source, u, applyErr, now)
		} else {
			next, applyErr = c.piecemeal(next, source, pieces, now)
		}
		next.settled = now
	}
	c.commit(next)
	return err, applyErr
}

// piecemeal takes what the data plane takes of an update that it does not take
// whole: a listener whose port is busy does not keep the others out. REQUIRES: mu.
func (c *Client) piecemeal(s *state, source string, pieces []*update, now time.Time) (*state, error) {
	var errs []error
	for _, u := range pieces {
		next := s.clone()
		_ = next.accept(source, u, now) // attempt has its words
		next.settle(now)
		err := c.apply(next)
		if err == nil {
			s = next
			continue
		}
		s.refuse(source, u, err, now)
		errs = append(errs, err)
	}
	return s, errors.Join(errs...)
}

// tick lets time pass.
func (c *Client) tick(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.again(now)
	c.pass(now)
}

// pass lets time pass. REQUIRES: mu.
func (c *Client) pass(now time.Time) {
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
}

// change commits a change that cannot be refused. REQUIRES: mu.
func (c *Client) change(do func(*state)) {
	next := c.state.Load().clone()
	do(next)
	c.commit(next)
}

// sameForce says that the same serves, for the state file.
func sameForce(a, b *state) bool {
	return maps.Equal(a.listeners, b.listeners) && maps.Equal(a.tables, b.tables) && maps.Equal(a.clusters, b.clusters)
}

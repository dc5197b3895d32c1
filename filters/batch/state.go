package batch

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/filters/batch/schedule"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

const (
	// maxIdle is how many groups are kept, with what they learned, beside those in
	// use, and idleFor how long they are certain to be.
	maxIdle = 1024
	idleFor = time.Minute
	// distrust is how long a model is not batched after its answers did not fit.
	distrust = 5 * time.Minute
	// maxModels bounds the metrics' label model, and maxModelName each of them.
	maxModels    = 100
	maxModelName = 128
)

// state is what the batchers of a process have in common: it outlives
// configurations. The order of locks is state.mu, batch.mu, model.mu.
type state struct {
	// Set once.
	log     *zap.Logger
	metrics *telemetry.Metrics

	epoch   time.Time
	entries sync.Pool // of *entry
	errands sync.WaitGroup
	busy    atomic.Int32    // errands
	ending  context.Context //nolint:containedctx // the errands'
	end     context.CancelFunc

	// Guarded by mu.
	mu      sync.RWMutex
	groups  map[groupKey]*group
	models  map[modelKey]*model
	budgets map[budgetKey]*budget
	labels  map[string]struct{}
	swept   schedule.Instant
	closed  bool
}

var _ io.Closer = (*state)(nil)

func newState(env proxy.Env) *state {
	s := &state{
		log:     env.Log.Named("batch"),
		metrics: telemetry.New(env.Metrics),
		epoch:   time.Now(),
		groups:  make(map[groupKey]*group),
		models:  make(map[modelKey]*model),
		budgets: make(map[budgetKey]*budget),
		labels:  make(map[string]struct{}),
	}
	s.ending, s.end = context.WithCancel(context.Background())
	return s
}

// now is the present, for the schedulers.
func (s *state) now() schedule.Instant { return time.Since(s.epoch) }

// group finds the group of key or makes it.
func (s *state) group(key groupKey, c *Config, e *entry) *group {
	s.mu.RLock()
	g := s.groups[key]
	s.mu.RUnlock()
	if g != nil {
		return g
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.groups[key]; g != nil {
		return g
	}
	s.sweep(s.now())
	g = s.newGroup(key, c, e)
	s.groups[key] = g
	return g
}

// newGroup makes a group and resolves its metrics. REQUIRES: mu is held.
func (s *state) newGroup(key groupKey, c *Config, e *entry) *group {
	cluster, call := e.req.Cluster, e.call
	mk := modelKey{cluster, call.Protocol, call.Operation, call.Model, ""}
	if e.req.Endpoint != nil {
		mk.pinned = e.req.Endpoint.Address
	}
	m := s.models[mk]
	if m == nil {
		m = s.newModel(mk)
		s.models[mk] = m
	}
	bk := budgetKey{cluster, c.id}
	b := s.budgets[bk]
	if b == nil {
		b = &budget{maxItems: int64(c.MaxQueuedItems), gauge: s.metrics.BatchQueued.WithLabelValues(cluster)}
		s.budgets[bk] = b
		s.metrics.BatchQueuedLimit.WithLabelValues(cluster).Set(float64(c.MaxQueuedItems))
	}
	m.groups++
	b.groups++
	g := &group{state: s, config: c, key: key, model: m, budget: b, budgetKey: bk}
	size := maxBatchBytes
	if call.GRPC {
		size = maxMessageBytes
	}
	g.queue = schedule.NewQueue(schedule.Rules{
		MaxItems: c.MaxBatchSize, MaxBytes: size, MaxDelay: c.MaxQueueDelay,
		MaxFlights: c.MaxInFlight, Objective: c.LatencyObjective,
	}, g)
	for why := range schedule.Reasons {
		g.dispatches[why] = s.metrics.BatchDispatch.WithLabelValues(cluster, why.String())
	}
	return g
}

// newModel makes a model and resolves its metrics. REQUIRES: mu is held.
func (s *state) newModel(key modelKey) *model {
	cluster, label, metrics := key.cluster, s.label(key.model), s.metrics
	return &model{
		state: s, key: key, pool: schedule.NewPool(),
		size: metrics.BatchSize.WithLabelValues(cluster, label),
		wait: metrics.BatchWait.WithLabelValues(cluster, label),
		gauges: func() learned {
			return learned{
				fixed: metrics.BatchModel.WithLabelValues(cluster, label, "a"),
				each:  metrics.BatchModel.WithLabelValues(cluster, label, "b"),
				limit: metrics.BatchLimit.WithLabelValues(cluster, label),
				aside: metrics.BatchAside.WithLabelValues(cluster, label),
			}
		},
	}
}

// label is the metrics' label for a model: itself for the first hundred.
// REQUIRES: mu is held.
func (s *state) label(model string) string {
	const other = "other"
	if len(model) > maxModelName || !utf8.ValidString(model) {
		return other
	}
	if _, ok := s.labels[model]; ok {
		return model
	}
	if len(s.labels) == maxModels {
		return other
	}
	s.labels[model] = struct{}{}
	return model
}

// sweep drops groups that nobody has used for a while, and more of the idle ones
// where there are too many. It runs when a group is made: while nothing happens,
// nothing has to. REQUIRES: mu is held.
func (s *state) sweep(now schedule.Instant) {
	if len(s.groups) < maxIdle && now-s.swept < idleFor {
		return
	}
	s.swept = now
	for _, g := range s.groups {
		s.drop(g, now-idleFor)
	}
	// Down to three quarters, so that it is not done over for each new group.
	for _, g := range s.groups {
		if len(s.groups) <= maxIdle*3/4 {
			break
		}
		s.drop(g, now)
	}
	for k, m := range s.models {
		if m.groups == 0 && (!m.unbatchable(time.Now()) || len(s.models) > maxIdle) {
			delete(s.models, k)
		}
	}
}

// drop removes g if it is idle and was last used before. REQUIRES: mu is held.
func (s *state) drop(g *group, before schedule.Instant) {
	if !g.retire(before) {
		return
	}
	delete(s.groups, g.key)
	g.model.groups--
	if g.budget.groups--; g.budget.groups == 0 {
		delete(s.budgets, g.budgetKey)
	}
}

// maxErrands is how many errands may be under way at once: callers make up models.
const maxErrands = 16

// background has do done beside the requests, for no longer than the state is open. It
// is false where there is too much to do already.
func (s *state) background(do func(ctx context.Context)) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return false
	}
	if s.busy.Add(1) > maxErrands {
		s.busy.Add(-1)
		return false
	}
	s.errands.Go(func() {
		defer s.busy.Add(-1)
		do(s.ending)
	})
	return true
}

// Close lets go of what is idle. What is in use ends by itself.
func (s *state) Close() error {
	s.close()
	s.end()
	s.errands.Wait()
	return nil
}

func (s *state) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, g := range s.groups {
		s.drop(g, s.now()+time.Hour)
	}
}

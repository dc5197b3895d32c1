package models

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/filters/models/api"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// fleet is the models of a cluster. Its loop is the one goroutine that decides: everything
// else posts to it what has happened, and it steps through all models and starts jobs. It
// never waits for anything but the next post or the next moment at which something is due.
type fleet struct {
	// Set once.
	world   *world
	cluster string
	log     *zap.Logger
	metrics *telemetry.Metrics
	ctx     context.Context //nolint:containedctx // the jobs'
	cancel  context.CancelFunc
	started sync.Once
	begun   atomic.Bool

	users int // guarded by world.mu

	models    atomic.Pointer[map[string]*model]
	config    atomic.Pointer[Config] // the latest in force
	endpoints atomic.Pointer[func() []*proxy.Endpoint]
	api       atomic.Pointer[api.API] // nil: not known yet
	queue     queue

	mu    sync.Mutex
	posts []func()
	poke  chan struct{}
	over  chan struct{} // closed when the loop has ended

	// The loop's own.
	claims  []*claim
	ordered []*model
	waiting []*version // for room, the first of them first
	due     time.Time  // zero: nothing is
	fixed   bool       // the server cannot unload
}

func newFleet(w *world, cluster string) *fleet {
	f := &fleet{
		world: w, cluster: cluster, log: w.log.With(zap.String(telemetry.FieldCluster, cluster)), metrics: w.metrics,
		poke: make(chan struct{}, 1), over: make(chan struct{}),
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.models.Store(&map[string]*model{})
	f.config.Store(&Config{})
	f.queue.gauge = f.metrics.ModelHeld.WithLabelValues(cluster)
	return f
}

// begin starts the loop where it has not been.
func (f *fleet) begin() {
	f.started.Do(func() {
		f.begun.Store(true)
		go f.loop()
	})
}

// end ends it. What the server has, it keeps.
func (f *fleet) end() {
	f.cancel()
	f.started.Do(func() { close(f.over) })
}

// post has the loop call do, soon. It does not wait.
func (f *fleet) post(do func()) {
	f.mu.Lock()
	f.posts = append(f.posts, do)
	f.mu.Unlock()
	f.nudge()
}

// nudge has the loop look at everything again.
func (f *fleet) nudge() {
	select {
	case f.poke <- struct{}{}:
	default:
	}
}

func (f *fleet) loop() {
	defer close(f.over)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-f.ctx.Done():
			f.dissolve()
			return
		case <-timer.C:
		case <-f.poke:
		}
		for {
			f.mu.Lock()
			posts := f.posts
			f.posts = nil
			f.mu.Unlock()
			for _, do := range posts {
				do()
			}
			if len(posts) == 0 {
				break
			}
		}
		f.due = time.Time{}
		f.decide(time.Now())
		if f.due.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(max(time.Millisecond, time.Until(f.due)))
		}
	}
}

// at has the loop look again at t.
func (f *fleet) at(t time.Time) {
	if f.due.IsZero() || t.Before(f.due) {
		f.due = t
	}
}

// dissolve lets everybody go who waits.
func (f *fleet) dissolve() {
	all := *f.models.Swap(&map[string]*model{})
	for _, m := range all {
		for _, v := range m.versions() {
			f.answer(v, true)
		}
		m.removed.Store(true)
		f.tell(m)
	}
	f.queue.wakeAll(all)
}

// adopt heeds a claim.
func (f *fleet) adopt(c *claim) {
	f.claims = append(f.claims, c)
	f.reconcile()
}

// forget heeds it no longer.
func (f *fleet) forget(c *claim) {
	f.claims = slices.DeleteFunc(f.claims, func(o *claim) bool { return o == c })
	f.reconcile()
}

// reconcile makes the models those that the claims name, of two that name one the later.
func (f *fleet) reconcile() {
	if len(f.claims) == 0 {
		return // the fleet ends, or another claim is about to be adopted
	}
	latest := f.claims[len(f.claims)-1].config
	if old := f.config.Swap(latest); old.API != latest.API {
		f.api.Store(nil)
	}
	if latest.API != nil {
		f.api.Store(&latest.API)
	}
	wanted := map[string]*ModelConfig{}
	order := map[string]int{}
	for _, c := range f.claims {
		for i, mc := range c.config.Models {
			wanted[mc.Name], order[mc.Name] = mc, i
		}
	}
	models := maps.Clone(*f.models.Load())
	for name, m := range models {
		if wanted[name] == nil && !m.removed.Load() {
			m.remove()
		}
	}
	for name, mc := range wanted {
		m := models[name]
		if m == nil {
			m = &model{name: name, fleet: f, wake: make(chan struct{})}
			models[name] = m
		}
		m.removed.Store(false)
		m.order = order[name]
		m.want(mc)
	}
	f.store(models)
}

func (f *fleet) store(models map[string]*model) {
	f.models.Store(&models)
	f.ordered = slices.SortedFunc(maps.Values(models), func(a, b *model) int {
		if a.required != b.required {
			if a.required {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.order, b.order), cmp.Compare(a.name, b.name))
	})
}

package batch

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fridaymesh/friday/filters/batch/schedule"
	"github.com/fridaymesh/friday/proxy"
)

// bypasses are a route's paths on which the batcher may not be wanted. Where every
// model that is called by a path stands aside, requests to it pass without a look at
// their body: reading, understanding and scheduling a request costs more than some
// servers take to answer it.
type bypasses struct {
	mu    sync.Mutex // for writing
	paths atomic.Pointer[map[pathKey]*bypass]
}

type pathKey struct{ cluster, path string }

// maxBypasses bounds what callers make up.
const maxBypasses = 1024

// find is the bypass of a request's path; nil where there is none.
func (b *bypasses) find(req *proxy.Request) *bypass {
	paths := b.paths.Load()
	if paths == nil {
		return nil
	}
	uri := req.Header.RequestURI()
	if i := bytes.IndexByte(uri, '?'); i >= 0 {
		uri = uri[:i]
	}
	return (*paths)[pathKey{req.Cluster, string(uri)}]
}

// saw takes note of a request that was looked into; mayPass says that its kind may
// pass where its model stands aside.
func (b *bypasses) saw(req *proxy.Request, m *model, mayPass bool) {
	aside := mayPass && m.asideUntil.Load() != 0
	if !aside && b.paths.Load() == nil {
		return
	}
	p := b.find(req)
	if p == nil && aside {
		p = b.add(req, m)
	}
	if p != nil {
		p.open(m)
	}
}

func (b *bypasses) add(req *proxy.Request, m *model) *bypass {
	b.mu.Lock()
	defer b.mu.Unlock()
	uri, _, _ := bytes.Cut(req.Header.RequestURI(), []byte{'?'})
	key := pathKey{req.Cluster, string(uri)}
	paths := map[pathKey]*bypass{}
	if old := b.paths.Load(); old != nil {
		if p := (*old)[key]; p != nil {
			return p
		}
		if len(*old) >= maxBypasses {
			return nil
		}
		paths = maps.Clone(*old)
	}
	p := &bypass{state: m.state, closed: m.state.now(), passed: m.state.metrics.BatchDispatch.WithLabelValues(req.Cluster, schedule.Aside.String())}
	paths[key] = p
	b.paths.Store(&paths)
	return p
}

// bypass is one path's.
type bypass struct {
	// Set once.
	state  *state
	passed prometheus.Counter

	// until is an Instant; 0: closed. most is how many requests at once keep it open,
	// active how many there are.
	until, most, active atomic.Int64
	count               atomic.Uint64

	// Guarded by mu.
	mu     sync.Mutex
	models []*model
	closed schedule.Instant // since when requests are looked into
	opened schedule.Instant
	usual  float64 // what answers take, in seconds, when it was opened
	lately float64
	timed  int
}

const (
	// maxPathModels is how many models a path may serve and still have a bypass.
	maxPathModels = 16
	// sampled is how many requests there are to one that is timed.
	sampled = 8
	// learning is how many are timed before anything is made of it, and changed by how
	// much answers must take longer or less for the batcher to look again.
	learning = 32
	changed  = 1.6
	// steady is how long a bypass is left alone, however the times change.
	steady = 5 * time.Second
	// look is for how long requests are looked into before a bypass opens, and openMost
	// how long it stays open at the most: another model may be called by its path.
	look     = 100 * time.Millisecond
	openMost = 10 * time.Second
)

// see notes that a request for m was not passed on.
func (p *bypass) see(m *model) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.models, m) && len(p.models) <= maxPathModels {
		p.models = append(p.models, m)
	}
}

// open opens it if all models that were seen stand aside.
func (p *bypass) open(m *model) {
	p.see(m)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.state.now()
	if len(p.models) > maxPathModels || p.until.Load() != 0 || now-p.closed < look {
		return
	}
	until, most := int64(now+openMost), int64(1<<62)
	for _, m := range p.models {
		u := m.asideUntil.Load()
		if u <= int64(now) {
			return
		}
		until, most = min(until, u), min(most, m.asideMost.Load())
	}
	p.opened, p.usual, p.lately, p.timed = now, 0, 0, 0
	p.most.Store(most)
	p.until.Store(until)
}

// pass passes a request on, and is false where the bypass is closed.
func (p *bypass) pass(ctx context.Context, req *proxy.Request, next proxy.Handler) (resp *proxy.Response, passed bool, err error) {
	until := p.until.Load()
	if until == 0 {
		return nil, false, nil
	}
	active := p.active.Add(1)
	defer p.active.Add(-1)
	if active > p.most.Load() {
		p.shut(active, true)
		return nil, false, nil
	}
	if p.count.Add(1)%sampled != 0 {
		p.passed.Inc()
		resp, err = next.Handle(ctx, req)
		return resp, true, err
	}
	began := p.state.now()
	if int64(began) >= until {
		p.shut(active, false)
		return nil, false, nil
	}
	p.passed.Inc()
	resp, err = next.Handle(ctx, req)
	if err == nil && p.strange(p.state.now(), began) {
		p.shut(p.active.Load(), true)
	}
	return resp, true, err
}

// strange takes in how long an answer took, and says whether that is not what it was
// when the bypass was opened.
func (p *bypass) strange(now, began schedule.Instant) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := (now - began).Seconds()
	p.timed++
	if p.timed <= learning {
		p.usual += (took - p.usual) / float64(p.timed)
		p.lately = p.usual
		return false
	}
	p.lately += (took - p.lately) / learning
	return now-p.opened > steady && (p.lately > changed*p.usual || p.lately*changed < p.usual)
}

// shut closes it. Its models look again, with so many requests on their way: all of
// them or, where nothing is strange, those whose time has come.
func (p *bypass) shut(active int64, strange bool) {
	if p.until.Swap(0) == 0 {
		return
	}
	now := p.state.now()
	p.mu.Lock()
	models := p.models
	p.models, p.closed = nil, now
	p.mu.Unlock()
	for _, m := range models {
		if strange || m.asideUntil.Load() <= int64(now) {
			m.recall(int(active))
		}
	}
}

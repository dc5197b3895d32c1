package cache

import (
	"context"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/filters/cache/shared"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// state is what caches of equal size have in common: it outlives configurations.
type state struct {
	// Set once.
	log     *zap.Logger
	metrics *telemetry.Metrics
	store   *store

	// Guarded by mu.
	mu      sync.Mutex
	flights map[key]seat
	fetches map[key]*fetch
	purges  map[string]uint64 // by model; "" for all
	last    *fasthttp.ResponseHeader
	written []byte // last, as it is written
	disk    *disk  // nil: nothing is kept across restarts

	versions     sync.Map // subject -> string
	versionCount atomic.Int64
}

// seat is where the answer to a key will be: one of those of a flight.
type seat struct {
	flight *flight
	at     int
}

var _ io.Closer = (*state)(nil)

func newState(env proxy.Env, most int64) (*state, error) {
	s := &state{
		log:     env.Log.Named("cache"),
		metrics: telemetry.New(env.Metrics),
		flights: make(map[key]seat),
		fetches: make(map[key]*fetch),
		purges:  make(map[string]uint64),
	}
	var err error
	s.store, err = newStore(most, s.metrics)
	return s, err
}

// maxPurges bounds what operators may name.
const maxPurges = 1024

// Purge drops what is kept of a model, of all models where it is empty, and says how
// many answers that were. What is being computed just now is not kept.
func (s *state) Purge(model string) int { return s.purge(model, time.Time{}) }

// purge is Purge of what was stored before a time, the zero time for whenever.
func (s *state) purge(model string, before time.Time) int {
	s.mu.Lock()
	if len(s.purges) >= maxPurges && model != "" {
		all := s.purges[""] // count it as one of all
		clear(s.purges)
		s.purges[""] = all + 1
	}
	s.purges[model]++
	d := s.disk
	s.mu.Unlock()
	n := s.store.purge(model, before)
	if d != nil {
		d.forget(s.log)
	}
	return n
}

// generation changes when a model is purged. REQUIRES: mu is held.
func (s *state) generation(model string) uint64 { return s.purges[""]<<32 + s.purges[model] }

// Close lets go of what is kept, having written it to disk where that is asked for. Calls on their way end by themselves.
func (s *state) Close() error {
	s.mu.Lock()
	d := s.disk
	s.disk = nil
	s.mu.Unlock()
	if d != nil {
		d.close()
	}
	s.Purge("")
	return nil
}

// claim is what a request has to do to be answered.
type claim struct {
	// found are the entries of its keys, nil where there is none that is fresh enough,
	// and stale, nil or as many, those that may be given where the server fails.
	found, stale []*entry
	// renew are the places of what was found and is to be computed anew behind the
	// caller's back.
	renew []int
	// missing is how many were not found.
	missing int
	// seats are where else the answers will be. lead, where not nil, is a flight of the
	// request's own: for its items mine.
	seats []seat
	lead  *flight
	mine  []int
	// joined are the flights of others.
	joined []*flight
}

// ask says how a request wants to be answered.
type ask struct {
	config         *Config
	cluster, model string
	// tier is the shared store, nil where there is none, and stamp what its look-up said.
	tier  *shared.Store
	stamp shared.Stamp
	// maxAge is how old an answer may be; negative: any. anew: not from the store, and
	// not from a call that has begun before.
	maxAge time.Duration
	anew   bool
	// known: only from the store.
	known bool
}

// claim finds out what is known of keys, whose calls to wait for, and makes a flight for
// the rest. The caller must leave each flight of the claim.
func (s *state) claim(ctx context.Context, keys []key, a *ask) *claim {
	c := &claim{found: make([]*entry, len(keys)), missing: len(keys)}
	now := time.Now()
	if !a.anew {
		for i, k := range keys {
			s.find(c, i, k, a, now)
		}
	}
	switch {
	case c.missing == 0, a.tier == nil:
	case a.anew:
		_, a.stamp = a.tier.Get(a.model, nil) //nolint:contextcheck // the store bounds it
	default:
		s.bring(ctx, c, keys, a)
	}
	if c.missing == 0 || a.known {
		return c
	}
	c.seats = make([]seat, len(keys))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, k := range keys {
		if c.found[i] != nil {
			continue
		}
		if !a.anew {
			// Once more: it may have been stored, and its flight be gone, in between.
			if s.find(c, i, k, a, now); c.found[i] != nil {
				continue
			}
		}
		there, ok := s.flights[k]
		if ok && (there.flight == c.lead || !a.anew && a.config.Coalesce) {
			c.seats[i] = there
			if there.flight != c.lead {
				c.join(there.flight)
			}
			continue
		}
		if c.lead == nil {
			c.lead = newFlight(s, a)
		}
		c.seats[i] = seat{c.lead, len(c.lead.keys)}
		c.lead.keys = append(c.lead.keys, k)
		c.mine = append(c.mine, i)
		if !ok && a.config.Coalesce {
			s.flights[k] = c.seats[i]
		}
	}
	if a.config.StaleIfError > 0 {
		c.stale = make([]*entry, len(keys))
		for i, k := range keys {
			if e := s.store.get(k); e != nil && now.Sub(e.stored) < e.fresh+a.config.StaleIfError && !s.outdated(e, a.cluster) {
				c.stale[i] = e
			}
		}
	}
	return c
}

// find takes what is kept of a key, if it may be given.
func (s *state) find(c *claim, i int, k key, a *ask, now time.Time) {
	if e := s.store.get(k); e != nil {
		c.take(i, e, s.judge(e, a, now))
	}
}

// verdict is whether what is kept may be given.
type verdict uint8

const (
	no verdict = iota
	yes
	// late: it may, and is to be computed anew meanwhile.
	late
)

func (s *state) judge(e *entry, a *ask, now time.Time) verdict {
	if a.maxAge >= 0 && e.ageAt(now) > a.maxAge || s.outdated(e, a.cluster) {
		return no
	}
	switch since := now.Sub(e.stored); {
	case since < e.fresh:
		return yes
	case since < e.fresh+a.config.StaleWhileRevalidate:
		return late
	}
	return no
}

// take enters what was found for a place.
func (c *claim) take(i int, e *entry, v verdict) {
	if v == no || c.found[i] != nil {
		return
	}
	c.found[i] = e
	c.missing--
	if v == late {
		c.renew = append(c.renew, i)
	}
}

// leave is for who waits no more for what it claimed.
func (c *claim) leave(cause error) {
	if c.lead != nil {
		c.lead.leave(cause)
	}
	for _, f := range c.joined {
		f.leave(cause)
	}
}

// join notes that somebody waits for f. REQUIRES: mu is held.
func (c *claim) join(f *flight) {
	if slices.Contains(c.joined, f) {
		return
	}
	f.users++
	c.joined = append(c.joined, f)
}

// intern is a head that is kept, and what it counts for: calls that end within a second
// of each other mostly have the same one, and share it.
func (s *state) intern(h *fasthttp.ResponseHeader) (head *fasthttp.ResponseHeader, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	written := h.AppendBytes(nil)
	if s.last != nil && string(written) == string(s.written) {
		return s.last, 0
	}
	s.last, s.written = h, written
	return h, headCost + 2*len(written)
}

// headCost is about what a head takes beside its text.
const headCost = 1 << 10

func (e *entry) ageAt(now time.Time) time.Duration { return e.age + now.Sub(e.stored) }

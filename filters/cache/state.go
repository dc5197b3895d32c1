package cache

import (
	"io"
	"slices"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

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
	purges  map[string]uint64 // by model; "" for all
	last    *fasthttp.ResponseHeader
	written []byte // last, as it is written
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
func (s *state) Purge(model string) int {
	s.mu.Lock()
	if len(s.purges) >= maxPurges && model != "" {
		all := s.purges[""] // count it as one of all
		clear(s.purges)
		s.purges[""] = all + 1
	}
	s.purges[model]++
	s.mu.Unlock()
	return s.store.purge(model)
}

// generation changes when a model is purged. REQUIRES: mu is held.
func (s *state) generation(model string) uint64 { return s.purges[""]<<32 + s.purges[model] }

// Close lets go of what is kept. Calls on their way end by themselves.
func (s *state) Close() error {
	s.Purge("")
	return nil
}

// claim is what a request has to do to be answered.
type claim struct {
	// found are the entries of its keys, nil where there is none that is fresh enough,
	// and stale, nil or as many, those that may be given where the server fails.
	found, stale []*entry
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
	config *Config
	model  string
	// maxAge is how old an answer may be; negative: any. anew: not from the store, and
	// not from a call that has begun before.
	maxAge time.Duration
	anew   bool
	// known: only from the store.
	known bool
}

// claim finds out what is known of keys, whose calls to wait for, and makes a flight for
// the rest. The caller must leave each flight of the claim.
func (s *state) claim(keys []key, a *ask) *claim {
	c := &claim{found: make([]*entry, len(keys))}
	now := time.Now()
	missing := len(keys)
	if !a.anew {
		for i, k := range keys {
			if c.found[i] = s.fresh(k, a, now); c.found[i] != nil {
				missing--
			}
		}
	}
	if missing == 0 || a.known {
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
			if c.found[i] = s.fresh(k, a, now); c.found[i] != nil {
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
			c.lead = newFlight(s, a.model)
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
			if e := s.store.get(k); e != nil && now.Sub(e.stored) < e.fresh+a.config.StaleIfError {
				c.stale[i] = e
			}
		}
	}
	return c
}

// fresh is the entry of k if it may be given.
func (s *state) fresh(k key, a *ask, now time.Time) *entry {
	e := s.store.get(k)
	if e == nil || now.Sub(e.stored) >= e.fresh || a.maxAge >= 0 && e.ageAt(now) > a.maxAge {
		return nil
	}
	return e
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

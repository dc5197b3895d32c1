package admission

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fridaymesh/friday/filters/admission/gate"
	"github.com/fridaymesh/friday/filters/admission/shared"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

const (
	// maxAllowances is how many tenants' limits are kept apart; where more have used some
	// of theirs within a minute, those that are new share one.
	maxAllowances = 1 << 16
	// maxTenants bounds the metrics' label tenant.
	maxTenants = 100
	others     = "other"
)

// state is what the filters of a process have in common: it outlives configurations.
type state struct {
	// Set once.
	metrics *telemetry.Metrics
	epoch   time.Time

	held atomic.Int64 // bytes of bodies that wait

	// Guarded by mu.
	mu         sync.Mutex
	doors      map[string]*door // by cluster
	allowances map[allowanceKey]*gate.Allowance
	labels     map[string]struct{}
}

// allowanceKey names an allowance: with other limits it is another one. Where limits are
// counted for several Fridays it is what was last heard of them.
type allowanceKey struct {
	tenant string
	limits gate.PerMinute
}

var _ io.Closer = (*state)(nil)

func newState(env proxy.Env) *state {
	return &state{
		metrics: telemetry.New(env.Metrics), epoch: time.Now(),
		doors:      make(map[string]*door),
		allowances: make(map[allowanceKey]*gate.Allowance),
		labels:     make(map[string]struct{}),
	}
}

// Close does nothing: what waits ends by itself.
func (s *state) Close() error { return nil }

func (s *state) now() gate.Instant { return time.Since(s.epoch) }

// door is the cluster's.
func (s *state) door(cluster string) *door {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.doors[cluster]
	if d == nil {
		d = newDoor(s, cluster)
		s.doors[cluster] = d
	}
	return d
}

// allowance is what a tenant has left of its limits. REQUIRES: mu is held.
func (s *state) allowance(now gate.Instant, key allowanceKey) *gate.Allowance {
	if a := s.allowances[key]; a != nil {
		return a
	}
	if len(s.allowances) >= maxAllowances {
		for k, a := range s.allowances {
			if a.Full(now, k.limits) {
				delete(s.allowances, k)
			}
		}
		if len(s.allowances) >= maxAllowances {
			key.tenant = "" // nobody is called that
			if a := s.allowances[key]; a != nil {
				return a
			}
		}
	}
	a := new(gate.Allowance)
	s.allowances[key] = a
	return a
}

// left is what stands in the x-ratelimit headers of one kind.
type left struct {
	limit, remaining uint64
	reset            time.Duration
}

// take takes a request's part of a tenant's limits, from counts where they can be asked.
func (s *state) take(counts *shared.Counts, key allowanceKey, tokens int64) (short gate.Kind, after time.Duration) {
	taken, known := false, false
	var used shared.Used
	if counts != nil {
		taken, used, known = counts.Take(key.tenant, key.limits, tokens)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	a := s.allowance(now, key)
	if known {
		*a = gate.Used(now, used.Requests, used.Tokens)
		if taken {
			return gate.None, 0
		}
	}
	return a.Take(now, key.limits, tokens)
}

// giveBack is for a request that was not let in after all.
func (s *state) giveBack(counts *shared.Counts, key allowanceKey, tokens int64) {
	known := false
	var used shared.Used
	if counts != nil {
		used, known = counts.Return(key.tenant, key.limits, tokens)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	a := s.allowance(now, key)
	if known {
		*a = gate.Used(now, used.Requests, used.Tokens)
		return
	}
	a.Return(key.limits, tokens)
}

// left is what a tenant has left.
func (s *state) left(key allowanceKey) (requests, tokens left) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	a := s.allowance(now, key)
	requests.limit, tokens.limit = key.limits.Requests, key.limits.Tokens
	requests.remaining, requests.reset = a.Left(now, key.limits, gate.Requests)
	tokens.remaining, tokens.reset = a.Left(now, key.limits, gate.Tokens)
	return requests, tokens
}

// label is the metrics' label for a tenant: its name for the first hundred.
func (s *state) label(tenant string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.labels[tenant]; ok {
		return tenant
	}
	if len(s.labels) == maxTenants {
		return others
	}
	s.labels[tenant] = struct{}{}
	return tenant
}

package cache

import (
	"context"
	"time"

	"github.com/fridaymesh/friday/filters/cache/shared"
)

// fetch is a look-up in the shared store that is on its way. Who wants one of its keys
// waits for it: it does not take longer than the store's timeout.
type fetch struct {
	done  chan struct{}
	stamp shared.Stamp   // written before done is closed
	found map[key]*entry // likewise
}

// bring completes a claim by what the shared store has of the keys that are not known
// here, and are not being computed here either: those were looked up already.
func (s *state) bring(ctx context.Context, c *claim, keys []key, a *ask) {
	own := &fetch{done: make(chan struct{}), found: make(map[key]*entry)}
	var mine []shared.Key
	var others []*fetch
	s.mu.Lock()
	generation := s.generation(a.model)
	for i, k := range keys {
		if c.found[i] != nil || s.flights[k].flight != nil {
			continue
		}
		switch there := s.fetches[k]; there {
		case nil:
			s.fetches[k] = own
			mine = append(mine, k)
		case own:
		default:
			others = append(others, there)
		}
	}
	s.mu.Unlock()
	if len(mine) > 0 || len(others) == 0 {
		s.fetch(own, mine, a, generation) //nolint:contextcheck // others wait for it, too; the store bounds it
		a.stamp = own.stamp
	}
	for _, f := range others {
		select {
		case <-f.done:
			if len(mine) == 0 {
				a.stamp = f.stamp
			}
		case <-ctx.Done():
			return
		}
	}
	now := time.Now()
	for i, k := range keys {
		if c.found[i] != nil {
			continue
		}
		for _, f := range append(others, own) {
			if e := f.found[k]; e != nil {
				c.take(i, e, s.judge(e, a, now))
			}
		}
	}
}

// fetch looks keys up in the shared store, and keeps what it finds.
func (s *state) fetch(f *fetch, keys []shared.Key, a *ask, generation uint64) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, k := range keys {
			delete(s.fetches, k)
		}
		close(f.done)
	}()
	values, stamp := a.tier.Get(a.model, keys)
	f.stamp = stamp
	now := time.Now()
	for i, value := range values {
		if value == nil {
			continue
		}
		e, err := parseRecord(value)
		if err != nil || e.model != a.model {
			s.metrics.CacheSharedItems.WithLabelValues(a.config.Shared.Address, "broken").Inc()
			continue
		}
		e.fresh = min(e.fresh, a.config.TTL)
		if e.stored.After(now) {
			e.stored = now // by another's clock
		}
		s.mu.Lock()
		same := s.generation(a.model) == generation
		s.mu.Unlock()
		if !same {
			return
		}
		e.head, e.headBytes = s.intern(e.head)
		f.found[keys[i]] = e
		s.store.set(keys[i], e)
	}
}

// write has what was computed written to the shared store.
func (f *flight) write(entries []*entry) {
	if f.tier == nil {
		return
	}
	items := make([]shared.Item, 0, len(entries))
	for i, e := range entries {
		if e.fresh > 0 {
			items = append(items, shared.Item{
				Key: f.keys[i], Life: max(e.fresh+f.late, time.Millisecond), Size: len(e.body) + e.headBytes + overhead,
				Append: func(dst []byte) []byte { return appendRecord(dst, e) },
			})
		}
	}
	if len(items) > 0 {
		f.tier.Set(f.model, f.stamp, items)
	}
}

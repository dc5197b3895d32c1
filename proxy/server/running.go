package server

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fridaymesh/friday/proxy/config"
)

// running is a listener and what serves its connections, whichever socket they came
// from.
type running struct {
	s *Server // set once

	state atomic.Pointer[state]
	hall  hall

	mu      sync.Mutex
	retired []*chain // those whose connections may go on
}

// state is a listener's configuration in force, and the chains that serve it.
type state struct {
	config *config.ActiveListener
	chains map[*config.ActiveChain]*chain
	// only is the chain of a listener that has one, for whatever comes: nothing needs to
	// be known of a connection.
	only *chain
}

// update puts a in force for every request from now on. Chains that go, or speak
// another TLS, serve their connections up to the next answer.
func (r *running) update(a *config.ActiveListener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := map[string]*chain{}
	if was := r.state.Load(); was != nil {
		for _, c := range was.chains {
			old[c.key] = c
		}
	}
	next := &state{config: a, chains: map[*config.ActiveChain]*chain{}}
	for c := range a.All() {
		key := chainKey(c)
		serves := old[key]
		if serves == nil {
			serves = newChain(r, key)
		}
		delete(old, key)
		serves.update(c)
		next.chains[c] = serves
	}
	next.only = next.chains[only(a)]
	r.state.Store(next)
	for c := range maps.Values(old) {
		c.retire()
		r.retired = append(r.retired, c)
	}
	r.forget()
}

// only is the chain of a listener that has no other, and nothing to look for.
func only(a *config.ActiveListener) *config.ActiveChain {
	i := &a.Config.Inspect
	if i.OriginalDst || i.ProxyProtocol != nil || a.Config.UseOriginalDst {
		return nil
	}
	switch {
	case len(a.Chains) == 0:
		return a.Default
	case len(a.Chains) == 1 && a.Default == nil && a.Chains[0].Config.Match.Any():
		return a.Chains[0]
	}
	return nil
}

// forget lets go of retired chains that serve nothing any more. mu is held.
func (r *running) forget() {
	var left []*chain
	for _, c := range r.retired {
		if !c.idle() {
			left = append(left, c)
		}
	}
	r.retired = left
}

// name is the listener's.
func (r *running) name() string { return r.state.Load().config.Config.Name }

// each calls f for the chains that serve, the retired ones too.
func (r *running) each(f func(*chain)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.state.Load().chains {
		f(c)
	}
	for _, c := range r.retired {
		f(c)
	}
}

// leave has connections closed after their next answer, and lets everything go on.
func (r *running) leave() { r.each((*chain).retire) }

// drain has connections closed once they serve nothing.
func (r *running) drain() {
	r.hall.close()
	r.each((*chain).drain)
}

func (r *running) wait(ctx context.Context) error { return r.hall.wait(ctx) }

// abort ends every request, leaves a moment for the answers that say so, and
// closes what is left.
func (r *running) abort() {
	r.each((*chain).abort)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if r.hall.wait(ctx) != nil {
		r.hall.abort()
	}
}

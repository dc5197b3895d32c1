package server

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/exchange"
	"github.com/fridaymesh/friday/proxy/listener"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// running is a bound address and what serves it.
type running struct {
	// Set once.
	s  *Server
	ln *listener.Listener

	active atomic.Pointer[config.Active]
	codecs atomic.Pointer[codecs]
	lobby  lobby

	mu  sync.Mutex
	old []*codecs // those of earlier settings whose connections may go on
}

func newRunning(s *Server, ln *listener.Listener) *running { return &running{s: s, ln: ln} }

// update puts a in force for every request from now on. Settings that a
// connection has for life are taken by new codecs; connections of the old ones
// end after their next answer.
func (r *running) update(a *config.Active) {
	was := r.active.Swap(a)
	if was != nil && was.HTTP.HeadersTimeout == a.HTTP.HeadersTimeout &&
		was.HTTP.IdleTimeout == a.HTTP.IdleTimeout && was.HTTP.MaxHeaderBytes == a.HTTP.MaxHeaderBytes &&
		was.HTTP.Limits == a.HTTP.Limits {
		return
	}
	fresh := newCodecs(exchange.Options{
		Listener: r.active.Load,
		Recorder: r.s.recorder,
		Metrics:  r.s.metrics,
		Log:      r.s.log,
	})
	if old := r.codecs.Swap(fresh); old != nil {
		old.retire()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.old = append(slices.DeleteFunc(r.old, (*codecs).idle), old)
	}
}

func (r *running) start() {
	r.s.log.Info("listening", zap.String(telemetry.FieldListener, r.active.Load().Name), zap.Stringer("address", r.ln.Addr()))
	go func() {
		if err := r.ln.Serve(r.serve); err != nil {
			r.s.log.Error("listener failed", zap.Error(err))
		}
	}()
}

// drain stops accepting and has connections closed once they serve nothing.
func (r *running) drain() {
	_ = r.ln.Close() // closed once, by whoever drains first
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lobby.close()
	r.codecs.Load().drain()
	for _, c := range r.old {
		c.drain()
	}
}

func (r *running) wait(ctx context.Context) error { return r.ln.Wait(ctx) }

// abort ends every request, leaves a moment for the answers that say so, and
// closes what is left.
func (r *running) abort() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.codecs.Load().abort()
	for _, c := range r.old {
		c.abort()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if r.ln.Wait(ctx) != nil {
		r.ln.Abort()
	}
}

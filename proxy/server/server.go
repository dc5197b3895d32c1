package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/listener"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// Options are what a Server is made with.
type Options struct {
	Log *zap.Logger
	// Access gets the access log.
	Access *zap.Logger
	// DrainTimeout is how long what runs may go on when the process ends; 0:
	// 30 s.
	DrainTimeout time.Duration
	Defaults     config.Defaults
}

// Server is a running data plane.
type Server struct {
	// Set once.
	log      *zap.Logger
	opts     Options
	registry *prometheus.Registry
	metrics  *telemetry.Metrics
	recorder *telemetry.Recorder
	watch    *listener.Watch

	state    atomic.Int32
	snapshot atomic.Pointer[config.Snapshot]

	mu       sync.Mutex
	builder  *config.Builder
	running  map[string]*running // by configured address
	draining []*running          // gone from the configuration, not yet from the world
}

// The states, in their order.
const (
	initializing int32 = iota
	live
	draining
)

// New makes a Server that listens on nothing until Apply.
func New(opts Options) (*Server, error) {
	if opts.DrainTimeout == 0 {
		opts.DrainTimeout = 30 * time.Second
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	watch, err := listener.NewWatch()
	if err != nil {
		return nil, err
	}
	m := telemetry.New(registry)
	return &Server{
		log:      opts.Log,
		opts:     opts,
		registry: registry,
		metrics:  m,
		recorder: telemetry.NewRecorder(m, opts.Access),
		watch:    watch,
		builder:  config.NewBuilder(opts.Log, registry, opts.Defaults),
		running:  make(map[string]*running),
	}, nil
}

// Registry holds the metrics.
func (s *Server) Registry() *prometheus.Registry { return s.registry }

// Metrics are those of the registry.
func (s *Server) Metrics() *telemetry.Metrics { return s.metrics }

// Snapshot is the configuration in force; nil before the first.
func (s *Server) Snapshot() *config.Snapshot { return s.snapshot.Load() }

// Apply puts r in force, whole: it is compiled, new addresses are bound, and only
// then is anything that runs touched. On an error nothing has changed.
func (s *Server) Apply(r *config.Resources) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Load() == draining {
		return errors.New("draining: no more configuration is taken")
	}
	change, err := s.builder.Build(r)
	if err != nil {
		return err
	}
	fresh, err := s.bind(change.Snapshot)
	if err != nil {
		change.Abort()
		return err
	}
	change.Commit()
	s.snapshot.Store(change.Snapshot)
	s.swap(change.Snapshot, fresh)
	s.state.CompareAndSwap(initializing, live)
	s.log.Info("configuration applied",
		zap.Int("listeners", len(r.Listeners)), zap.Int("clusters", len(r.Clusters)))
	return nil
}

// bind opens the addresses that nothing listens on yet.
func (s *Server) bind(snap *config.Snapshot) (map[string]*running, error) {
	fresh := make(map[string]*running)
	for _, a := range snap.Listeners {
		if s.running[a.Address] != nil {
			continue
		}
		ln, err := listener.Listen(context.Background(), a.Address, s.watch, s.log)
		if err != nil {
			for _, r := range fresh {
				err = errors.Join(err, r.ln.Close())
			}
			return nil, fmt.Errorf("listener %q: address %s: %w", a.Name, a.Address, err)
		}
		fresh[a.Address] = newRunning(s, ln)
	}
	return fresh, nil
}

// swap gives every listener its new configuration and lets go of those that have
// none.
func (s *Server) swap(snap *config.Snapshot, fresh map[string]*running) {
	addresses := make(map[string]bool, len(snap.Listeners))
	for _, a := range snap.Listeners {
		addresses[a.Address] = true
		if r := fresh[a.Address]; r != nil {
			s.running[a.Address] = r
			r.update(a)
			r.start()
			continue
		}
		s.running[a.Address].update(a)
	}
	for address, r := range s.running {
		if addresses[address] {
			continue
		}
		delete(s.running, address)
		s.draining = append(s.draining, r)
		r.drain()
		go s.retire(r)
	}
}

// retire waits for the end of a listener that is no longer configured and drains.
func (s *Server) retire(r *running) {
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.DrainTimeout)
	defer cancel()
	if r.wait(ctx) != nil {
		r.abort()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.draining {
		if s.draining[i] == r {
			s.draining = append(s.draining[:i], s.draining[i+1:]...)
			break
		}
	}
}

// State says whether requests are served, and if not why, in Envoy's words.
func (s *Server) State() (ready bool, words string) {
	switch s.state.Load() {
	case live:
		return true, "LIVE"
	case draining:
		return false, "DRAINING"
	}
	return false, "PRE_INITIALIZING"
}

// Addresses are the bound addresses by listener name.
func (s *Server) Addresses() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]string, len(s.running))
	for _, r := range s.running {
		out[r.active.Load().Name] = r.ln.Addr().String()
	}
	return out
}

// Drain makes the server say that it is not ready, stops accepting, and has
// connections closed as soon as they serve nothing. It does not wait.
func (s *Server) Drain() {
	if s.state.Swap(draining) == draining {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.running {
		r.drain()
	}
}

// WaitIdle waits, after Drain, for what runs until the drain timeout, and ends the
// rest.
func (s *Server) WaitIdle() {
	s.mu.Lock()
	all := append([]*running(nil), s.draining...)
	for _, r := range s.running {
		all = append(all, r)
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.DrainTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, r := range all {
		wg.Go(func() {
			if r.wait(ctx) != nil {
				s.log.Warn("drain timeout: ending what still runs",
					zap.String(telemetry.FieldListener, r.ln.Addr().String()), zap.Int("connections", r.ln.Connections()))
				r.abort() //nolint:contextcheck // ctx is over
			}
		})
	}
	wg.Wait()
}

// Close drains, waits and lets go of everything.
func (s *Server) Close() error {
	s.Drain()
	s.WaitIdle()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.builder.Close()
	return s.watch.Close()
}

package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/listener"
	"github.com/fridaymesh/friday/proxy/telemetry"
	"github.com/fridaymesh/friday/proxy/upstream"
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
	// Inherit, where not nil, returns the socket of an address that another process has
	// left; nil: there is none.
	Inherit func(address string) (net.Listener, error)
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
	own      *upstream.Own

	state    atomic.Int32
	shut     atomic.Bool // nothing is accepted any more
	snapshot atomic.Pointer[config.Snapshot]

	mu       sync.Mutex
	builder  *config.Builder
	running  map[string]*running // by name
	doors    map[string]*door    // by configured address
	draining []*running          // gone from the configuration, not yet from the world

	// byAddress are the running ones by where a connection may be meant to go.
	byAddress atomic.Pointer[map[netip.AddrPort]*running]
}

// door is a bound address.
type door struct {
	ln    *listener.Listener
	owner atomic.Pointer[running]
}

// open serves what comes through the door, by whoever owns it at the time.
func (s *Server) open(d *door) {
	s.log.Info("listening", zap.String(telemetry.FieldListener, d.owner.Load().name()), zap.Stringer("address", d.ln.Addr()))
	go func() {
		if err := d.ln.Serve(func(c *listener.Conn) { d.owner.Load().serve(c, false) }); err != nil {
			s.log.Error("listener failed", zap.Error(err))
		}
	}()
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
	builder := config.NewBuilder(opts.Log, registry, opts.Defaults)
	return &Server{
		log:      opts.Log,
		opts:     opts,
		registry: registry,
		metrics:  m,
		recorder: telemetry.NewRecorder(m, opts.Access),
		watch:    watch,
		own:      builder.Own(),
		builder:  builder,
		running:  make(map[string]*running),
		doors:    make(map[string]*door),
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

// Purge drops what is cached of a model, of all where it is empty, and says how many
// answers that were.
func (s *Server) Purge(model string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.builder.Purge(model)
}

// Models are what is known of the models that are looked after.
func (s *Server) Models() []proxy.ModelStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.builder.Models()
}

// bind opens the addresses that nothing listens on yet.
func (s *Server) bind(snap *config.Snapshot) (map[string]*door, error) {
	fresh := make(map[string]*door)
	for _, a := range snap.Listeners {
		for _, address := range bound(a) {
			if s.doors[address] != nil {
				continue
			}
			ln, err := s.listen(address)
			if err != nil {
				for _, d := range fresh {
					err = errors.Join(err, d.ln.Close())
				}
				return nil, fmt.Errorf("listener %q: address %s: %w", a.Config.Name, address, err)
			}
			fresh[address] = &door{ln: ln}
		}
	}
	return fresh, nil
}

// listen inherits or opens a socket.
func (s *Server) listen(address string) (*listener.Listener, error) {
	if s.opts.Inherit != nil {
		switch ln, err := s.opts.Inherit(address); {
		case err != nil:
			s.log.Warn("no socket could be inherited", zap.String("address", address), zap.Error(err))
		case ln != nil:
			return listener.On(ln, s.watch, s.log), nil
		}
	}
	return listener.Listen(context.Background(), address, s.watch, s.log)
}

// bound are the addresses that a listener listens on.
func bound(a *config.ActiveListener) []string {
	if a.Config.Unbound {
		return nil
	}
	return append([]string{a.Config.Address}, a.Config.More...)
}

// swap gives every listener its new configuration and lets go of those that have
// none.
func (s *Server) swap(snap *config.Snapshot, fresh map[string]*door) {
	addresses := make(map[string]bool, len(snap.Listeners))
	meant := make(map[netip.AddrPort]*running)
	for name, a := range snap.Listeners {
		r := s.running[name]
		if r == nil {
			r = &running{s: s}
			s.running[name] = r
		}
		r.update(a)
		for _, address := range append([]string{a.Config.Address}, a.Config.More...) {
			if ap, err := netip.ParseAddrPort(address); err == nil {
				meant[ap] = r
			}
		}
		for _, address := range bound(a) {
			addresses[address] = true
			if d := fresh[address]; d != nil {
				s.doors[address] = d
			}
			s.doors[address].owner.Store(r)
		}
	}
	s.byAddress.Store(&meant)
	for _, d := range fresh {
		s.open(d)
	}
	for address, d := range s.doors {
		if !addresses[address] {
			delete(s.doors, address)
			_ = d.ln.Close() // it accepts nothing any more, whatever it says
		}
	}
	for name, r := range s.running {
		if snap.Listeners[name] == nil {
			delete(s.running, name)
			s.draining = append(s.draining, r)
			r.drain()
			go s.retire(r)
		}
	}
}

// meant is the listener that a connection to an address is meant for: that of the
// address, or of all addresses of the machine; nil where there is none.
func (s *Server) meant(a net.Addr) *running {
	to := address(a)
	if !to.IsValid() {
		return nil
	}
	all := *s.byAddress.Load()
	if r := all[to]; r != nil {
		return r
	}
	if to.Addr().Is4() {
		if r := all[netip.AddrPortFrom(netip.IPv4Unspecified(), to.Port())]; r != nil {
			return r
		}
	}
	return all[netip.AddrPortFrom(netip.IPv6Unspecified(), to.Port())]
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
	for name, r := range s.running {
		for _, address := range bound(r.state.Load().config)[:min(1, len(bound(r.state.Load().config)))] {
			out[name] = s.doors[address].ln.Addr().String()
		}
	}
	return out
}

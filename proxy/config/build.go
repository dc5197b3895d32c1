package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/http2"
	"github.com/fridaymesh/friday/proxy/router"
	"github.com/fridaymesh/friday/proxy/telemetry"
	"github.com/fridaymesh/friday/proxy/tlscontext"
	"github.com/fridaymesh/friday/proxy/tracing"
	"github.com/fridaymesh/friday/proxy/upstream"
)

// Builder makes snapshots and keeps what outlives them: the clusters with their
// connections, and what filters keep. It is not safe for concurrent use.
type Builder struct {
	log      *zap.Logger
	registry prometheus.Registerer
	metrics  *telemetry.Metrics
	defaults Defaults
	own      *upstream.Own

	clusters map[string]*cluster.Cluster // never changed: another map takes its place
	configs  []*cluster.Config           // of the snapshot in force, in its order
	kept     map[string]io.Closer
	limits   connectionLimits
	compiled map[compiledKey]*compiled
	servers  map[string]*tlscontext.Server
	secrets  tlscontext.Store

	inForce atomic.Pointer[map[string]*router.Table[*route]] // by origin
}

// Defaults are what the process says, for all listeners.
type Defaults struct {
	// MaxBodyBytes bounds a request's body where a listener does not say it; 0: 64 MiB.
	MaxBodyBytes int64
	// Tracer, where not nil, is where spans go whose listener does not say it.
	Tracer *tracing.Tracer
	// Version is the program's.
	Version string
	// StateDir and Trial are lent to filters: see [proxy.Env].
	StateDir string
	Trial    bool
}

// NewBuilder makes a Builder that holds nothing yet.
func NewBuilder(log *zap.Logger, registry prometheus.Registerer, defaults Defaults) *Builder {
	if defaults.MaxBodyBytes == 0 {
		defaults.MaxBodyBytes = 64 << 20
	}
	return &Builder{
		log:      log,
		registry: registry,
		metrics:  telemetry.New(registry),
		defaults: defaults,
		own:      upstream.NewOwn(),
		clusters: make(map[string]*cluster.Cluster),
		kept:     make(map[string]io.Closer),
	}
}

// Own knows the connections that the clusters have made.
func (b *Builder) Own() *upstream.Own { return b.own }

// Change is a snapshot that has been built and is not in force yet. Exactly one
// of Commit and Abort must be called before the next Build.
type Change struct {
	Snapshot *Snapshot

	b        *Builder
	clusters map[string]*cluster.Cluster
	retuned  []*cluster.Config // of clusters that stay
	kept     map[string]io.Closer
	compiled map[compiledKey]*compiled
	servers  map[string]*tlscontext.Server
}

// Build validates the whole of r and compiles it. Nothing that runs is touched
// until Commit. The error names every fault, each on a line of its own.
func (b *Builder) Build(r *Resources) (*Change, error) {
	c := &Change{
		b:        b,
		kept:     make(map[string]io.Closer),
		compiled: make(map[compiledKey]*compiled),
		servers:  make(map[string]*tlscontext.Server),
	}
	errs := c.addClusters(r.Clusters)
	c.Snapshot = &Snapshot{Resources: r, Listeners: make(map[string]*ActiveListener, len(r.Listeners)), Clusters: c.clusters}
	addresses := make(map[string]string, len(r.Listeners))
	for _, l := range r.Listeners {
		for _, address := range append([]string{l.Address}, l.More...) {
			if other, taken := addresses[address]; taken {
				errs = append(errs, fmt.Errorf("listener %q: address %s: listener %q has it already", l.Name, address, other))
				continue
			}
			addresses[address] = l.Name
		}
		errs = append(errs, c.addListener(l))
	}
	if err := errors.Join(errs...); err != nil {
		c.Abort()
		return nil, err
	}
	return c, nil
}

// addClusters finds or makes the cluster of each. Most pushes change a few of many
// and add none: then the snapshot has the map of the one before.
func (c *Change) addClusters(all []*cluster.Config) (errs []error) {
	if sameNames(all, c.b.configs) {
		c.clusters = c.b.clusters
		for i, cfg := range all {
			if cfg != c.b.configs[i] {
				errs = append(errs, c.check(cfg))
				c.retuned = append(c.retuned, cfg)
			}
		}
		return errs
	}
	c.clusters = make(map[string]*cluster.Cluster, len(all))
	before := make(map[string]*cluster.Config, len(c.b.configs))
	for _, cfg := range c.b.configs {
		before[cfg.Name] = cfg
	}
	for _, cfg := range all {
		errs = append(errs, c.addCluster(cfg, before[cfg.Name]))
	}
	return errs
}

// sameNames says that two lists have the same names in the same order.
func sameNames(a, b []*cluster.Config) bool {
	return slices.EqualFunc(a, b, func(x, y *cluster.Config) bool { return x == y || x.Name == y.Name })
}

func (c *Change) addCluster(cfg, before *cluster.Config) error {
	if _, ok := c.clusters[cfg.Name]; ok {
		return fmt.Errorf("cluster %q: defined twice", cfg.Name)
	}
	if cfg != before {
		if err := c.check(cfg); err != nil {
			return err
		}
	}
	living, ok := c.b.clusters[cfg.Name]
	switch {
	case !ok:
		living = cluster.New(cfg, c.b.dial, c.b.log, c.b.metrics)
	case cfg != before:
		c.retuned = append(c.retuned, cfg)
	}
	c.clusters[cfg.Name] = living
	return nil
}

// check looks at what a cluster's TLS names.
func (c *Change) check(cfg *cluster.Config) error {
	for _, u := range contexts(cfg) {
		if err := u.Check(&c.b.secrets); err != nil {
			return fmt.Errorf("cluster %q: TLS: %w", cfg.Name, err)
		}
	}
	return nil
}

func (b *Builder) dial(cfg *cluster.Config, endpoint *cluster.EndpointConfig) cluster.EndpointHandler {
	u := upstream.Config{
		Cluster:        cfg.Name,
		ConnectTimeout: cfg.ConnectTimeout,
		IdleTimeout:    cfg.IdleTimeout,
		MaxRequests:    cfg.MaxRequestsPerConnection,
		MaxDuration:    cfg.MaxConnectionDuration,
		Preconnect:     cfg.Preconnect,
		Keepalive:      http2.Keepalive{Interval: cfg.KeepaliveInterval, Timeout: cfg.KeepaliveTimeout},
		Source:         cfg.Source,
		Own:            b.own,
		Limits:         b.limits.of(cfg),
		AutoSNI:        cfg.AutoSNI,
		AutoSAN:        cfg.AutoSAN,
	}
	if context := cfg.SocketOf(endpoint); context != nil {
		u.TLS = tlscontext.NewClient(context, endpoint.Hostname, &b.secrets)
	}
	return upstream.NewPair(endpoint.Address, cfg.Protocol, u, b.metrics)
}

// contexts are those of all of a cluster's endpoints.
func contexts(cfg *cluster.Config) (out []*tlscontext.Upstream) {
	if cfg.TLS != nil {
		out = append(out, cfg.TLS)
	}
	for i := range cfg.Sockets {
		if u := cfg.Sockets[i].TLS; u != nil {
			out = append(out, u)
		}
	}
	return out
}

func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return errors.New("not host:port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("port %q: must be 0 to 65535", port)
	}
	return nil
}

// keep is what filters see as Env.Keep.
func (c *Change) keep(name string, build func() (io.Closer, error)) (io.Closer, error) {
	if k, ok := c.kept[name]; ok {
		return k, nil
	}
	k, ok := c.b.kept[name]
	if !ok {
		var err error
		if k, err = build(); err != nil {
			return nil, err
		}
	}
	c.kept[name] = k
	return k, nil
}

// Commit puts the change in force: clusters that stay are re-tuned in place, and
// what the snapshot does not name any more is let go of.
func (c *Change) Commit() {
	for _, cfg := range c.retuned {
		c.clusters[cfg.Name].Update(cfg)
		c.b.limits.of(cfg)
	}
	c.b.secrets.Set(c.Snapshot.Resources.Secrets)
	if !sameNames(c.b.configs, c.Snapshot.Resources.Clusters) {
		closeGone(c.b.log, c.b.clusters, c.clusters)
		c.b.limits.keep(c.clusters)
	}
	c.commitCompiled()
	for _, k := range c.kept {
		if told, ok := k.(interface{ InForce() }); ok {
			told.InForce()
		}
	}
	closeGone(c.b.log, c.b.kept, c.kept)
	c.b.clusters, c.b.configs, c.b.kept, c.b.servers = c.clusters, c.Snapshot.Resources.Clusters, c.kept, c.servers
}

// Abort lets go of what was made for the change.
func (c *Change) Abort() {
	closeGone(c.b.log, c.clusters, c.b.clusters)
	closeGone(c.b.log, c.kept, c.b.kept)
}

// closeGone closes what is in old under a name that now does not have.
func closeGone[C io.Closer](log *zap.Logger, old, now map[string]C) {
	for name, c := range old {
		if _, stays := now[name]; stays {
			continue
		}
		if err := c.Close(); err != nil {
			log.Warn("close failed", zap.String(telemetry.FieldResource, name), zap.Error(err))
		}
	}
}

// Purge has whatever is kept drop its answers of a model, of all where it is empty, and
// says how many that were.
func (b *Builder) Purge(model string) int {
	n := 0
	for _, k := range b.kept {
		if p, ok := k.(interface{ Purge(model string) int }); ok {
			n += p.Purge(model)
		}
	}
	return n
}

// Models are what is known of models, by whatever is kept, in order.
func (b *Builder) Models() []proxy.ModelStatus {
	var all []proxy.ModelStatus
	for _, k := range b.kept {
		if m, ok := k.(interface{ Models() []proxy.ModelStatus }); ok {
			all = append(all, m.Models()...)
		}
	}
	slices.SortFunc(all, func(a, b proxy.ModelStatus) int {
		return cmp.Or(strings.Compare(a.Cluster, b.Cluster), strings.Compare(a.Model, b.Model), strings.Compare(a.Version, b.Version))
	})
	return all
}

// Close lets go of everything.
func (b *Builder) Close() {
	closeGone(b.log, b.clusters, nil)
	closeGone(b.log, b.kept, nil)
	b.clusters, b.configs = map[string]*cluster.Cluster{}, nil
	clear(b.kept)
}

// Living are the clusters in force, by name.
func (b *Builder) Living() map[string]*cluster.Cluster { return maps.Clone(b.clusters) }

package proxy

import (
	"fmt"
	"io"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/anypb"
)

// FilterConfig is a filter's own parsed configuration. It is immutable.
type FilterConfig any

// Kept is env.Keep for what is a T: an error where something else is kept under that name.
func Kept[T io.Closer](env Env, name string, build func() (T, error)) (T, error) {
	kept, err := env.Keep(name, func() (io.Closer, error) { return build() })
	if err != nil {
		var none T
		return none, err
	}
	t, ok := kept.(T)
	if !ok {
		return t, fmt.Errorf("a %T is kept as %s", kept, name)
	}
	return t, nil
}

// A Builder makes filters of configurations that have been parsed.
type Builder interface {
	// Build makes the Filter of one route's effective configuration. It may take
	// what must outlive a snapshot from env.Keep. It must not block.
	Build(config FilterConfig, env Env) (Filter, error)
}

// A Combiner is a Builder whose filter heeds several configurations at once, and not only
// the most specific: the chain's own first (nil where it has none), then from the least
// specific override to the most. The result is a configuration for Build.
type Combiner interface {
	Combine(configs []FilterConfig) FilterConfig
}

// A Factory declares a kind of filter by the type URL of its configuration.
type Factory interface {
	Builder
	// TypeURL is the configuration's, with the prefix type.googleapis.com/.
	TypeURL() string
	// Parse is pure. Its error becomes the text of the NACK, so it names the
	// field's path and the value.
	Parse(config *anypb.Any) (FilterConfig, error)
}

// A ClusterBuilder is a Builder whose filters are made for one cluster each: that to which
// the route leads. Where it does not lead to one that is known beforehand, Build is called.
type ClusterBuilder interface {
	Builder
	BuildFor(cluster string, config FilterConfig, env Env) (Filter, error)
}

// Env is what the house lends to a filter.
type Env struct {
	Log     *zap.Logger
	Metrics prometheus.Registerer
	// StateDir is a folder for what is to outlive the process; empty: there is none.
	StateDir string
	// Trial says that the filter is built only to see whether it can be: nothing is to be
	// read, written or called for it.
	Trial bool
	// Picker finds a cluster of the snapshot that is being built.
	Picker func(cluster string) (Picker, bool)
	// Keep returns what is kept under name, making it where there is none. What
	// is kept outlives snapshots for as long as every new one asks for it again;
	// then it is closed. A request that began under an old snapshot may still use
	// it after Close, so Close lets go of what is idle and what is in use ends by
	// itself. One that has a method InForce() is told when a snapshot that asks for it
	// has been put in force, before what no longer is asked for is closed.
	Keep func(name string, build func() (io.Closer, error)) (io.Closer, error)
	// Origin names the listener's filter chain that the filter is built for. It stays the
	// same over snapshots and restarts.
	Origin string
	// Rest, called while a filter is built, returns what answers requests that no caller
	// has sent, as if they had come to Origin and passed the filter already: each runs
	// what stands behind the filter in the chain of its own route, in the snapshot then in
	// force. 404 says that there is no such route, or that its chain is without the
	// filter.
	Rest func() Handler
}

package client

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/xds/resource"
)

// item is one resource that was accepted. It is immutable. Two items hold the
// same resource where parsed is the same pointer, whatever their versions.
type item struct {
	raw     *anypb.Any
	version string
	updated time.Time
	parsed  any
}

func (i *item) cluster() *resource.Cluster     { return parsed[*resource.Cluster](i) }
func (i *item) endpoints() *resource.Endpoints { return parsed[*resource.Endpoints](i) }
func (i *item) listener() *resource.Listener   { return parsed[*resource.Listener](i) }
func (i *item) table() *resource.RouteTable    { return parsed[*resource.RouteTable](i) }

func parsed[T any](i *item) T {
	if i == nil {
		var none T
		return none
	}
	return i.parsed.(T) //nolint:forcetypeassert // the parser of its kind made it
}

// failure is a resource that was refused.
type failure struct {
	raw     *anypb.Any
	version string
	at      time.Time
	words   string
}

// collection is what is known of one kind.
type collection struct {
	// version is that of the last response that was accepted whole.
	version string
	// answered says that a response came on this stream.
	answered bool
	// items are the accepted resources by name.
	items map[string]*item
	// waiting are good resources that name clusters which are not known yet
	// though they must be (validate_clusters). They become items when they are.
	waiting map[string]*item
	// failures are the refused ones, until a good one of their name comes.
	failures map[string]failure
}

// living is a cluster in force.
type living struct {
	*item
	// endpoints is nil for a STATIC one, and where it went on without; source is the
	// resource that they came in.
	endpoints *resource.Endpoints
	source    *item
	config    *cluster.Config
	// leaveBy is when it goes at the latest; zero while it is an item.
	leaveBy time.Time
}

// state is what was received and what follows from it. Only a state that is not
// shared yet is changed; see clone.
type state struct {
	// Set once.
	parser *resource.Parser
	static *config.Resources

	known [kinds]collection

	// In force, by name.
	clusters  map[string]*living
	tables    map[string]*item
	listeners map[string]*item

	// up says that a stream is open. While it is, asked has when each of the
	// endpoints that are missing were asked for, and openBy is when the first
	// configuration is taken as it is.
	up     bool
	asked  map[string]time.Time
	openBy time.Time
	// without are the names of endpoints that did not come in time.
	without map[string]bool
	// complete says that the first configuration is whole; before it only the
	// static one is in force.
	complete bool
	// settled is when settle was last called.
	settled time.Time
}

func newState(parser *resource.Parser, static *config.Resources) *state {
	if static == nil {
		static = &config.Resources{}
	}
	s := &state{
		parser: parser, static: static,
		clusters: map[string]*living{}, tables: map[string]*item{}, listeners: map[string]*item{},
		asked: map[string]time.Time{}, without: map[string]bool{},
	}
	for k := range s.known {
		s.known[k] = collection{items: map[string]*item{}, waiting: map[string]*item{}, failures: map[string]failure{}}
	}
	return s
}

// clone copies s but not what it holds, which is immutable.
func (s *state) clone() *state {
	c := *s
	for k := range c.known {
		col := &c.known[k]
		col.items, col.waiting, col.failures = maps.Clone(col.items), maps.Clone(col.waiting), maps.Clone(col.failures)
	}
	c.clusters, c.tables, c.listeners = maps.Clone(c.clusters), maps.Clone(c.tables), maps.Clone(c.listeners)
	c.asked, c.without = maps.Clone(c.asked), maps.Clone(c.without)
	return &c
}

// fetchTimeout is how long the first configuration may take once a stream is
// open, and a removed cluster stay.
const fetchTimeout = resource.FetchTimeout

// connected says that a stream has been opened.
func (s *state) connected(now time.Time) {
	s.up = true
	s.openBy = now.Add(fetchTimeout)
	for k := range s.known {
		s.known[k].answered = false
	}
}

// disconnected stops all waiting: it begins anew with the next stream.
func (s *state) disconnected() {
	s.up = false
	s.openBy = time.Time{}
	clear(s.asked)
	for name, c := range s.clusters {
		if !c.leaveBy.IsZero() {
			stays := *c
			stays.leaveBy = time.Time{}
			s.clusters[name] = &stays
		}
	}
}

// names are what k is to be subscribed to, sorted; nil for what is asked for
// whole.
func (s *state) names(k kind) []string {
	set := map[string]bool{}
	switch k { //nolint:exhaustive // the others are asked for whole
	case eds:
		for _, i := range s.known[cds].items {
			if name := i.cluster().EDS; name != "" {
				set[name] = true
			}
		}
	case rds:
		for _, of := range []map[string]*item{s.known[lds].items, s.known[lds].waiting} {
			for _, i := range of {
				for h := range i.listener().HTTPs() {
					if h.RouteName != "" {
						set[h.RouteName] = true
					}
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// resources is what is in force, in the order of the names.
func (s *state) resources() *config.Resources {
	r := &config.Resources{
		Listeners: slices.Clone(s.static.Listeners),
		Clusters:  slices.Clone(s.static.Clusters),
		Routes:    maps.Clone(s.static.Routes),
	}
	if r.Routes == nil {
		r.Routes = map[string]*config.RouteTable{}
	}
	if !s.complete {
		return r
	}
	for _, name := range slices.Sorted(maps.Keys(s.clusters)) {
		r.Clusters = append(r.Clusters, s.clusters[name].config)
	}
	for _, name := range slices.Sorted(maps.Keys(s.listeners)) {
		l := s.listeners[name].listener()
		r.Listeners = append(r.Listeners, l.Listener)
		for h := range l.HTTPs() {
			if h.RouteName != "" {
				r.Routes[h.RouteName] = s.tables[h.RouteName].table().RouteTable
			}
		}
	}
	return r
}

// same says that nothing differs between two configurations: what is equal is
// the same pointer.
func same(a, b *config.Resources) bool {
	return slices.Equal(a.Listeners, b.Listeners) && slices.Equal(a.Clusters, b.Clusters) && maps.Equal(a.Routes, b.Routes)
}

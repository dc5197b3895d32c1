package client

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/tlscontext"
	"github.com/fridaymesh/friday/xds/resource"
)

// item is one resource that was accepted. It is immutable. Two items hold the
// same resource where parsed is the same pointer, whatever their versions.
type item struct {
	raw     *anypb.Any
	version string
	// from is the control plane that it came from, whose version it is; empty: the
	// state file.
	from    string
	updated time.Time
	// ttl is how long it may be kept without being heard of, until expires; 0: for
	// ever.
	ttl     time.Duration
	expires time.Time
	parsed  any
}

func (i *item) cluster() *resource.Cluster     { return parsed[*resource.Cluster](i) }
func (i *item) endpoints() *resource.Endpoints { return parsed[*resource.Endpoints](i) }
func (i *item) listener() *resource.Listener   { return parsed[*resource.Listener](i) }
func (i *item) table() *resource.RouteTable    { return parsed[*resource.RouteTable](i) }
func (i *item) secret() *resource.Secret       { return parsed[*resource.Secret](i) }
func (i *item) extension() *resource.Extension { return parsed[*resource.Extension](i) }

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

// collection is what is known of one kind from one source.
type collection struct {
	// version is that of the last response that was accepted whole, and from who
	// sent it.
	version, from string
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

func newCollection() collection {
	return collection{items: map[string]*item{}, waiting: map[string]*item{}, failures: map[string]failure{}}
}

func (c *collection) clone() collection {
	out := *c
	out.items, out.waiting, out.failures = maps.Clone(c.items), maps.Clone(c.waiting), maps.Clone(c.failures)
	return out
}

// key is one resource that is asked for by name. source is empty for the control
// plane, else the server of secrets.
type key struct {
	kind         kind
	source, name string
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

// serving is a listener in force.
type serving struct {
	*item
	// config is the listener with what it is made up of filled in: parts.
	config *config.Listener
	parts  []any
}

// state is what was received and what follows from it. Only a state that is not
// shared yet is changed; see clone.
type state struct {
	// Set once.
	parser *resource.Parser
	static *config.Resources
	needs  []resource.Need // of static
	// reachable are the servers of secrets that the bootstrap names.
	reachable map[string]bool

	// known is what came from the control plane, servers what came from servers of
	// secrets, by source.
	known   [kinds]collection
	servers map[string]*collection
	// wanted is what is asked for by name, and how long each may take; lists are
	// its names. Both are replaced and never changed, by want.
	wanted map[key]time.Duration
	lists  map[part][]string
	// stale says that wanted does not fit known any more.
	stale bool

	// In force, by name.
	clusters  map[string]*living
	tables    map[string]*item
	listeners map[string]*serving
	secrets   map[tlscontext.Ref]*item
	// order are the names of clusters, sorted, as resources last needed them.
	order []string

	// up has the sources to which a stream is open. While it is, asked has when
	// each of the resources that are missing were asked for, and openBy is when
	// the first configuration is taken as it is.
	up     map[string]bool
	asked  map[key]time.Time
	openBy time.Time
	// without are those that did not come in time, or that are not there.
	without map[key]bool
	// expiry is when the first of what has a ttl expires.
	expiry time.Time
	// complete says that the first configuration is whole; before it only the
	// static one is in force.
	complete bool
	// settled is when settle was last called.
	settled time.Time
}

// part is one kind of one source.
type part struct {
	kind   kind
	source string
}

func newState(parser *resource.Parser, static *config.Resources) *state {
	if static == nil {
		static = &config.Resources{}
	}
	s := &state{
		parser: parser, static: static, servers: map[string]*collection{},
		clusters: map[string]*living{}, tables: map[string]*item{}, listeners: map[string]*serving{}, secrets: map[tlscontext.Ref]*item{},
		up: map[string]bool{}, asked: map[key]time.Time{}, without: map[key]bool{},
	}
	for k := range s.known {
		s.known[k] = newCollection()
	}
	return s
}

// clone copies s but not what it holds, which is immutable.
func (s *state) clone() *state {
	c := *s
	for k := range c.known {
		c.known[k] = s.known[k].clone()
	}
	c.servers = make(map[string]*collection, len(s.servers))
	for source, col := range s.servers {
		own := col.clone()
		c.servers[source] = &own
	}
	c.clusters, c.tables, c.listeners = maps.Clone(c.clusters), maps.Clone(c.tables), maps.Clone(c.listeners)
	c.secrets = maps.Clone(c.secrets)
	c.up, c.asked, c.without = maps.Clone(c.up), maps.Clone(c.asked), maps.Clone(c.without)
	return &c
}

// collection is where resources of k from source are; source is not empty for
// secrets only. It is made where it is not there.
func (s *state) collection(k kind, source string) *collection {
	if source == "" {
		return &s.known[k]
	}
	if s.servers[source] == nil {
		col := newCollection()
		s.servers[source] = &col
	}
	return s.servers[source]
}

// look is collection of a state that is shared: nil where it is not there.
func (s *state) look(k kind, source string) *collection {
	if source == "" {
		return &s.known[k]
	}
	return s.servers[source]
}

// held is a resource that is asked for by name; nil where it is not there.
func (s *state) held(k key) *item {
	if col := s.look(k.kind, k.source); col != nil {
		return col.items[k.name]
	}
	return nil
}

// fetchTimeout is how long the first configuration may take once a stream is
// open, and a removed cluster stay.
const fetchTimeout = resource.FetchTimeout

// connected says that a stream to source has been opened.
func (s *state) connected(source string, now time.Time) {
	s.up[source] = true
	if source != "" {
		s.collection(sds, source).answered = false
		return
	}
	s.openBy = now.Add(fetchTimeout)
	for k := range s.known {
		s.known[k].answered = false
	}
}

// disconnected stops all waiting for source: it begins anew with the next stream.
func (s *state) disconnected(source string) {
	delete(s.up, source)
	maps.DeleteFunc(s.asked, func(k key, _ time.Time) bool { return k.source == source })
	if source != "" {
		return
	}
	s.openBy = time.Time{}
	for name, c := range s.clusters {
		if !c.leaveBy.IsZero() {
			stays := *c
			stays.leaveBy = time.Time{}
			s.clusters[name] = &stays
		}
	}
}

// resources is what is in force, in the order of the names.
func (s *state) resources() *config.Resources {
	r := &config.Resources{
		Listeners: slices.Clone(s.static.Listeners),
		Clusters:  slices.Clone(s.static.Clusters),
		Routes:    maps.Clone(s.static.Routes),
		Secrets:   maps.Clone(s.static.Secrets),
	}
	if r.Routes == nil {
		r.Routes = map[string]*config.RouteTable{}
	}
	if !s.complete {
		return r
	}
	if r.Secrets == nil && len(s.secrets) > 0 {
		r.Secrets = make(map[tlscontext.Ref]*tlscontext.Secret, len(s.secrets))
	}
	for ref, i := range s.secrets {
		r.Secrets[ref] = i.secret().Secret
	}
	r.Clusters = slices.Grow(r.Clusters, len(s.clusters))
	for _, name := range s.ordered() {
		r.Clusters = append(r.Clusters, s.clusters[name].config)
	}
	for _, name := range slices.Sorted(maps.Keys(s.listeners)) {
		l := s.listeners[name]
		r.Listeners = append(r.Listeners, l.config)
		for _, table := range l.listener().Tables {
			r.Routes[table] = s.tables[table].table().RouteTable
		}
	}
	return r
}

// ordered are the names of the clusters in force, sorted. Most changes leave them as
// they are, and sorting thousands is a good part of what a push costs.
func (s *state) ordered() []string {
	here := func(name string) bool { return s.clusters[name] != nil }
	if len(s.order) != len(s.clusters) || slices.ContainsFunc(s.order, func(name string) bool { return !here(name) }) {
		s.order = slices.Sorted(maps.Keys(s.clusters))
	}
	return s.order
}

// same says that nothing differs between two configurations: what is equal is
// the same pointer.
func same(a, b *config.Resources) bool {
	return slices.Equal(a.Listeners, b.Listeners) && slices.Equal(a.Clusters, b.Clusters) && maps.Equal(a.Routes, b.Routes) && maps.Equal(a.Secrets, b.Secrets)
}

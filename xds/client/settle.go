package client

import (
	"maps"
	"slices"
	"time"

	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/xds/resource"
)

// settle works out what is in force, after anything has changed or time has
// passed. It goes from what is depended on to what depends: clusters, routes,
// listeners; and removes in the other direction.
func (s *state) settle(now time.Time) {
	s.expire(now)
	s.admit(rds)
	s.admit(lds)
	s.want()
	s.ask(now)
	s.settleSecrets()
	s.settleClusters()
	s.settleTables()
	s.settleListeners()
	s.dropTables()
	s.dropClusters(now)
	s.dropSecrets()
	s.complete = s.complete || s.whole(now)
	s.settled = now
}

// admit makes items of those waiting whose clusters are known by now.
func (s *state) admit(k kind) {
	col := &s.known[k]
	for name, i := range col.waiting {
		if s.unknownClusters(k, name, i) == nil {
			col.items[name] = i
			delete(col.waiting, name)
			delete(col.failures, name)
			s.stale = s.stale || k.whole()
		}
	}
}

// settleClusters puts clusters in force whose endpoints and secrets are there.
func (s *state) settleClusters() {
	for name, i := range s.known[cds].items {
		old, c := s.clusters[name], i.cluster()
		var source *item
		if c.EDS != "" {
			source = s.known[eds].items[c.EDS]
		}
		endpoints := source.endpoints()
		switch {
		case old != nil && old.cluster() == c && old.endpoints == endpoints && old.config != nil:
			if old.item != i || !old.leaveBy.IsZero() {
				s.clusters[name] = &living{item: i, endpoints: endpoints, source: source, config: old.config}
			}
		case s.missing(c.Secrets), c.EDS != "" && endpoints == nil && !s.without[key{eds, "", c.EDS}]:
			// Warming: the older one, if any, goes on.
			if old != nil && !old.leaveBy.IsZero() {
				s.clusters[name] = &living{item: old.item, endpoints: old.endpoints, source: old.source, config: old.config}
			}
		case c.EDS == "":
			s.clusters[name] = &living{item: i, config: c.Config}
		default:
			cfg := *c.Config
			if endpoints != nil {
				endpoints.Apply(&cfg)
			}
			s.clusters[name] = &living{item: i, endpoints: endpoints, source: source, config: &cfg}
		}
	}
}

// warm says that none of the clusters waits for its first endpoints.
func (s *state) warm(clusters []string) bool {
	for _, name := range clusters {
		if s.known[cds].items[name] != nil && s.clusters[name] == nil {
			return false
		}
	}
	return true
}

// settleTables puts tables in force whose clusters are. One that has not come in
// time is empty: its listener opens and answers 404, as in Envoy.
func (s *state) settleTables() {
	for name, i := range s.known[rds].items {
		if s.warm(i.table().Clusters) {
			s.tables[name] = i
		}
	}
	for k := range s.without {
		if k.kind == rds && s.tables[k.name] == nil {
			s.tables[k.name] = &item{parsed: &resource.RouteTable{RouteTable: &config.RouteTable{Name: k.name}}}
		}
	}
}

func (s *state) settleListeners() {
	for name, i := range s.known[lds].items {
		l := i.listener()
		missing := func(table string) bool { return s.tables[table] == nil }
		if slices.ContainsFunc(l.Tables, missing) || !s.warm(l.Clusters) || s.missing(l.Secrets) {
			continue
		}
		filled, ok := s.fill(s.listeners[name], i)
		switch {
		case ok:
			s.listeners[name] = filled
		case s.listeners[name] == nil: // warming
		}
	}
	maps.DeleteFunc(s.listeners, func(name string, _ *serving) bool {
		return s.known[lds].items[name] == nil && s.known[lds].waiting[name] == nil
	})
}

// fill makes a listener of i and what it is made up of; ok is false while
// something is missing. What has not changed since old is the same pointer.
func (s *state) fill(old *serving, i *item) (filled *serving, ok bool) {
	l := i.listener()
	parts := make([]any, 0, len(l.Extensions))
	extensions := make([]*resource.Extension, 0, len(l.Extensions))
	for _, use := range l.Extensions {
		x, ok := s.extension(use)
		if !ok {
			return nil, false
		}
		extensions = append(extensions, x)
		parts = append(parts, x)
	}
	switch {
	case old != nil && old.item == i && slices.Equal(old.parts, parts):
		return old, true
	case old != nil && old.listener() == l && slices.Equal(old.parts, parts):
		return &serving{item: i, config: old.config, parts: parts}, true
	}
	return &serving{item: i, config: l.With(extensions), parts: parts}, true
}

// extension is what a filter that comes by ECDS is now: what came, else its
// default where it need not wait, or has for long enough; nil is none at all.
func (s *state) extension(use *resource.ExtensionUse) (*resource.Extension, bool) {
	k := key{ecds, "", use.Name}
	_, refused := s.known[ecds].failures[use.Name]
	i := s.held(k)
	switch {
	case i != nil && use.Takes(i.extension()) == nil:
		return i.extension(), true
	case use.WithoutWarming, refused, i != nil, s.without[k]:
		return use.Default, true
	}
	return nil, false
}

// dropTables lets go of tables that no listener names, in force or on its way.
func (s *state) dropTables() {
	used := map[string]bool{}
	for _, l := range s.listeners {
		for _, table := range l.listener().Tables {
			used[table] = true
		}
	}
	for _, i := range s.known[lds].items {
		for _, table := range i.listener().Tables {
			used[table] = true
		}
	}
	maps.DeleteFunc(s.tables, func(name string, _ *item) bool { return !used[name] })
}

// dropClusters lets go of clusters that were removed and that no route in force
// names, or that have stayed long enough. While newer routes are held back for
// their clusters to warm, the older ones keep theirs.
func (s *state) dropClusters(now time.Time) {
	removed := false
	for name := range s.clusters {
		removed = removed || s.known[cds].items[name] == nil
	}
	if !removed {
		return
	}
	used := map[string]bool{}
	use := func(clusters []string) {
		for _, name := range clusters {
			used[name] = true
		}
	}
	held := false
	for name, l := range s.listeners {
		held = held || s.known[lds].items[name] != l.item
		use(l.listener().Clusters)
		for _, table := range l.listener().Tables {
			use(s.tables[table].table().Clusters)
			held = held || s.known[rds].items[table] != nil && s.known[rds].items[table] != s.tables[table]
		}
	}
	up := s.up[""]
	for name, c := range s.clusters {
		switch {
		case s.known[cds].items[name] != nil:
		case !used[name], up && !held && !c.leaveBy.IsZero() && !now.Before(c.leaveBy):
			delete(s.clusters, name)
		case up && c.leaveBy.IsZero():
			leaves := *c
			leaves.leaveBy = now.Add(fetchTimeout)
			s.clusters[name] = &leaves
		}
	}
}

// whole says whether what is in force can be the first configuration: all that
// was announced is there, or has been waited for long enough.
func (s *state) whole(now time.Time) bool {
	if !s.known[lds].answered {
		return false
	}
	if s.up[""] && !s.openBy.IsZero() && !now.Before(s.openBy) {
		return true
	}
	if !s.known[cds].answered {
		return false
	}
	for name := range s.known[cds].items {
		if s.clusters[name] == nil {
			return false
		}
	}
	for name := range s.known[lds].items {
		if s.listeners[name] == nil {
			return false
		}
	}
	return true
}

// deadline is when settle has to be called next without anything having
// happened; ok is false where it has not. What settle could not act on in time
// is left for when something happens.
func (s *state) deadline() (at time.Time, ok bool) {
	add := func(t time.Time) {
		if t.After(s.settled) && (!ok || t.Before(at)) {
			at, ok = t, true
		}
	}
	if !s.complete {
		add(s.openBy)
	}
	for k, since := range s.asked {
		add(since.Add(s.wanted[k]))
	}
	for _, c := range s.clusters {
		add(c.leaveBy)
	}
	add(s.expiry)
	return at, ok
}

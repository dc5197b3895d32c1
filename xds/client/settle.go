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
	s.admit(rds)
	s.admit(lds)
	s.prune()
	s.ask(now)
	s.settleClusters()
	s.settleTables()
	s.settleListeners()
	s.dropTables()
	s.dropClusters(now)
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
		}
	}
}

// prune forgets what nobody asks for any more. What is in force stays until it
// has been replaced.
func (s *state) prune() {
	for _, k := range []kind{eds, rds} {
		names := s.names(k)
		asked := func(name string) bool {
			_, ok := slices.BinarySearch(names, name)
			return ok
		}
		col := &s.known[k]
		maps.DeleteFunc(col.items, func(name string, _ *item) bool { return !asked(name) })
		maps.DeleteFunc(col.waiting, func(name string, _ *item) bool { return !asked(name) })
		maps.DeleteFunc(col.failures, func(name string, _ failure) bool { return !asked(name) })
		if k == eds {
			maps.DeleteFunc(s.asked, func(name string, _ time.Time) bool { return !asked(name) })
			maps.DeleteFunc(s.without, func(name string, _ bool) bool { return !asked(name) })
		}
	}
}

// patience is how long each of the endpoints that are asked for may take. Of
// clusters that share endpoints the most patient counts.
func (s *state) patience() map[string]time.Duration {
	p := map[string]time.Duration{}
	for _, i := range s.known[cds].items {
		c := i.cluster()
		switch {
		case c.EDS == "":
		case c.FetchTimeout == 0:
			p[c.EDS] = resource.Unlimited
		default:
			p[c.EDS] = max(p[c.EDS], c.FetchTimeout)
		}
	}
	return p
}

// ask notes since when endpoints are missing, and gives up on those that have
// been for too long.
func (s *state) ask(now time.Time) {
	for name, p := range s.patience() {
		switch since, asked := s.asked[name]; {
		case s.known[eds].items[name] != nil:
			delete(s.asked, name)
			delete(s.without, name)
		case !s.up || s.without[name]:
		case !asked:
			s.asked[name] = now
		case now.Sub(since) >= p:
			delete(s.asked, name)
			s.without[name] = true
		}
	}
}

// settleClusters puts clusters in force whose endpoints are there.
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
		case c.EDS == "":
			s.clusters[name] = &living{item: i, config: c.Config}
		case endpoints == nil && !s.without[c.EDS]:
			// Warming: the older one, if any, goes on.
			if old != nil && !old.leaveBy.IsZero() {
				s.clusters[name] = &living{item: old.item, endpoints: old.endpoints, source: old.source, config: old.config}
			}
		default:
			cfg := *c.Config
			if endpoints != nil {
				endpoints.Apply(&cfg)
			}
			s.clusters[name] = &living{item: i, endpoints: endpoints, source: source, config: &cfg}
		}
	}
}

// warm says that no route of t leads to a cluster that waits for its first
// endpoints.
func (s *state) warm(t *config.RouteTable) bool {
	for name := range resource.Clusters(t) {
		if s.cold(name) {
			return false
		}
	}
	return true
}

// cold says that a cluster waits for its first endpoints.
func (s *state) cold(name string) bool {
	return s.known[cds].items[name] != nil && s.clusters[name] == nil
}

func (s *state) settleTables() {
	for name, i := range s.known[rds].items {
		if s.warm(i.table().RouteTable) {
			s.tables[name] = i
		}
	}
}

func (s *state) settleListeners() {
	for name, i := range s.known[lds].items {
		if s.routed(i.listener().Listener) {
			s.listeners[name] = i
		}
	}
	maps.DeleteFunc(s.listeners, func(name string, _ *item) bool {
		return s.known[lds].items[name] == nil && s.known[lds].waiting[name] == nil
	})
}

// routed says that the routes of every chain are there.
func (s *state) routed(l *config.Listener) bool {
	for h := range l.HTTPs() {
		if h.RouteName != "" && s.tables[h.RouteName] == nil || h.Table != nil && !s.warm(h.Table) {
			return false
		}
	}
	for name := range l.TCPClusters() {
		if s.cold(name) {
			return false
		}
	}
	return true
}

// dropTables lets go of tables that no listener names, in force or on its way.
func (s *state) dropTables() {
	used := map[string]bool{}
	for _, of := range []map[string]*item{s.listeners, s.known[lds].items} {
		for _, i := range of {
			for h := range i.listener().HTTPs() {
				used[h.RouteName] = true
			}
		}
	}
	maps.DeleteFunc(s.tables, func(name string, _ *item) bool { return !used[name] })
}

// dropClusters lets go of clusters that were removed and that no route in force
// names, or that have stayed long enough. While newer routes are held back for
// their clusters to warm, the older ones keep theirs.
func (s *state) dropClusters(now time.Time) {
	used := map[string]bool{}
	held := false
	for name, i := range s.listeners {
		held = held || s.known[lds].items[name] != i
		for h := range i.listener().HTTPs() {
			t := h.Table
			if route := h.RouteName; route != "" {
				t = s.tables[route].table().RouteTable
				held = held || s.known[rds].items[route] != nil && s.known[rds].items[route] != s.tables[route]
			}
			for cluster := range resource.Clusters(t) {
				used[cluster] = true
			}
		}
		for cluster := range i.listener().TCPClusters() {
			used[cluster] = true
		}
	}
	for name, c := range s.clusters {
		switch {
		case s.known[cds].items[name] != nil:
		case !used[name], s.up && !held && !c.leaveBy.IsZero() && !now.Before(c.leaveBy):
			delete(s.clusters, name)
		case s.up && c.leaveBy.IsZero():
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
	if s.up && !s.openBy.IsZero() && !now.Before(s.openBy) {
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
	patience := s.patience()
	for name, since := range s.asked {
		add(since.Add(patience[name]))
	}
	for _, c := range s.clusters {
		add(c.leaveBy)
	}
	return at, ok
}

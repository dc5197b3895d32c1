package client

import (
	"maps"
	"slices"
	"time"

	"github.com/fridaymesh/friday/xds/resource"
)

// want works out what is asked for by name: the endpoints and secrets of
// clusters, the routes, extensions and secrets of listeners. Of several who ask
// for the same the most patient counts.
func (s *state) want() {
	if !s.stale && s.wanted != nil {
		return
	}
	wanted := make(map[key]time.Duration, len(s.wanted))
	add := func(k key, patience time.Duration) {
		if patience == 0 { // as xDS says "for ever"
			patience = resource.Unlimited
		}
		wanted[k] = max(wanted[k], patience)
	}
	secrets := func(needs []resource.Need) {
		for _, n := range needs {
			if !n.Source.Static {
				add(secretKey(n.Ref), n.FetchTimeout)
			}
		}
	}
	secrets(s.needs)
	for _, i := range s.known[cds].items {
		c := i.cluster()
		if c.EDS != "" {
			add(key{eds, "", c.EDS}, c.FetchTimeout)
		}
		secrets(c.Secrets)
	}
	for _, of := range []map[string]*item{s.known[lds].items, s.known[lds].waiting} {
		for _, i := range of {
			l := i.listener()
			for _, table := range l.Tables {
				add(key{rds, "", table}, l.RoutesTimeout)
			}
			for _, use := range l.Extensions {
				add(key{ecds, "", use.Name}, use.FetchTimeout)
			}
			secrets(l.Secrets)
		}
	}
	s.stale = false
	if s.wanted != nil && maps.Equal(wanted, s.wanted) {
		return
	}
	s.wanted = wanted
	lists := map[part][]string{}
	for k := range wanted {
		p := part{k.kind, k.source}
		lists[p] = append(lists[p], k.name)
	}
	for _, names := range lists {
		slices.Sort(names)
	}
	s.lists = lists
	s.prune()
}

// names are what k is to be subscribed to, sorted; nil for what is asked for
// whole.
func (s *state) names(k kind) []string { return s.lists[part{k, ""}] }

func (s *state) asksFor(k kind, source, name string) bool {
	_, ok := s.wanted[key{k, source, name}]
	return ok
}

// prune forgets what nobody asks for any more. What is in force stays until it
// has been replaced.
func (s *state) prune() {
	forget := func(k kind, source string, col *collection) {
		gone := func(name string) bool { return !s.asksFor(k, source, name) }
		maps.DeleteFunc(col.items, func(name string, _ *item) bool { return gone(name) })
		maps.DeleteFunc(col.waiting, func(name string, _ *item) bool { return gone(name) })
		maps.DeleteFunc(col.failures, func(name string, _ failure) bool { return gone(name) })
	}
	for k := range kinds {
		if !k.whole() {
			forget(k, "", &s.known[k])
		}
	}
	for source, col := range s.servers {
		if len(s.lists[part{sds, source}]) == 0 {
			delete(s.servers, source)
			continue
		}
		forget(sds, source, col)
	}
	gone := func(k key) bool { return !s.asksFor(k.kind, k.source, k.name) }
	maps.DeleteFunc(s.asked, func(k key, _ time.Time) bool { return gone(k) })
	maps.DeleteFunc(s.without, func(k key, _ bool) bool { return gone(k) })
}

// ask notes since when resources are missing, and gives up on those that have
// been for too long.
func (s *state) ask(now time.Time) {
	maps.DeleteFunc(s.asked, func(k key, _ time.Time) bool { return s.held(k) != nil })
	maps.DeleteFunc(s.without, func(k key, _ bool) bool { return s.held(k) != nil })
	for p, names := range s.lists {
		col := s.look(p.kind, p.source)
		for _, name := range names {
			if col != nil && col.items[name] != nil {
				continue // as nearly all are, at nearly every push
			}
			k := key{p.kind, p.source, name}
			switch since, asked := s.asked[k]; {
			case !s.up[k.source] || s.without[k]:
			case !asked:
				s.asked[k] = now
			case now.Sub(since) >= s.wanted[k]:
				delete(s.asked, k)
				s.without[k] = true
			}
		}
	}
	if len(s.asked) == 0 {
		s.asked = map[key]time.Time{} // one that was large is copied at its full size
	}
}

// expire takes away what has outlived its ttl, as if the control plane had
// removed it. Endpoints, routes and secrets stay while they serve, as in Envoy.
func (s *state) expire(now time.Time) {
	if s.expiry.IsZero() || now.IsZero() || now.Before(s.expiry) {
		return
	}
	for k := range kinds {
		for name, i := range s.known[k].items {
			if i.expires.IsZero() || now.Before(i.expires) {
				continue
			}
			if k.whole() || k == ecds {
				delete(s.known[k].items, name)
				s.stale = true
				continue
			}
			stays := *i
			stays.expires = time.Time{}
			s.known[k].items[name] = &stays
		}
	}
	s.nextExpiry()
}

// nextExpiry finds the first of what will expire.
func (s *state) nextExpiry() {
	s.expiry = time.Time{}
	for k := range kinds {
		for _, i := range s.known[k].items {
			if !i.expires.IsZero() && (s.expiry.IsZero() || i.expires.Before(s.expiry)) {
				s.expiry = i.expires
			}
		}
	}
}

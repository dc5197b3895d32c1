package client

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/xds/resource"
)

// errTwice says that a name stands twice in one response.
var errTwice = errors.New("stands twice in the response")

// accept takes what is good of an update. Its error is the NACK's text: a line
// for each field that is wrong. Call settle after it.
func (s *state) accept(source string, u *update, now time.Time) error {
	k, col := u.kind, s.collection(u.kind, source)
	col.answered = true
	named := make(map[string]int, len(u.resources)+len(u.removed))
	for _, r := range u.resources {
		named[r.name]++
	}
	for _, name := range u.removed {
		named[name]++
	}
	var errs []error
	nameless := false
	if u.full && k.whole() {
		clear(col.waiting)
		clear(col.failures)
	}
	for i, r := range u.resources {
		if r.name != "" && !k.whole() && !s.asksFor(k, source, r.name) {
			continue // istiod sends more than it was asked for
		}
		switch err := s.acceptOne(u, col, r, named[r.name] > 1, now); {
		case r.name == "" && err != nil:
			nameless = true
			errs = append(errs, fmt.Errorf("resources[%d]: %w", i, err))
		case err != nil:
			errs = append(errs, err)
		}
	}
	if u.full && k.whole() && !nameless {
		for name := range col.items {
			if named[name] == 0 {
				delete(col.items, name)
			}
		}
	}
	for _, name := range u.removed {
		if named[name] == 1 {
			s.remove(k, source, col, name)
		}
	}
	s.stale = s.stale || k.whole()
	if !s.expiry.IsZero() || slices.ContainsFunc(u.resources, func(r received) bool { return r.ttl > 0 }) {
		s.nextExpiry()
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	col.version, col.from = u.version, u.target
	return nil
}

// acceptOne takes one resource, or says what is wrong with it.
func (s *state) acceptOne(u *update, col *collection, r received, twice bool, now time.Time) error {
	k, old := u.kind, col.items[r.name]
	fresh := &item{raw: r.raw, version: r.version, from: u.target, updated: now, ttl: r.ttl}
	if r.ttl > 0 {
		fresh.expires = now.Add(r.ttl)
	}
	var err error
	switch {
	case r.err != nil:
		err = r.err
	case r.raw == nil && r.name == "":
		err = errors.New("empty")
	case r.raw == nil: // a heartbeat
		if old != nil {
			kept := *old
			kept.ttl, kept.expires = fresh.ttl, fresh.expires
			col.items[r.name] = &kept
		}
		return nil
	default:
		fresh.parsed, err = s.parse(k, old, r)
		if r.name == "" && err == nil {
			err = errors.New("name: missing")
		}
	}
	if r.name == "" {
		return err
	}
	delete(col.waiting, r.name)
	switch {
	case twice:
		err = fmt.Errorf("%s %q: %w", k.noun(), r.name, errTwice)
	case err == nil && s.taken(k, r.name):
		err = fmt.Errorf("%s %q: the bootstrap has one of this name", k.noun(), r.name)
	case err == nil:
		err = s.misfit(k, r.name, fresh)
	case r.err != nil:
		err = fmt.Errorf("%s %w", k.noun(), err)
	}
	if err == nil {
		if unknown := s.unknownClusters(k, r.name, fresh); unknown != nil {
			// It waits; whether it is also refused depends on whether the clusters
			// may still be on their way.
			col.waiting[r.name] = fresh
			if !s.known[cds].answered {
				return nil
			}
			err = unknown
		}
	}
	if err != nil {
		col.failures[r.name] = failure{raw: r.raw, version: r.version, at: now, words: err.Error()}
		return err
	}
	delete(col.failures, r.name)
	col.items[r.name] = fresh
	return nil
}

// remove takes a resource away that the control plane says is not there. What
// goes with who asked for it (endpoints, routes, secrets) stays while it serves,
// as in Envoy; where it was being waited for, waiting ends.
func (s *state) remove(k kind, source string, col *collection, name string) {
	delete(col.waiting, name)
	delete(col.failures, name)
	if k.whole() || k == ecds {
		delete(col.items, name)
	}
	if !k.whole() && col.items[name] == nil && s.asksFor(k, source, name) {
		s.without[key{k, source, name}] = true
		delete(s.asked, key{k, source, name})
	}
}

// parse parses a resource, or finds that it is what is there already. A bug of a
// parser refuses the resource, and ends nothing.
func (s *state) parse(k kind, old *item, r received) (parsed any, err error) {
	if old != nil && old.raw != nil && r.raw.GetTypeUrl() == old.raw.GetTypeUrl() && bytes.Equal(r.raw.GetValue(), old.raw.GetValue()) {
		return old.parsed, nil
	}
	defer func() {
		if bug := recover(); bug != nil {
			parsed, err = nil, fmt.Errorf("%s %q: a bug of the parser: %v\n%s", k.noun(), r.name, bug, debug.Stack())
		}
	}()
	_, parsed, err = s.parser.ParseAny(k.typeURL(), r.raw)
	return parsed, err
}

// taken says that the bootstrap has a resource of that name, which nothing
// replaces, as in Envoy.
func (s *state) taken(k kind, name string) bool {
	switch k { //nolint:exhaustive // the others are not in a bootstrap
	case cds:
		for _, c := range s.static.Clusters {
			if c.Name == name {
				return true
			}
		}
	case lds:
		for _, l := range s.static.Listeners {
			if l.Name == name {
				return true
			}
		}
	}
	return false
}

// misfit says why a good resource cannot be used where it would be.
func (s *state) misfit(k kind, name string, i *item) error {
	switch k {
	case cds:
		return s.strange(k, name, i.cluster().Secrets)
	case lds:
		return s.strange(k, name, i.listener().Secrets)
	case ecds:
	default:
		return nil
	}
	for _, of := range []map[string]*item{s.known[lds].items, s.known[lds].waiting} {
		for _, l := range of {
			for _, use := range l.listener().Extensions {
				if use.Name == name {
					if err := use.Takes(i.extension()); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// unknownClusters is the error of routes that may name known clusters only and
// do not.
func (s *state) unknownClusters(k kind, name string, i *item) error {
	var tables []*config.RouteTable
	switch k { //nolint:exhaustive // the others have no routes
	case lds:
		tables = i.listener().Validated
	case rds:
		if t := i.table(); t.ValidateClusters {
			tables = append(tables, t.RouteTable)
		}
	}
	errs := make([]error, 0, len(tables))
	for _, t := range tables {
		errs = append(errs, resource.UnknownClusters(k.noun(), name, t, func(cluster string) bool {
			return s.known[cds].items[cluster] != nil || s.taken(cds, cluster)
		}))
	}
	return errors.Join(errs...)
}

// refuse notes that the data plane did not take what follows from an update. It
// is called on the state from before the update.
func (s *state) refuse(source string, u *update, err error, now time.Time) {
	col := s.collection(u.kind, source)
	col.answered = true
	for _, r := range u.resources {
		if r.name == "" || r.raw == nil || !u.kind.whole() && !s.asksFor(u.kind, source, r.name) {
			continue
		}
		if old := col.items[r.name]; old != nil && equalRaw(old.raw, r.raw) {
			continue
		}
		col.failures[r.name] = failure{raw: r.raw, version: r.version, at: now, words: err.Error()}
	}
}

func equalRaw(a, b *anypb.Any) bool { return bytes.Equal(a.GetValue(), b.GetValue()) }

package client

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/xds/resource"
)

// errTwice says that a name stands twice in one response.
var errTwice = errors.New("stands twice in the response")

// accept takes what is good of a response. Its error is the NACK's text: a line
// for each field that is wrong. Call settle after it.
func (s *state) accept(k kind, resp *discoveryv3.DiscoveryResponse, now time.Time) error {
	col := &s.known[k]
	col.answered = true
	named := make(map[string]int, len(resp.GetResources()))
	for _, raw := range resp.GetResources() {
		named[resource.Name(raw)]++
	}
	var errs []error
	nameless := false
	if k.whole() {
		clear(col.waiting)
		clear(col.failures)
	}
	for i, raw := range resp.GetResources() {
		name, p, err := s.parse(k, raw)
		if name == "" {
			nameless = true
			errs = append(errs, fmt.Errorf("resources[%d]: %w", i, err))
			continue
		}
		delete(col.waiting, name)
		if err == nil && named[name] > 1 {
			err = fmt.Errorf("%s %q: %w", k.noun(), name, errTwice)
		}
		if err == nil && s.taken(k, name) {
			err = fmt.Errorf("%s %q: the bootstrap has one of this name", k.noun(), name)
		}
		fresh := &item{raw: raw, version: resp.GetVersionInfo(), updated: now, parsed: p}
		if err == nil {
			if unknown := s.unknownClusters(k, name, fresh); unknown != nil {
				// It waits; whether it is also refused depends on whether the clusters
				// may still be on their way.
				col.waiting[name] = fresh
				if !s.known[cds].answered {
					continue
				}
				err = unknown
			}
		}
		if err != nil {
			errs = append(errs, err)
			col.failures[name] = failure{raw: raw, version: resp.GetVersionInfo(), at: now, words: err.Error()}
			continue
		}
		delete(col.failures, name)
		col.items[name] = fresh
	}
	if k.whole() && !nameless {
		for name := range col.items {
			if named[name] == 0 {
				delete(col.items, name)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	col.version = resp.GetVersionInfo()
	return nil
}

// parse parses raw, or finds that it is what is there already.
func (s *state) parse(k kind, raw *anypb.Any) (string, any, error) {
	name := resource.Name(raw)
	if old := s.known[k].items[name]; old != nil && raw.GetTypeUrl() == old.raw.GetTypeUrl() && bytes.Equal(raw.GetValue(), old.raw.GetValue()) {
		return name, old.parsed, nil
	}
	name, p, err := s.parser.ParseAny(k.typeURL(), raw)
	if name == "" && err == nil {
		err = errors.New("name: missing")
	}
	return name, p, err
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
	var errs []error
	for _, t := range tables {
		errs = append(errs, resource.UnknownClusters(k.noun(), name, t, func(cluster string) bool {
			return s.known[cds].items[cluster] != nil || s.taken(cds, cluster)
		}))
	}
	return errors.Join(errs...)
}

// refuse notes that the data plane did not take what follows from a response.
// It is called on the state from before the response.
func (s *state) refuse(k kind, resp *discoveryv3.DiscoveryResponse, err error, now time.Time) {
	s.known[k].answered = true
	for _, raw := range resp.GetResources() {
		name := resource.Name(raw)
		if name == "" {
			continue
		}
		if old := s.known[k].items[name]; old != nil && bytes.Equal(raw.GetValue(), old.raw.GetValue()) {
			continue
		}
		s.known[k].failures[name] = failure{raw: raw, version: resp.GetVersionInfo(), at: now, words: err.Error()}
	}
}

package router

import (
	"fmt"

	"github.com/valyala/fasthttp"
)

// VirtualHost is a set of domains and their routes.
type VirtualHost[T any] struct {
	// Name is for error messages; several hosts may share one.
	Name string
	// Domains are exact, "*.suffix", "prefix.*" or "*". At least one; none may
	// occur twice in a table, whatever its case.
	Domains []string
	Routes  []Entry[T]
}

// Entry is one route: what it takes and what its taker gets back.
type Entry[T any] struct {
	Match Match
	Value T
}

// Table finds the route of a request. It is immutable and safe for concurrent
// use by requests with a header of their own.
type Table[T any] struct {
	domains domains
	hosts   []host[T]
	// whole is set where the one domain is "*" and its first route takes every
	// path that begins with "/": the usual sidecar, which then pays for nothing.
	whole *T
}

type host[T any] struct {
	routes routes
	values []T // beside routes, by index
}

// Option changes how a table matches.
type Option func(*domains)

// IgnorePort compares the Host header without its port (Envoy's
// ignore_port_in_host_matching). Without it "a.com" is not "a.com:80".
func IgnorePort() Option { return func(d *domains) { d.ignorePort = true } }

// NewTable compiles hosts. An error names the host and route by index, the field
// and its value; what Envoy refuses is refused: no domain, a domain twice, a
// domain that can match nothing, a match without or with more than one of
// prefix, path and regex.
func NewTable[T any](hosts []VirtualHost[T], options ...Option) (*Table[T], error) {
	t := &Table[T]{hosts: make([]host[T], len(hosts))}
	for _, set := range options {
		set(&t.domains)
	}
	for i, vh := range hosts {
		where := fmt.Sprintf("virtual_hosts[%d] (%q)", i, vh.Name)
		if len(vh.Domains) == 0 {
			return nil, fmt.Errorf("%s.domains: must not be empty", where)
		}
		for k, domain := range vh.Domains {
			if err := t.domains.add(domain, i); err != nil {
				return nil, fmt.Errorf("%s.domains[%d]: %w", where, k, err)
			}
		}
		matchers := make([]matcher, len(vh.Routes))
		t.hosts[i].values = make([]T, len(vh.Routes))
		for k := range vh.Routes {
			entry := &vh.Routes[k]
			m, err := compile(&entry.Match)
			if err != nil {
				return nil, fmt.Errorf("%s.routes[%d].match%w", where, k, err)
			}
			matchers[k] = m
			t.hosts[i].values[k] = entry.Value
		}
		t.hosts[i].routes = newRoutes(matchers)
	}
	t.domains.finish()
	if only := t.domains.only(); only >= 0 && t.hosts[only].routes.takesAll() {
		t.whole = &t.hosts[only].values[0]
	}
	return t, nil
}

// Match returns the value of the first route that takes the request, of the
// virtual host whose domain fits best: an exact domain before the longest
// "*.suffix", before the longest "prefix.*", before "*". A host whose routes all
// refuse does not fall back to another host.
//
// The path is compared as the bytes that the caller sent, neither decoded nor
// normalised, up to "?" or "#". A target in absolute form (RFC 9112 section
// 3.2.2) is taken apart, and its authority stands for Host.
//
// Match does not allocate, but where several lines of one matched header must be
// joined. It uses h's own scratch memory, so no other goroutine may use h
// meanwhile.
func (t *Table[T]) Match(h *fasthttp.RequestHeader) (value T, ok bool) {
	uri := h.RequestURI()
	if t.whole != nil && uri[0] == '/' {
		return *t.whole, true
	}
	r := newRequest(h, uri)
	i := t.domains.find(r.authority)
	if i < 0 {
		return value, false
	}
	found := &t.hosts[i]
	k := found.routes.find(&r)
	if k < 0 {
		return value, false
	}
	return found.values[k], true
}

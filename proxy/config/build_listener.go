package config

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/fridaymesh/friday/proxy/accesslog"
	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/edge"
	"github.com/fridaymesh/friday/proxy/tlscontext"
)

func (c *Change) addListener(l *Listener) error {
	if _, ok := c.Snapshot.Listeners[l.Name]; ok {
		return fmt.Errorf("listener %q: defined twice", l.Name)
	}
	for _, address := range append([]string{l.Address}, l.More...) {
		if err := checkAddress(address); err != nil {
			return fmt.Errorf("listener %q: address %q: %w", l.Name, address, err)
		}
	}
	a := &ActiveListener{Config: l}
	for _, chain := range l.Chains {
		active, err := c.chain(l, chain, chain.Match.id())
		if err != nil {
			return fmt.Errorf("listener %q: %w", l.Name, err)
		}
		a.Chains = append(a.Chains, active)
	}
	if l.Default != nil {
		active, err := c.chain(l, l.Default, "default")
		if err != nil {
			return fmt.Errorf("listener %q: %w", l.Name, err)
		}
		a.Default = active
	}
	if len(a.Chains) == 0 && a.Default == nil {
		return fmt.Errorf("listener %q: no filter chain", l.Name)
	}
	c.Snapshot.Listeners[l.Name] = a
	return nil
}

func (c *Change) chain(l *Listener, chain *FilterChain, id string) (*ActiveChain, error) {
	out := &ActiveChain{Config: chain, ID: id}
	if chain.TLS != nil {
		var err error
		if out.TLS, err = c.server(l, chain.TLS); err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
	}
	for _, gate := range chain.Gates {
		out.Gates = append(out.Gates, gate.Build(c.b.metrics))
	}
	switch {
	case chain.HTTP != nil && chain.TCP != nil:
		return nil, errors.New("a filter chain of both HTTP and TCP")
	case chain.TCP != nil:
		out.TCP = c.tcp(l, chain.TCP)
		return out, nil
	case chain.HTTP == nil:
		return nil, errors.New("a filter chain of neither HTTP nor TCP")
	}
	table := chain.HTTP.Table
	if table == nil {
		if table = c.Snapshot.Resources.Routes[chain.HTTP.RouteName]; table == nil {
			return nil, fmt.Errorf("route table %q: not found", chain.HTTP.RouteName)
		}
	}
	compiled, err := c.compile(l, id, chain.HTTP, table)
	if err != nil {
		return nil, err
	}
	out.HTTP = &Active{
		Name: l.Name, Address: l.Address, HTTP: chain.HTTP.withDefaults(c.b.defaults),
		table: compiled.table, rule: compiled.rule, edge: edge.New(chain.HTTP.Edge),
	}
	out.HTTP.logs, err = c.logs(chain.HTTP.Logs)
	return out, err
}

// logs opens the access logs; those of one path share a file.
func (c *Change) logs(all []accesslog.Config) (out []*accesslog.Log, err error) {
	for _, cfg := range all {
		kept, err := c.keep("access log "+cfg.Path, func() (io.Closer, error) { return accesslog.Open(cfg.Path) })
		if err != nil {
			return nil, err
		}
		out = append(out, accesslog.New(cfg, kept.(*accesslog.File))) //nolint:forcetypeassert // just made, or made here before
	}
	return out, nil
}

// server returns what makes the handshakes of a context: the one that does already,
// where there is one, for its session tickets are good for itself alone.
func (c *Change) server(l *Listener, d *tlscontext.Downstream) (*tlscontext.Server, error) {
	key := l.Name + "\n" + d.ID
	if s, ok := c.servers[key]; ok {
		return s, nil
	}
	s, ok := c.b.servers[key]
	if !ok {
		var err error
		if s, err = tlscontext.NewServer(d, &c.b.secrets); err != nil {
			return nil, err
		}
	}
	c.servers[key] = s
	return s, nil
}

// id is equal for equal matches.
func (m *ChainMatch) id() string { return fmt.Sprint(*m) }

// tcpTarget is a cluster; nil where there is none of its name.
type tcpTarget struct {
	name    string
	weight  uint32
	cluster *cluster.Cluster
}

func (c *Change) tcp(l *Listener, t *TCP) *ActiveTCP {
	out := &ActiveTCP{Listener: l.Name, TCP: *t}
	if out.IdleTimeout == 0 {
		out.IdleTimeout = time.Hour
	}
	out.ConnectAttempts = max(1, out.ConnectAttempts)
	for _, w := range t.Clusters {
		out.targets = append(out.targets, tcpTarget{name: w.Name, weight: w.Weight, cluster: c.clusters[w.Name]})
		out.total += w.Weight
	}
	return out
}

// Choose picks a cluster by weight; it is nil where there is none of its name.
func (t *ActiveTCP) Choose() (name string, cl *cluster.Cluster) {
	at := &t.targets[0]
	if len(t.targets) > 1 && t.total > 0 {
		n := rand.Uint32N(t.total) // #nosec G404 -- shares of traffic need no secrecy
		for i := range t.targets {
			if at = &t.targets[i]; n < at.weight {
				break
			}
			n -= at.weight
		}
	}
	return at.name, at.cluster
}

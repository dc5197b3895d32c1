package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"
)

const defaultRefresh = 5 * time.Second

// names resolves the names of a cluster's endpoints, each by itself, beside the
// requests. What a name was last resolved to stays until there is another answer.
// Cluster.mu guards all of it.
type names struct {
	c  *Cluster
	by map[string]*name
}

type name struct {
	host      string
	addresses []netip.Addr
	answered  bool // or failed, at least once
	failures  int
	timer     *time.Timer
	cancel    context.CancelFunc // of all that is done for it
}

// update begins to resolve what is new and ends what is not asked for any more.
func (n *names) update() {
	cfg := n.c.cfg
	old := n.by
	n.by = map[string]*name{}
	if cfg.Discovery == StrictDNS || cfg.Discovery == LogicalDNS {
		for _, e := range cfg.Endpoints {
			host, _, err := net.SplitHostPort(e.Address)
			if err != nil || n.by[host] != nil {
				continue
			}
			if _, err := netip.ParseAddr(host); err == nil {
				continue
			}
			if n.by[host] = old[host]; n.by[host] == nil {
				n.by[host] = n.begin(host)
			}
		}
	}
	for host, o := range old {
		if n.by[host] == nil {
			o.end()
		}
	}
}

// begin begins to resolve host; that goes on when whoever asked has gone.
//
//nolint:contextcheck,nolintlint // its callers are spared by it, which the second does not see
func (n *names) begin(host string) *name {
	ctx, cancel := context.WithCancel(context.Background())
	one := &name{host: host, cancel: cancel}
	one.timer = time.AfterFunc(0, func() { n.c.resolve(ctx, one) })
	return one
}

func (n *name) end() {
	n.cancel()
	n.timer.Stop()
}

func (n *names) close() {
	for _, o := range n.by {
		o.end()
	}
}

func (n *names) answered() bool {
	for _, o := range n.by {
		if !o.answered {
			return false
		}
	}
	return true
}

// endpoints are the configured ones with addresses for their names.
func (n *names) endpoints() (out []EndpointConfig) {
	for _, e := range n.c.cfg.Endpoints {
		host, port, err := net.SplitHostPort(e.Address)
		if err != nil {
			continue
		}
		if e.Hostname == "" {
			e.Hostname = host
		}
		one := n.by[host]
		if one == nil { // an address
			out = append(out, e)
			continue
		}
		addresses := one.addresses
		if n.c.cfg.Discovery == LogicalDNS && len(addresses) > 1 {
			addresses = addresses[:1]
		}
		for _, a := range addresses {
			e.Address = net.JoinHostPort(a.String(), port)
			out = append(out, e)
		}
	}
	return out
}

// resolve asks once and comes back when it is time to ask again.
func (c *Cluster) resolve(ctx context.Context, n *name) {
	c.mu.Lock()
	cfg := c.cfg.DNS
	c.mu.Unlock()
	addresses, err := cfg.lookup(ctx, n.host)
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil || c.closed {
		return
	}
	changed := false
	if err != nil {
		n.failures++
		c.metrics.resolution("failure")
		c.log.Warn("name not resolved", zap.String("name", n.host), zap.Error(err))
	} else {
		n.failures = 0
		c.metrics.resolution("success")
		changed = n.take(addresses, c.cfg.Discovery)
	}
	first := !n.answered
	n.answered = true
	if changed {
		c.apply(false)
	} else if first {
		c.settle()
	}
	n.timer.Reset(c.cfg.DNS.pause(n.failures))
}

// take makes addresses what n is resolved to. A logical name stays at its address while
// that is among them.
func (n *name) take(addresses []netip.Addr, how Discovery) bool {
	switch {
	case how != LogicalDNS:
		slices.SortFunc(addresses, netip.Addr.Compare)
	case len(n.addresses) > 0:
		if i := slices.Index(addresses, n.addresses[0]); i > 0 {
			addresses[0], addresses[i] = addresses[i], addresses[0]
		}
	}
	if slices.Equal(n.addresses, addresses) {
		return false
	}
	n.addresses = addresses
	return true
}

// pause is how long to wait after so many failures in a row.
func (d *DNS) pause(failures int) time.Duration {
	refresh := d.Refresh
	if refresh == 0 {
		refresh = defaultRefresh
	}
	if failures > 0 && d.FailureBase > 0 {
		most := max(d.FailureMax, d.FailureBase)
		bound := min(most, d.FailureBase<<min(failures-1, 20))
		if bound <= 0 {
			bound = most
		}
		return time.Duration(rand.Int64N(int64(bound)) + 1) // #nosec G404 -- spreads load, guards nothing
	}
	if d.Jitter > 0 {
		refresh += time.Duration(rand.Int64N(int64(d.Jitter))) // #nosec G404 -- as above
	}
	return refresh
}

// lookup asks for a name's addresses; a name without any is no error.
func (d *DNS) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	resolver := net.DefaultResolver
	if len(d.Servers) > 0 {
		server := rand.IntN(len(d.Servers)) // #nosec G404 -- as above
		resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, d.Servers[server].String())
		}}
	}
	ask := func(network string) ([]netip.Addr, error) {
		found, err := resolver.LookupNetIP(ctx, network, host)
		if de, ok := errors.AsType[*net.DNSError](err); ok && de.IsNotFound {
			return nil, nil
		}
		for i := range found {
			found[i] = found[i].Unmap()
		}
		return found, err
	}
	first, second := "ip6", "ip4"
	switch d.Family {
	case FamilyV4:
		return ask("ip4")
	case FamilyV6:
		return ask("ip6")
	case FamilyAll:
		return ask("ip")
	case FamilyV4Preferred:
		first, second = second, first
	case FamilyAuto:
	}
	found, err := ask(first)
	if err == nil && len(found) > 0 {
		return found, nil
	}
	return ask(second)
}

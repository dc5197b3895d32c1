package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/fridaymesh/friday/proxy"
)

// maxNames bounds the names that connections are kept for.
const maxNames = 128

// byName keeps connections apart by the name that the server is called in TLS, which
// is the caller's Host (Envoy's auto_sni).
type byName struct {
	make func(sni string) *Pair // set once

	mu     sync.Mutex
	pairs  map[string]*Pair
	closed bool
}

func (b *byName) of(req *proxy.Request) *Pair {
	name := strings.ToLower(string(req.Header.Host()))
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		name = "" // TLS has no names of that kind
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.pairs[name]; p != nil {
		return p
	}
	if len(b.pairs) >= maxNames {
		for old, p := range b.pairs { // any: callers choose the names, and could rotate them
			delete(b.pairs, old)
			_ = p.Close() // only lets go of what is idle
			break
		}
	}
	p := b.make(name)
	if b.closed {
		_ = p.Close() // as above
		return p
	}
	if b.pairs == nil {
		b.pairs = make(map[string]*Pair)
	}
	b.pairs[name] = p
	return p
}

// handle makes one round trip.
func (b *byName) handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	return b.of(req).Handle(ctx, req)
}

func (b *byName) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	errs := make([]error, 0, len(b.pairs))
	for _, p := range b.pairs {
		errs = append(errs, p.Close())
	}
	b.pairs = nil
	return errors.Join(errs...)
}

package server

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/exchange"
	"github.com/fridaymesh/friday/proxy/h1"
	"github.com/fridaymesh/friday/proxy/h2"
	"github.com/fridaymesh/friday/proxy/tcp"
)

// chain is a filter chain and what serves its connections.
type chain struct {
	// Set once.
	r   *running
	key string
	tcp *tcp.Server     // relays bytes
	end context.Context //nolint:containedctx // of the bytes that are relayed
	cut context.CancelFunc

	active atomic.Pointer[config.ActiveChain]
	codecs atomic.Pointer[codecs] // of HTTP; nil where it is bytes
	relays atomic.Int64

	mu  sync.Mutex
	old []*codecs // those of earlier settings whose connections may go on
}

// chainKey is the same for chains of which one may take the other's connections.
func chainKey(c *config.ActiveChain) string {
	parts := []string{c.ID}
	if c.HTTP != nil {
		parts = append(parts, "HTTP")
	}
	if t := c.Config.TLS; t != nil {
		parts = append(parts, t.ID)
	}
	for _, g := range c.Config.Gates {
		parts = append(parts, g.ID)
	}
	return strings.Join(parts, "\n")
}

func newChain(r *running, key string) *chain {
	c := &chain{r: r, key: key, tcp: tcp.New(r.s.metrics, r.s.recorder)}
	c.end, c.cut = context.WithCancel(context.Background())
	return c
}

// http is the configuration of HTTP in force.
func (c *chain) http() *config.Active { return c.active.Load().HTTP }

// update puts a in force for every request from now on. Settings that a
// connection has for life are taken by new codecs; connections of the old ones
// end after their next answer.
func (c *chain) update(a *config.ActiveChain) {
	was := c.active.Swap(a)
	if a.HTTP == nil {
		return
	}
	if was != nil && was.HTTP.HTTP.HeadersTimeout == a.HTTP.HTTP.HeadersTimeout &&
		was.HTTP.HTTP.IdleTimeout == a.HTTP.HTTP.IdleTimeout && was.HTTP.HTTP.MaxHeaderBytes == a.HTTP.HTTP.MaxHeaderBytes &&
		was.HTTP.HTTP.AllowConnect == a.HTTP.HTTP.AllowConnect && was.HTTP.HTTP.Limits == a.HTTP.HTTP.Limits {
		return
	}
	o := exchange.Options{
		Listener: c.http,
		Recorder: c.r.s.recorder,
		Metrics:  c.r.s.metrics,
		Log:      c.r.s.log,
	}
	if old := c.codecs.Swap(&codecs{h1: h1.New(o), h2: h2.New(o)}); old != nil {
		old.retire()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.old = append(slices.DeleteFunc(c.old, (*codecs).idle), old)
	}
}

// all are the codecs, those of earlier settings too.
func (c *chain) all() []*codecs {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := slices.Clone(c.old)
	if now := c.codecs.Load(); now != nil {
		all = append(all, now)
	}
	return all
}

func (c *chain) retire() {
	for _, x := range c.all() {
		x.retire()
	}
}

func (c *chain) drain() {
	for _, x := range c.all() {
		x.drain()
	}
}

func (c *chain) abort() {
	c.cut()
	for _, x := range c.all() {
		x.abort()
	}
}

func (c *chain) idle() bool {
	return c.relays.Load() == 0 && !slices.ContainsFunc(c.all(), func(x *codecs) bool { return !x.idle() })
}

// codecs serve the connections of a chain under one set of the settings that a
// connection has for life.
type codecs struct {
	h1 *h1.Server
	h2 *h2.Server
}

func (c *codecs) retire() {
	c.h1.Retire()
	c.h2.Retire()
}

func (c *codecs) idle() bool { return c.h1.Idle() && c.h2.Idle() }

func (c *codecs) drain() {
	c.h1.Drain()
	c.h2.Drain()
}

func (c *codecs) abort() {
	c.h1.Abort()
	c.h2.Abort()
}

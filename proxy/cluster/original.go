package cluster

import (
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/fridaymesh/friday/proxy"
)

// original is an endpoint that somebody wanted to go to.
type original struct {
	member *member
	used   atomic.Bool // since the last clean-up
}

const defaultCleanup = 5 * time.Second

// original is the endpoint that req was meant for, made where there is none; nil where
// that is not known.
func (c *Cluster) original(cfg *Config, req *proxy.Request) *proxy.Endpoint {
	if req == nil {
		return nil
	}
	address := cfg.Original.destination(req)
	if address == "" {
		return nil
	}
	found, ok := c.originals.Load(address)
	if !ok {
		found = c.visit(address)
	}
	o, ok := found.(*original)
	if !ok || o == nil {
		return nil
	}
	if !o.used.Load() {
		o.used.Store(true)
	}
	return &o.member.endpoint
}

// destination is host:port, or empty.
func (o *Original) destination(req *proxy.Request) string {
	address := req.OriginalDestination
	if o.Header != "" && req.Header != nil {
		if h, ok := proxy.FieldValue(req.Header, o.Header); ok {
			address = h
		}
	}
	ip, err := netip.ParseAddrPort(address)
	if err != nil {
		return ""
	}
	port := ip.Port()
	if o.Port != 0 {
		port = o.Port
	}
	if port == 0 {
		return ""
	}
	return net.JoinHostPort(ip.Addr().Unmap().String(), strconv.Itoa(int(port)))
}

func (c *Cluster) visit(address string) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found, ok := c.originals.Load(address); ok {
		return found
	}
	e := &EndpointConfig{Address: address, Weight: 1}
	o := &original{member: newMember(c.name, e, c.dial(c.cfg, e))}
	o.used.Store(true)
	if c.closed {
		return o // an old snapshot's request is still served
	}
	c.originals.Store(address, o)
	c.members[address] = o.member
	c.apply(false)
	c.cleanUp()
	return o
}

// visited are the destinations of late. REQUIRES: c.mu is held.
func (c *Cluster) visited() (out []EndpointConfig) {
	c.originals.Range(func(_, v any) bool {
		if o, ok := v.(*original); ok {
			out = append(out, o.member.config)
		}
		return true
	})
	return out
}

// cleanUp comes back for destinations that are not used any more. REQUIRES: c.mu is
// held.
func (c *Cluster) cleanUp() {
	if c.cleaning != nil || c.cfg.Discovery != OriginalDestination {
		return
	}
	if len(c.members) == 0 {
		return
	}
	every := c.cfg.Original.Cleanup
	if every == 0 {
		every = defaultCleanup
	}
	c.cleaning = time.AfterFunc(every, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cleaning = nil
		if c.closed {
			return
		}
		gone := false
		c.originals.Range(func(k, v any) bool {
			if o, ok := v.(*original); ok && !o.used.Swap(false) && o.member.endpoint.Active.Load() == 0 {
				c.originals.Delete(k)
				gone = true
			}
			return true
		})
		if gone {
			c.apply(false)
		}
		c.cleanUp()
	})
}

package cluster

import (
	"context"
	"net"
	"sync"

	"github.com/fridaymesh/friday/proxy"
)

// Connector is an EndpointHandler that can be connected to for bytes that are no
// HTTP: TLS included where the endpoint has it.
type Connector interface {
	Connect(ctx context.Context) (net.Conn, error)
}

// Connect picks an endpoint for req and connects to it, up to attempts times in all,
// each to another endpoint where there is one. Of req only the addresses count.
// The endpoint's Active counts the connection until it is closed.
func (c *Cluster) Connect(ctx context.Context, req *proxy.Request, attempts int) (net.Conn, error) {
	if c.cold.Load() {
		if err := c.await(ctx); err != nil {
			return nil, err
		}
	}
	if !c.used.Load() {
		c.used.Store(true)
	}
	for {
		ep := c.pick(req, req.Avoid)
		if ep == nil {
			return nil, noHealthy()
		}
		req.Endpoint, req.Trace.Upstream = ep, ep.Address
		req.Trace.Attempts++
		nc, err := c.connect(ctx, ep)
		if err == nil {
			return nc, nil
		}
		if req.Avoid = append(req.Avoid, ep); len(req.Avoid) >= attempts || ctx.Err() != nil {
			return nil, err
		}
		c.metrics.retries.connect.Inc()
	}
}

func (c *Cluster) connect(ctx context.Context, ep *proxy.Endpoint) (net.Conn, error) {
	m, ok := ep.Handler.(*member)
	if !ok {
		return nil, noHealthy()
	}
	h, ok := (*m.current.Load()).(Connector)
	if !ok {
		return nil, &proxy.Error{Status: 503, Flag: proxy.FlagUpstreamConnection, Message: "not to be connected to for bytes"}
	}
	ep.Active.Add(1)
	ep.Total.Add(1)
	nc, err := h.Connect(ctx)
	if err != nil {
		c.judge(ctx, ep, nil, err)
		ep.Active.Add(-1)
		return nil, err
	}
	m.stats.success.Add(1)
	return &activeConn{Conn: nc, endpoint: ep}, nil
}

// activeConn keeps its endpoint busy until it is closed.
type activeConn struct {
	net.Conn

	endpoint *proxy.Endpoint
	once     sync.Once
}

// CloseWrite ends the sending side.
func (c *activeConn) CloseWrite() error {
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite() //nolint:forcetypeassert // TCP, or TLS over it
}

// Close closes the connection.
func (c *activeConn) Close() error {
	c.once.Do(func() { c.endpoint.Active.Add(-1) })
	return c.Conn.Close()
}

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
	var tried []*proxy.Endpoint
	for {
		ep := req.Endpoint
		if ep == nil || len(tried) > 0 {
			if ep = c.set.Load().pick(tried); ep == nil {
				return nil, noHealthy()
			}
		}
		req.Endpoint, req.Trace.Upstream = ep, ep.Address
		req.Trace.Attempts++
		nc, err := c.connect(ctx, ep)
		if err == nil {
			return nc, nil
		}
		if tried = append(tried, ep); len(tried) >= attempts || ctx.Err() != nil {
			return nil, err
		}
		c.retries.connect.Inc()
	}
}

func (c *Cluster) connect(ctx context.Context, ep *proxy.Endpoint) (net.Conn, error) {
	h, ok := (*connectionOf(ep).current.Load()).(Connector)
	if !ok {
		return nil, &proxy.Error{Status: 503, Flag: proxy.FlagUpstreamConnection, Message: "not to be connected to for bytes"}
	}
	ep.Active.Add(1)
	ep.Total.Add(1)
	nc, err := h.Connect(ctx)
	if err != nil {
		ep.Active.Add(-1)
		return nil, err
	}
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

package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// peer is an address: what it answers, and what it has seen.
type peer struct {
	address string
	answer  func(req *proxy.Request) (*proxy.Response, error)
	calls   atomic.Int64
	closed  atomic.Bool
}

func (p *peer) Handle(_ context.Context, req *proxy.Request) (*proxy.Response, error) {
	p.calls.Add(1)
	if p.answer != nil {
		return p.answer(req)
	}
	return proxy.NewResponse(), nil
}

func (p *peer) Close() error { p.closed.Store(true); return nil }

// network makes the peers that a cluster dials, in the order of dialling.
type network struct {
	answer func(address string) func(req *proxy.Request) (*proxy.Response, error)

	mu    sync.Mutex
	peers []*peer
}

func (n *network) dial(_ *cluster.Config, endpoint *cluster.EndpointConfig) cluster.EndpointHandler {
	address := endpoint.Address
	p := &peer{address: address}
	if n.answer != nil {
		p.answer = n.answer(address)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.peers = append(n.peers, p)
	return p
}

func (n *network) dialled() (addresses []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.peers {
		addresses = append(addresses, p.address)
	}
	return addresses
}

func metrics() *telemetry.Metrics { return telemetry.New(prometheus.NewRegistry()) }

func open(t testing.TB, n *network, cfg *cluster.Config) *cluster.Cluster {
	t.Helper()
	c := cluster.New(cfg, n.dial, zap.NewNop(), metrics())
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func of(policy cluster.Policy, endpoints ...cluster.EndpointConfig) *cluster.Config {
	return &cluster.Config{Name: "c", Policy: policy, Endpoints: endpoints}
}

func weighted(weights ...uint32) (endpoints []cluster.EndpointConfig) {
	for i, w := range weights {
		endpoints = append(endpoints, cluster.EndpointConfig{Address: fmt.Sprint("e", i), Weight: w})
	}
	return endpoints
}

func newRequest(body proxy.Body) *proxy.Request {
	return &proxy.Request{Header: &fasthttp.RequestHeader{}, Body: body}
}

func addresses(endpoints []*proxy.Endpoint) (a []string) {
	for _, ep := range endpoints {
		a = append(a, ep.Address)
	}
	return a
}

func TestNoEndpoints(t *testing.T) {
	c := open(t, &network{}, of(cluster.RoundRobin))
	_, err := c.Pick(t.Context(), newRequest(proxy.NoBody))
	requireError(t, err, 503, proxy.FlagNoHealthyUpstream, "no healthy upstream")
	_, err = c.Handle(t.Context(), newRequest(proxy.NoBody))
	requireError(t, err, 503, proxy.FlagNoHealthyUpstream, "no healthy upstream")
	require.Empty(t, c.Endpoints())
}

func requireError(t *testing.T, err error, status int, flag proxy.Flag, message string) {
	t.Helper()
	pe, ok := errors.AsType[*proxy.Error](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, status, pe.Status)
	require.Equal(t, flag, pe.Flag)
	require.Equal(t, message, pe.Message)
}

func TestHandlePinsAndTraces(t *testing.T) {
	c := open(t, &network{}, of(cluster.RoundRobin, weighted(1, 1)...))
	for range 2 {
		req := newRequest(proxy.NoBody)
		_, err := c.Handle(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, req.Endpoint.Address, req.Trace.Upstream)
		require.Equal(t, "c", req.Endpoint.Cluster)
		require.EqualValues(t, 1, req.Endpoint.Total.Load(), "in turn")
	}
	pinned := newRequest(proxy.NoBody)
	pinned.Endpoint = c.Endpoints()[1]
	for range 5 {
		_, err := c.Handle(t.Context(), pinned)
		require.NoError(t, err)
	}
	require.EqualValues(t, 6, c.Endpoints()[1].Total.Load())
}

// endless is a body of one byte a Read, until it is closed or has failed.
type endless struct {
	err    error
	closes int
}

func (b *endless) Read(p []byte) (int, error)        { p[0] = 'x'; return 1, b.err }
func (b *endless) Close() error                      { b.closes++; return nil }
func (b *endless) Len() int64                        { return -1 }
func (b *endless) Trailer() *fasthttp.ResponseHeader { return nil }
func (b *endless) Ready() int                        { return 7 }

func TestActiveUntilTheBodyEnds(t *testing.T) {
	for name, c := range map[string]struct {
		body  proxy.Body
		after func(resp *proxy.Response) error
		whole bool
	}{
		"closed":       {&endless{}, func(r *proxy.Response) error { return r.Close() }, false},
		"closed twice": {&endless{}, func(r *proxy.Response) error { return errors.Join(r.Body.Close(), r.Close()) }, false},
		"read, then closed": {&endless{err: io.EOF}, func(r *proxy.Response) error {
			if _, err := r.Body.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				return fmt.Errorf("got %w", err)
			}
			return r.Close()
		}, false},
		"failed": {&endless{err: io.ErrUnexpectedEOF}, func(r *proxy.Response) error {
			if n, err := r.Body.Read(make([]byte, 1)); n != 1 || !errors.Is(err, io.ErrUnexpectedEOF) {
				return fmt.Errorf("got %w", err)
			}
			return nil
		}, false},
		"none":      {proxy.NoBody, (*proxy.Response).Close, true},
		"in memory": {proxy.NewBytesBody([]byte("x")), (*proxy.Response).Close, true},
	} {
		t.Run(name, func(t *testing.T) {
			n := &network{answer: func(string) func(*proxy.Request) (*proxy.Response, error) {
				return func(req *proxy.Request) (*proxy.Response, error) {
					if req.Endpoint.Active.Load() != 1 {
						return nil, errors.New("not counted while it is sent")
					}
					r := proxy.NewResponse()
					r.Body = c.body
					return r, nil
				}
			}}
			cl := open(t, n, of(cluster.RoundRobin, weighted(1)...))
			ep := cl.Endpoints()[0]
			resp, err := cl.Handle(t.Context(), newRequest(proxy.NoBody))
			require.NoError(t, err)
			require.Equal(t, c.body.Len(), resp.Body.Len())
			if !c.whole {
				require.EqualValues(t, 1, ep.Active.Load())
				require.Equal(t, 7, resp.Body.(interface{ Ready() int }).Ready())
			}
			require.NoError(t, c.after(resp))
			require.Zero(t, ep.Active.Load())
		})
	}
}

func TestActiveAfterErrorAndPanic(t *testing.T) {
	n := &network{answer: func(string) func(*proxy.Request) (*proxy.Response, error) {
		return func(req *proxy.Request) (*proxy.Response, error) {
			if req.Protocol == "panic" {
				panic("x")
			}
			return nil, io.ErrUnexpectedEOF
		}
	}}
	c := open(t, n, of(cluster.RoundRobin, weighted(1)...))
	req := newRequest(proxy.NoBody)
	_, err := c.Handle(t.Context(), req)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	req.Protocol = "panic"
	require.Panics(t, func() { _, _ = c.Handle(t.Context(), req) })
	require.Zero(t, c.Endpoints()[0].Active.Load())
	require.EqualValues(t, 2, c.Endpoints()[0].Total.Load())
}

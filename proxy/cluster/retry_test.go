package cluster_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// stream is a caller's body.
type stream struct{ io.Reader }

func (stream) Close() error                      { return nil }
func (stream) Len() int64                        { return -1 }
func (stream) Trailer() *fasthttp.ResponseHeader { return nil }

func unsent(flag proxy.Flag) *proxy.Error { return &proxy.Error{Status: 503, Flag: flag, Unsent: true} }

func TestRetry(t *testing.T) {
	read := func(req *proxy.Request) { _, _ = req.Body.Read(make([]byte, 2)) }
	for name, c := range map[string]struct {
		endpoints int
		body      proxy.Body
		fail      func(n int, req *proxy.Request) error // of the n-th attempt, from 1 on
		attempts  int
		ok        bool
		connect   float64
		reset     float64
	}{
		"connecting failed once": {
			endpoints: 2, body: proxy.NoBody,
			fail:     func(n int, _ *proxy.Request) error { return only(n == 1, unsent(proxy.FlagUpstreamConnection)) },
			attempts: 2, ok: true, connect: 1,
		},
		"reset before the request": {
			endpoints: 2, body: proxy.NoBody,
			fail:     func(n int, _ *proxy.Request) error { return only(n == 1, unsent(proxy.FlagUpstreamReset)) },
			attempts: 2, ok: true, reset: 1,
		},
		"three times at most": {
			endpoints: 5, body: proxy.NoBody,
			fail:     func(int, *proxy.Request) error { return unsent(proxy.FlagUpstreamConnection) },
			attempts: 3, connect: 2,
		},
		"a lonely endpoint twice": {
			endpoints: 1, body: proxy.NoBody,
			fail:     func(int, *proxy.Request) error { return unsent(proxy.FlagUpstreamConnection) },
			attempts: 2, connect: 1,
		},
		"not what may have been acted on": {
			endpoints: 2, body: proxy.NoBody,
			fail:     func(int, *proxy.Request) error { return &proxy.Error{Status: 503, Flag: proxy.FlagUpstreamReset} },
			attempts: 1,
		},
		"not another kind of error": {
			endpoints: 2, body: proxy.NoBody, fail: func(int, *proxy.Request) error { return io.EOF }, attempts: 1,
		},
		"a body in memory, half sent": {
			endpoints: 2, body: proxy.NewBytesBody([]byte("hello")),
			fail: func(n int, req *proxy.Request) error {
				if n == 1 {
					read(req)
				}
				return only(n == 1, unsent(proxy.FlagUpstreamReset))
			},
			attempts: 2, ok: true, reset: 1,
		},
		"a stream that nobody read": {
			endpoints: 2, body: stream{strings.NewReader("hello")},
			fail:     func(n int, _ *proxy.Request) error { return only(n == 1, unsent(proxy.FlagUpstreamConnection)) },
			attempts: 2, ok: true, connect: 1,
		},
		"not a stream that somebody read": {
			endpoints: 2, body: stream{strings.NewReader("hello")},
			fail: func(_ int, req *proxy.Request) error {
				read(req)
				return unsent(proxy.FlagUpstreamReset)
			},
			attempts: 1,
		},
		"not a stream that was closed": {
			endpoints: 2, body: stream{strings.NewReader("hello")},
			fail: func(_ int, req *proxy.Request) error {
				return errors.Join(req.Body.Close(), unsent(proxy.FlagUpstreamReset))
			},
			attempts: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var tried []string
			var got string
			n := &network{answer: func(address string) func(*proxy.Request) (*proxy.Response, error) {
				return func(req *proxy.Request) (*proxy.Response, error) {
					tried = append(tried, address)
					if err := c.fail(len(tried), req); err != nil {
						return nil, err
					}
					b, err := io.ReadAll(req.Body)
					got = string(b)
					return proxy.NewResponse(), err
				}
			}}
			m := telemetry.New(prometheus.NewRegistry())
			cl := cluster.New(of(cluster.RoundRobin, weighted(make([]uint32, c.endpoints)...)...), n.dial, zap.NewNop(), m)
			req := newRequest(c.body)
			_, err := cl.Handle(t.Context(), req)
			require.Equal(t, c.ok, err == nil, "%v", err)
			require.Len(t, tried, c.attempts)
			require.Equal(t, tried[len(tried)-1], req.Endpoint.Address)
			require.Equal(t, tried[len(tried)-1], req.Trace.Upstream)
			if c.endpoints > 1 {
				require.Len(t, unique(tried), len(tried), "each time another endpoint")
			}
			if c.ok && c.body != proxy.NoBody {
				require.Equal(t, "hello", got)
			}
			require.InDelta(t, c.connect, testutil.ToFloat64(m.UpstreamRetries.WithLabelValues("c", "connect-failure")), 0)
			require.InDelta(t, c.reset, testutil.ToFloat64(m.UpstreamRetries.WithLabelValues("c", "reset-before-request")), 0)
			for _, ep := range cl.All() {
				require.Zero(t, ep.Active.Load())
			}
			require.NoError(t, cl.Close())
		})
	}
}

func only(when bool, err error) error {
	if when {
		return err
	}
	return nil
}

func unique(s []string) map[string]bool {
	m := map[string]bool{}
	for _, e := range s {
		m[e] = true
	}
	return m
}

func TestPinnedIsPickedAnewOnRetry(t *testing.T) {
	n := &network{answer: func(address string) func(*proxy.Request) (*proxy.Response, error) {
		return func(*proxy.Request) (*proxy.Response, error) {
			if address == "e1" {
				return nil, unsent(proxy.FlagUpstreamConnection)
			}
			return proxy.NewResponse(), nil
		}
	}}
	c := open(t, n, of(cluster.Random, weighted(1, 1)...))
	for range 20 {
		req := newRequest(proxy.NoBody)
		req.Endpoint = c.Endpoints()[1]
		_, err := c.Handle(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, "e0", req.Endpoint.Address)
	}
}

// Of two endpoints one is ill: the other is tried again rather than the ill one.
func TestRetryStaysOffTheUnhealthy(t *testing.T) {
	n := &network{answer: func(string) func(*proxy.Request) (*proxy.Response, error) {
		return func(*proxy.Request) (*proxy.Response, error) { return nil, unsent(proxy.FlagUpstreamReset) }
	}}
	endpoints := weighted(1, 1)
	endpoints[1].Health = cluster.HealthUnhealthy
	c := open(t, n, of(cluster.RoundRobin, endpoints...))
	_, err := c.Handle(t.Context(), newRequest(proxy.NoBody))
	require.Error(t, err)
	require.EqualValues(t, 3, n.peers[0].calls.Load())
	require.Zero(t, n.peers[1].calls.Load())
}

func TestNoRetryForACallerGone(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	n := &network{answer: func(string) func(*proxy.Request) (*proxy.Response, error) {
		return func(*proxy.Request) (*proxy.Response, error) {
			cancel(proxy.ErrCallerGone)
			return nil, unsent(proxy.FlagUpstreamConnection)
		}
	}}
	c := open(t, n, of(cluster.RoundRobin, weighted(1, 1)...))
	_, err := c.Handle(ctx, newRequest(proxy.NoBody))
	require.Error(t, err)
	require.EqualValues(t, 1, n.peers[0].calls.Load()+n.peers[1].calls.Load())
}

// The endpoint that failed has been taken away meanwhile, and another has come.
func TestRetryGoesToTheConfigurationInForce(t *testing.T) {
	var c *cluster.Cluster
	n := &network{answer: func(address string) func(*proxy.Request) (*proxy.Response, error) {
		return func(*proxy.Request) (*proxy.Response, error) {
			if address == "old" {
				c.Update(of(cluster.RoundRobin, cluster.EndpointConfig{Address: "new"}))
				return nil, unsent(proxy.FlagUpstreamConnection)
			}
			return proxy.NewResponse(), nil
		}
	}}
	c = open(t, n, of(cluster.RoundRobin, cluster.EndpointConfig{Address: "old"}))
	req := newRequest(proxy.NoBody)
	_, err := c.Handle(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, "new", req.Endpoint.Address)
}

package cluster_test

import (
	"bytes"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// statuses is a network whose endpoints answer with what stands in by address; 0 is a
// connection that fails.
type statuses struct{ by map[string]*atomic.Int64 }

func answering(addresses ...string) *statuses {
	s := &statuses{by: map[string]*atomic.Int64{}}
	for _, a := range addresses {
		s.by[a] = new(atomic.Int64)
		s.by[a].Store(200)
	}
	return s
}

func (s *statuses) network() *network {
	return &network{answer: func(address string) func(*proxy.Request) (*proxy.Response, error) {
		return func(*proxy.Request) (*proxy.Response, error) {
			status := s.by[address].Load()
			if status == 0 {
				return nil, &proxy.Error{Status: 503, Flag: proxy.FlagUpstreamConnection}
			}
			r := proxy.NewResponse()
			r.Header.SetStatusCode(int(status))
			return r, nil
		}
	}}
}

func never() *float64 { return new(0.0) }

func checked(c *cluster.Check, addresses ...string) *cluster.Config {
	cfg := of(cluster.RoundRobin)
	for _, a := range addresses {
		cfg.Endpoints = append(cfg.Endpoints, cluster.EndpointConfig{Address: a})
	}
	cfg.Check, cfg.Panic = c, never()
	return cfg
}

func flagsOf(c *cluster.Cluster) (flags []string) {
	for _, e := range c.Status().Endpoints {
		flags = append(flags, e.Flags)
	}
	return flags
}

// Every step of an endpoint's health, with the pauses between checks.
func TestHealthCheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := answering("a")
		n := s.network()
		c := open(t, n, checked(&cluster.Check{
			HTTP: &cluster.HTTPCheck{Path: "/healthz", Retriable: []cluster.StatusRange{{Start: 503, End: 504}}}, Timeout: time.Second,
			Interval: 10 * time.Second, NoTraffic: 60 * time.Second, UnhealthyInterval: 3 * time.Second, UnhealthyEdgeInterval: time.Second, HealthyEdgeInterval: 2 * time.Second,
			UnhealthyAfter: 3, HealthyAfter: 2,
		}, "a"))
		calls := func() (all int64) {
			n.mu.Lock()
			defer n.mu.Unlock()
			for _, p := range n.peers {
				all += p.calls.Load()
			}
			return all
		}
		after := func(d time.Duration, checks int64, flags string) {
			t.Helper()
			before := calls()
			time.Sleep(d)
			synctest.Wait()
			require.Equal(t, checks, calls()-before, "checks")
			require.Equal(t, []string{flags}, flagsOf(c))
		}
		synctest.Wait()
		require.Equal(t, []string{"healthy"}, flagsOf(c), "the first check alone may make it so")
		after(59500*time.Millisecond, 0, "healthy") // there has been no traffic
		_, err := c.Handle(t.Context(), newRequest(proxy.NoBody))
		require.NoError(t, err)
		after(2*time.Second, 1, "healthy")
		after(8*time.Second, 0, "healthy")
		s.by["a"].Store(503) // retriable: it takes three
		after(2*time.Second, 1, "healthy")
		after(10*time.Second, 1, "healthy")
		after(9*time.Second, 1, "/failed_active_hc")
		after(time.Second, 1, "/failed_active_hc") // at the edge
		after(2*time.Second, 0, "/failed_active_hc")
		s.by["a"].Store(200) // it takes two
		after(time.Second, 1, "/failed_active_hc")
		after(3*time.Second, 1, "healthy")
		s.by["a"].Store(500) // not retriable: at once
		after(2*time.Second, 1, "/failed_active_hc")
		_, err = c.Handle(t.Context(), newRequest(proxy.NoBody))
		requireError(t, err, 503, proxy.FlagNoHealthyUpstream, "no healthy upstream")
	})
}

// Requests that come before the first checks are over wait for them.
func TestRequestsWaitForTheFirstChecks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := answering("a", "b")
		s.by["b"].Store(0)
		c := open(t, s.network(), checked(&cluster.Check{HTTP: &cluster.HTTPCheck{Path: "/"}, Timeout: time.Second, Interval: time.Second, InitialJitter: time.Second, UnhealthyAfter: 1, HealthyAfter: 1}, "a", "b"))
		for range 4 {
			req := newRequest(proxy.NoBody)
			_, err := c.Handle(t.Context(), req)
			require.NoError(t, err)
			require.Equal(t, "a", req.Endpoint.Address)
		}
		require.Equal(t, []string{"healthy", "/failed_active_hc"}, flagsOf(c))
	})
}

func TestHealthOutlivesConfig(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := answering("a", "b", "c")
		s.by["b"].Store(500)
		check := func() *cluster.Check {
			return &cluster.Check{HTTP: &cluster.HTTPCheck{Path: "/"}, Timeout: time.Second, Interval: time.Second, UnhealthyAfter: 1, HealthyAfter: 1}
		}
		c := open(t, s.network(), checked(check(), "a", "b"))
		synctest.Wait()
		require.Equal(t, []string{"healthy", "/failed_active_hc"}, flagsOf(c))
		c.Update(checked(check(), "a", "b", "c"))
		require.Equal(t, []string{"healthy", "/failed_active_hc", "/failed_active_hc/pending_active_hc"}, flagsOf(c), "only what is new is asked anew")
		synctest.Wait()
		// What the control plane takes away stays while it is healthy.
		c.Update(checked(check(), "a"))
		require.Equal(t, []string{"healthy", "/pending_dynamic_removal"}, flagsOf(c))
		s.by["c"].Store(500)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, []string{"healthy"}, flagsOf(c))
		atOnce := checked(check(), "b")
		atOnce.LeaveAtOnce = true
		c.Update(atOnce)
		require.Equal(t, []string{"/failed_active_hc/pending_active_hc"}, flagsOf(c))
		// Without checks it is what the control plane says.
		c.Update(checked(nil, "b"))
		require.Equal(t, []string{"healthy"}, flagsOf(c))
	})
}

func TestHealthCheckByGRPC(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]struct {
		frame  []byte
		status string
		want   string
	}{
		"serving":     {[]byte{0, 0, 0, 0, 2, 8, 1}, "0", "healthy"},
		"not serving": {[]byte{0, 0, 0, 0, 2, 8, 2}, "0", "/failed_active_hc"},
		"unknown":     {[]byte{0, 0, 0, 0, 0}, "0", "/failed_active_hc"},
		"an error":    {nil, "12", "/failed_active_hc"},
		"cut":         {[]byte{0, 0, 0}, "0", "/failed_active_hc"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Value
				n := &network{answer: func(string) func(*proxy.Request) (*proxy.Response, error) {
					return func(req *proxy.Request) (*proxy.Response, error) {
						b, err := io.ReadAll(req.Body)
						asked.Store(string(req.Header.RequestURI()) + " " + string(req.Header.Host()) + " " + string(b))
						r := proxy.NewResponse()
						r.Header.SetStatusCode(200)
						r.Header.Set("grpc-status", answer.status)
						r.Body = proxy.NewBytesBody(answer.frame)
						return r, err
					}
				}}
				c := open(t, n, checked(&cluster.Check{GRPC: &cluster.GRPCCheck{Service: "s"}, Timeout: time.Second, Interval: time.Second, UnhealthyAfter: 1, HealthyAfter: 1}, "a"))
				synctest.Wait()
				require.Equal(t, []string{answer.want}, flagsOf(c))
				require.Equal(t, "/grpc.health.v1.Health/Check c \x00\x00\x00\x00\x03\x0a\x01s", asked.Load())
			})
		})
	}
}

func TestHealthCheckWords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var header atomic.Value
		header.Store("")
		n := &network{answer: func(string) func(*proxy.Request) (*proxy.Response, error) {
			return func(req *proxy.Request) (*proxy.Response, error) {
				b, err := io.ReadAll(req.Body)
				if !bytes.Equal(b, []byte("ask")) || req.Header.Peek("x-a") == nil || string(req.Header.Method()) != "POST" {
					err = errors.New("not what was configured")
				}
				r := proxy.NewResponse()
				if h, _ := header.Load().(string); h != "" {
					r.Header.Set(h, "1")
				}
				r.Body = proxy.NewBytesBody([]byte("one, two"))
				return r, err
			}
		}}
		check := &cluster.Check{
			HTTP:    &cluster.HTTPCheck{Path: "/", Method: "POST", Send: []byte("ask"), Receive: [][]byte{[]byte("one"), []byte("two")}, Add: [][2]string{{"x-a", "1"}}},
			Timeout: time.Second, Interval: time.Second, NoTraffic: time.Second, UnhealthyAfter: 1, HealthyAfter: 1,
		}
		c := open(t, n, checked(check, "a"))
		for _, step := range [][2]string{{"", "healthy"}, {"X-Envoy-Degraded", "/degraded_active_hc"}, {"", "healthy"}, {"x-envoy-immediate-health-check-fail", "/failed_active_hc/excluded_via_immediate_hc_fail"}, {"", "healthy"}} {
			header.Store(step[0])
			time.Sleep(time.Second)
			synctest.Wait()
			require.Equal(t, []string{step[1]}, flagsOf(c))
		}
		other := *check
		http := *check.HTTP
		http.Receive = [][]byte{[]byte("two"), []byte("one")}
		other.HTTP = &http
		c.Update(checked(&other, "a"))
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, []string{"/failed_active_hc"}, flagsOf(c), "in this order")
	})
}

func outlying(o *cluster.Outliers, addresses ...string) *cluster.Config {
	cfg := checked(nil, addresses...)
	cfg.Outliers = o
	return cfg
}

func detection() *cluster.Outliers {
	return &cluster.Outliers{
		Interval: 10 * time.Second, BaseEjection: 30 * time.Second, MaxEjection: 70 * time.Second, MaxPercent: 100,
		Consecutive5xx: cluster.Consecutive{Count: 3, Enforce: 100},
	}
}

func TestOutlierEjectionAndReturn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := answering("a", "b")
		m := telemetry.New(prometheus.NewRegistry())
		c := cluster.New(outlying(detection(), "a", "b"), s.network().dial, zap.NewNop(), m)
		defer func() { require.NoError(t, c.Close()) }()
		send := func(n int) (to map[string]int) {
			to = map[string]int{}
			for range n {
				req := newRequest(proxy.NoBody)
				_, err := c.Handle(t.Context(), req)
				require.NoError(t, err)
				to[req.Endpoint.Address]++
			}
			return to
		}
		// Who was away for long enough comes back at the end of an interval, and is away for
		// longer each time.
		time.Sleep(500 * time.Millisecond)
		for _, away := range []int{30, 60, 70, 70} {
			s.by["a"].Store(500)
			send(6)
			require.Equal(t, map[string]int{"b": 10}, send(10))
			s.by["a"].Store(200)
			time.Sleep(time.Duration(away*1000+9400) * time.Millisecond)
			synctest.Wait()
			require.Equal(t, map[string]int{"b": 10}, send(10), "still away")
			time.Sleep(200 * time.Millisecond)
			synctest.Wait()
			require.Equal(t, map[string]int{"a": 5, "b": 5}, send(10), "back after %ds", away)
			time.Sleep(400 * time.Millisecond)
		}
		require.InDelta(t, 4, testutil.ToFloat64(m.Ejections.WithLabelValues("c", "consecutive_5xx")), 0)
		// Without outlier detection everybody is back.
		s.by["a"].Store(500)
		send(8)
		require.Equal(t, map[string]int{"b": 4}, send(4))
		c.Update(outlying(nil, "a", "b"))
		synctest.Wait()
		require.Len(t, send(4), 2)
	})
}

func TestOutlierEjectionIsKeptAcrossUpdates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := answering("a", "b", "c")
		c := open(t, s.network(), outlying(detection(), "a", "b"))
		s.by["a"].Store(500)
		for range 8 {
			_, err := c.Handle(t.Context(), newRequest(proxy.NoBody))
			require.NoError(t, err)
		}
		require.Equal(t, []string{"/failed_outlier_check", "healthy"}, flagsOf(c))
		c.Update(outlying(detection(), "a", "b", "c"))
		require.Equal(t, []string{"/failed_outlier_check", "healthy", "healthy"}, flagsOf(c))
		require.NotContains(t, addresses(c.Endpoints()), "a")
	})
}

func TestOutlierRates(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(o *cluster.Outliers){
		"success rate": func(o *cluster.Outliers) {
			o.SuccessRate = cluster.Rate{Hosts: 3, Volume: 5, Factor: 1000, Enforce: 100}
		},
		"failure percentage": func(o *cluster.Outliers) {
			o.FailureRate = cluster.Rate{Hosts: 3, Volume: 5, Threshold: 60, Enforce: 100}
		},
		"neither": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := answering("a", "b", "c", "d")
				o := detection()
				o.Consecutive5xx.Count = 1000
				if set != nil {
					set(o)
				}
				c := open(t, s.network(), outlying(o, "a", "b", "c", "d"))
				s.by["a"].Store(500)
				for range 40 {
					_, err := c.Handle(t.Context(), newRequest(proxy.NoBody))
					require.NoError(t, err)
				}
				require.Equal(t, "healthy", flagsOf(c)[0])
				time.Sleep(11 * time.Second)
				synctest.Wait()
				require.Equal(t, set != nil, flagsOf(c)[0] == "/failed_outlier_check")
				require.Equal(t, []string{"healthy", "healthy", "healthy"}, flagsOf(c)[1:])
				if name == "success rate" {
					require.InDelta(t, 75, c.Status().Success[0], 1e-9)
					require.InDelta(t, 0, c.Status().Endpoints[0].SuccessRate, 1e-9)
				}
			})
		})
	}
}

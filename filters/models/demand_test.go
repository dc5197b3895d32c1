package models

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/models/modelstest"
	"github.com/fridaymesh/friday/proxy"
)

func TestManyAskAtOnceAndOneLoads(t *testing.T) {
	s := &modelstest.Server{LoadTime: 3 * time.Second}
	within(t, s, `models {name: "m"}`, func(r *rig) {
		began := time.Now()
		require.Equal(t, map[int]int{200: 100}, r.many(100, infer("m")))
		require.Equal(t, []string{"load m"}, s.Calls())
		require.LessOrEqual(t, time.Since(began), 3050*ms, "over the server's own load time")
		require.Equal(t, 100, s.Answers("m"))
		require.Equal(t, string(ready), r.state("m").State)
		require.Equal(t, 1, r.house.Count(t, "friday_model_state", "model", "m", "state", "ready"))
		require.Equal(t, 100, r.house.Count(t, "friday_model_hold_seconds"))
		require.Equal(t, 0, r.house.Count(t, "friday_model_held_requests"))
		r.ok("m") // and the next one waits for nothing
		require.Equal(t, []string{"load m"}, s.Calls())
	})
}

func TestBoundsOfTheQueue(t *testing.T) {
	s := &modelstest.Server{LoadTime: 3 * time.Second}
	within(t, s, `models {name: "m"} max_held_requests {value: 10}`, func(r *rig) {
		got := make(chan map[int]int, 1)
		go func() { got <- r.many(10, infer("m")) }()
		synctest.Wait()
		began := time.Now()
		status, _, err := r.ask(r.t.Context(), infer("m"), "{}")
		require.Equal(t, 503, status)
		require.Less(t, time.Since(began), 10*ms)
		require.Equal(t, proxy.FlagOverflow, err.Flag)
		require.GreaterOrEqual(t, err.RetryAfter, time.Second)
		require.LessOrEqual(t, err.RetryAfter, 120*time.Second)
		require.Equal(t, 1, r.house.Count(t, "friday_model_refused_total", "reason", "requests"))
		require.Equal(t, map[int]int{200: 10}, <-got)
	})
	within(t, &modelstest.Server{LoadTime: time.Second}, `models {name: "m"} max_held_bytes {value: 10}`, func(r *rig) {
		status, _, _ := r.ask(r.t.Context(), infer("m"), "more than ten bytes")
		require.Equal(t, 503, status)
		status, _, _ = r.ask(r.t.Context(), infer("m"), "few")
		require.Equal(t, 200, status)
	})
	within(t, &modelstest.Server{LoadTime: time.Minute}, `models {name: "m"} hold_timeout {seconds: 2}`, func(r *rig) {
		began := time.Now()
		status, _, err := r.ask(r.t.Context(), infer("m"), "{}")
		require.Equal(t, 503, status)
		require.Equal(t, 2*time.Second, time.Since(began))
		require.Positive(t, err.RetryAfter)
	})
}

func TestACallerWhoLeavesGivesUpItsPlace(t *testing.T) {
	within(t, &modelstest.Server{LoadTime: time.Second}, `models {name: "m"} max_held_requests {value: 1}`, func(r *rig) {
		ctx, leave := context.WithCancelCause(r.t.Context())
		var status atomic.Int64
		var wg sync.WaitGroup
		wg.Go(func() {
			n, _, _ := r.ask(ctx, infer("m"), "{}")
			status.Store(int64(n))
		})
		synctest.Wait()
		leave(proxy.ErrCallerGone)
		wg.Wait()
		require.EqualValues(t, 499, status.Load())
		require.Equal(t, map[int]int{200: 1}, r.many(1, infer("m")))
	})
}

func TestLoadingFailsTwiceAndCallersNeverKnow(t *testing.T) {
	var n atomic.Int32
	s := &modelstest.Server{LoadTime: time.Second, Refuse: func(what string) int {
		if what == "load m" && n.Add(1) <= 2 {
			return 500
		}
		return 0
	}}
	within(t, s, `models {name: "m"}`, func(r *rig) {
		require.Equal(t, map[int]int{200: 20}, r.many(20, infer("m")))
		require.Equal(t, 3, s.Count("load m"))
		require.Empty(t, r.state("m").LastError)
		require.Equal(t, 2, r.house.Count(t, "friday_model_loads_total", "result", "failed"))
	})
}

func TestLoadingFailsForGood(t *testing.T) {
	var healthy atomic.Bool
	s := &modelstest.Server{Refuse: func(what string) int {
		if what == "load m" && !healthy.Load() {
			return 404
		}
		return 0
	}}
	within(t, s, `models {name: "m"}`, func(r *rig) {
		status, words, err := r.ask(r.t.Context(), infer("m"), "{}")
		require.Equal(t, 503, status)
		require.NotContains(t, words, "repository", "what the server said is for operators")
		require.Positive(t, err.RetryAfter)
		require.Equal(t, string(failed), r.state("m").State)
		require.Contains(t, r.state("m").LastError, "status 404")
		loads := s.Count("load m")
		require.Equal(t, hopeful+1, loads)
		time.Sleep(time.Hour)
		require.Equal(t, loads, s.Count("load m"), "nobody wants it")
		healthy.Store(true)
		r.ok("m")
	})
}

// What a server says where the model is not there is held against what it says of the
// model; the request is sent once more where the model had gone.
func TestAModelThatTheServerHasLost(t *testing.T) {
	s := &modelstest.Server{LoadTime: time.Second}
	within(t, s, `models {name: "m"}`, func(r *rig) {
		r.ok("m")
		s.Set("m", false) // a restart
		require.Equal(t, map[int]int{200: 30}, r.many(30, infer("m")))
		require.Equal(t, 2, s.Count("load m"))
		require.Positive(t, r.house.Count(t, "friday_model_replayed_total"))
	})
}

// A request that is itself wrong gets the server's own answer.
func TestAWrongRequestIsNoSignOfALoss(t *testing.T) {
	s := &modelstest.Server{Refuse: func(what string) int {
		if what == "infer m" {
			return 400
		}
		return 0
	}}
	within(t, s, `models {name: "m"}`, func(r *rig) {
		for range 5 {
			status, answer, err := r.ask(r.t.Context(), infer("m"), "{}")
			require.Nil(t, err)
			require.Equal(t, 400, status)
			require.Equal(t, "refused\n", answer)
		}
		require.Equal(t, 1, s.Count("load m"))
		require.Zero(t, r.house.Count(t, "friday_model_replayed_total"))
	})
}

// A server that is not there yet is waited for.
func TestAServerThatIsStillStarting(t *testing.T) {
	s := &modelstest.Server{LoadTime: time.Second}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, s)
		up := time.Now().Add(5 * time.Second)
		inner := r.next
		r.next = proxy.HandlerFunc(func(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
			if time.Now().Before(up) {
				return nil, &proxy.Error{Status: 503, Flag: proxy.FlagUpstreamConnection, Unsent: true, Err: errors.New("connection refused")}
			}
			return inner.Handle(ctx, req)
		})
		r.house.Endpoints[0].Handler = r.next
		r.push(`models {name: "m" preload: true}`)
		require.Equal(t, map[int]int{200: 5}, r.many(5, infer("m")))
		require.Equal(t, 1, s.Count("load m"))
	})
}

// What is for no model of the configuration is the server's to answer.
func TestOthersPass(t *testing.T) {
	s := &modelstest.Server{}
	within(t, s, `models {name: "m"} models {name: "k"}`, func(r *rig) {
		status, _, _ := r.ask(r.t.Context(), infer("other"), "{}")
		require.Equal(t, 400, status)
		status, _, _ = r.ask(r.t.Context(), "/v2/repository/index", "{}")
		require.Equal(t, 200, status)
		require.Empty(t, s.Calls())
	})
}

// A required model is looked after also while nobody asks for it.
func TestARequiredModelIsWatched(t *testing.T) {
	s := &modelstest.Server{LoadTime: time.Second}
	within(t, s, `models {name: "m" required: true} models {name: "k" preload: true}`, func(r *rig) {
		time.Sleep(10 * time.Second)
		s.Set("m", false)
		s.Set("k", false)
		time.Sleep(watched + 2*time.Second)
		require.True(t, r.state("m").Serving)
		require.Equal(t, 2, s.Count("load m"))
		require.Equal(t, 1, s.Count("load k"), "it is asked about when somebody wants it")
	})
}

// A server that is too busy to say how it is goes on serving.
func TestABusyServerGoesOnServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &modelstest.Server{})
		var busy atomic.Bool
		r.house.Endpoints[0].Handler = proxy.HandlerFunc(func(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
			if !busy.Load() {
				return r.next.Handle(ctx, req)
			}
			<-ctx.Done()
			return nil, proxy.AsError(ctx, context.Cause(ctx))
		})
		r.push(`models {name: "m" required: true}`)
		time.Sleep(time.Second)
		busy.Store(true)
		time.Sleep(time.Minute)
		require.True(t, r.state("m").Serving)
		require.Contains(t, r.state("m").LastError, "not done within")
		r.ok("m")
	})
}

// Two replicas, one of which comes later: both have the model.
func TestReplicas(t *testing.T) {
	s, late := &modelstest.Server{}, &modelstest.Server{API: modelstest.OpenInference}
	within(t, s, `models {name: "m" preload: true}`, func(r *rig) {
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"load m"}, s.Calls())
		second := &proxy.Endpoint{Cluster: r.house.Endpoints[0].Cluster, Address: "10.0.0.2:80", Handler: modelstest.Handler(late)}
		second.Healthy.Store(true)
		r.house.SetEndpoints(append(r.house.Endpoints[:1:1], second))
		time.Sleep(2 * time.Second)
		require.Equal(t, []string{"load m"}, late.Calls())
		require.Equal(t, []string{"load m"}, s.Calls())
		require.True(t, r.state("m").Serving)
	})
}

package models

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/models/modelstest"
)

const four = `models {name: "a" bytes: 10} models {name: "b" bytes: 10} models {name: "c" bytes: 10} models {name: "d" bytes: 10}
	memory_budget_bytes: 20 min_residence {seconds: 10} hold_timeout {seconds: 300}`

// Four models, room for two, all asked for all the time: each that comes stays for its time,
// and each comes.
func TestNoThrashAndNoStarvation(t *testing.T) {
	s := &modelstest.Server{LoadTime: time.Second, Latency: 250 * ms}
	within(t, s, four, func(r *rig) {
		began := time.Now()
		done := make(chan string, 4)
		for _, m := range []string{"a", "b", "c", "d"} {
			go func() {
				for time.Since(began) < 5*time.Minute {
					r.ok(m)
				}
				done <- m
			}()
		}
		for range 4 {
			<-done
		}
		require.LessOrEqual(t, s.Most(), 2, "the budget")
		loads := 0
		for _, m := range []string{"a", "b", "c", "d"} {
			n := s.Count("load " + m)
			require.GreaterOrEqual(t, n, 8, "%s starves: %v", m, s.Calls())
			require.GreaterOrEqual(t, s.Answers(m), 200, m)
			loads += n
		}
		took := time.Since(began)
		// Two at a time, each at least for its residence and its load.
		require.LessOrEqual(t, loads, 2*int(took/(11*time.Second))+2, "thrash")
	})
}

func TestTheLeastRecentlyUsedGivesWay(t *testing.T) {
	s := &modelstest.Server{}
	within(t, s, four, func(r *rig) {
		r.ok("a")
		time.Sleep(time.Second)
		r.ok("b")
		time.Sleep(20 * time.Second)
		r.ok("a")
		r.ok("c")
		require.Equal(t, []string{"load a", "load b", "unload b", "load c"}, s.Calls())
		require.Equal(t, string(unloaded), r.state("b").State)
		require.Equal(t, 1, r.house.Count(t, "friday_model_unloads_total", "reason", "room"))
	})
}

// A model with a request in flight is not unloaded, however much it is in the way.
func TestNoneGoesWithARequestInFlight(t *testing.T) {
	s := &modelstest.Server{Latency: time.Minute}
	within(t, s, `models {name: "a" bytes: 10} models {name: "b" bytes: 10} memory_budget_bytes: 10 min_residence {seconds: 1} hold_timeout {seconds: 300}`, func(r *rig) {
		began := time.Now()
		first := make(chan time.Duration, 1)
		go func() {
			r.ok("a")
			first <- time.Since(began)
		}()
		time.Sleep(10 * time.Second)
		r.ok("b")
		require.InDelta(t, time.Minute, <-first, float64(100*ms))
		require.InDelta(t, 2*time.Minute, time.Since(began), float64(time.Second))
		require.Equal(t, []string{"load a", "unload a", "load b"}, s.Calls())
	})
}

func TestIdleModelsGo(t *testing.T) {
	s := &modelstest.Server{}
	within(t, s, `models {name: "a" idle_ttl {seconds: 5}} models {name: "b" idle_ttl {seconds: 5} required: true} models {name: "c" preload: true idle_ttl {seconds: 5}}`, func(r *rig) {
		r.ok("a")
		time.Sleep(4 * time.Second)
		r.ok("a")
		time.Sleep(4 * time.Second)
		require.Equal(t, string(ready), r.state("a").State)
		time.Sleep(2 * time.Second)
		require.Equal(t, string(unloaded), r.state("a").State)
		require.Equal(t, string(ready), r.state("b").State, "required")
		require.Equal(t, string(unloaded), r.state("c").State)
		require.Equal(t, 1, s.Count("load c"))
		r.ok("a")
		require.Equal(t, 2, s.Count("load a"))
	})
}

func TestALargerThanTheBudgetIsRefused(t *testing.T) {
	_, err := parse(text(t, `models {name: "a" bytes: 11} memory_budget_bytes: 10`))
	require.EqualError(t, err, `models[0].bytes: 11: is more than memory_budget_bytes, 10`)
}

// What is loaded ahead of demand comes in the order of priority, one after the other,
// takes nobody's place, and is warmed before it is ready.
func TestAheadOfDemand(t *testing.T) {
	s := &modelstest.Server{LoadTime: time.Second}
	within(t, s, `models {name: "a" preload: true bytes: 10} models {name: "b" preload: true priority: 5 bytes: 10}
		models {name: "c" required: true bytes: 10 warmup {path: "/v2/models/c/infer" body: "x" times: 3}} memory_budget_bytes: 20`, func(r *rig) {
		time.Sleep(500 * ms)
		require.Equal(t, []string{"load c"}, s.Calls())
		require.Equal(t, string(loading), r.state("c").State)
		require.True(t, r.state("c").Required)
		require.False(t, r.state("c").Serving)
		time.Sleep(time.Hour)
		require.Equal(t, []string{"load c", "load b"}, s.Calls())
		require.Equal(t, 3, s.Answers("c"))
		require.True(t, r.state("c").Serving)
		require.Equal(t, "waits for room", r.state("a").Detail)
		r.ok("a")
		require.Equal(t, []string{"load c", "load b", "unload b", "load a"}, s.Calls())
	})
}

// The same configuration again, and one that changes nothing of what is loaded: no call.
func TestAnUnchangedConfigurationDoesNothing(t *testing.T) {
	s := &modelstest.Server{}
	text := `models {name: "a" preload: true} models {name: "b"}`
	within(t, s, text, func(r *rig) {
		r.ok("b")
		calls := s.Calls()
		require.Len(t, calls, 2)
		for range 3 {
			r.push(text)
			r.ok("b")
		}
		r.push(`models {name: "a" preload: true idle_ttl {seconds: 3600} priority: 3} models {name: "b"} max_held_requests {value: 7}`)
		time.Sleep(time.Minute)
		require.Equal(t, calls, s.Calls())
	})
}

// A model that the configuration names no more is unloaded, and requests for it are the
// server's to answer; a filter that goes leaves everything as it is.
func TestAModelIsRemoved(t *testing.T) {
	s := &modelstest.Server{}
	within(t, s, `models {name: "a"} models {name: "b"}`, func(r *rig) {
		r.ok("a")
		r.ok("b")
		r.push(`models {name: "b"}`)
		synctest.Wait()
		require.Equal(t, []string{"load a", "load b", "unload a"}, s.Calls())
		status, _, _ := r.ask(r.t.Context(), infer("a"), "{}")
		require.Equal(t, 400, status)
		require.Zero(t, r.house.Count(t, "friday_model_state", "model", "a"))
		r.push(``)
		synctest.Wait()
		require.Len(t, s.Calls(), 3)
		status, _, _ = r.ask(r.t.Context(), infer("b"), "{}")
		require.Equal(t, 200, status)
	})
}

func TestManyModels(t *testing.T) {
	s := &modelstest.Server{}
	text := ""
	for i := range 100 {
		text += fmt.Sprintf("models {name: %q}\n", fmt.Sprint("m", i))
	}
	within(t, s, text, func(r *rig) {
		for i := range 100 {
			r.ok(fmt.Sprint("m", i))
		}
		require.Len(t, s.Calls(), 100)
	})
}

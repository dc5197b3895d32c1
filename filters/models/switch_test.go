package models

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/models/modelstest"
)

// source makes a folder that is a version of a model, as a source.
func source(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "weights"), []byte(name), 0o600))
	return "file://" + dir
}

// under asks all the time while do runs, and says how many answers of which version there
// were; none may fail.
func (r *rig) under(model string, do func()) map[string]int {
	r.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	got := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				answer := r.ok(model)
				for _, version := range []string{"1", "2", "3"} {
					if strings.Contains(answer, fmt.Sprintf(`"model_version":%q`, version)) {
						mu.Lock()
						got[version]++
						mu.Unlock()
					}
				}
				time.Sleep(50 * ms)
			}
		})
	}
	do()
	stop()
	wg.Wait()
	return got
}

func TestSwitchIsBlueGreenAndBack(t *testing.T) {
	repository, one, two := t.TempDir(), source(t, "one"), source(t, "two")
	s := &modelstest.Server{LoadTime: time.Second, Latency: 50 * ms, Repository: repository}
	config := func(version, source string) string {
		return fmt.Sprintf(`models {name: "m" version: %q source: %q preload: true warmup {path: "/v2/models/m/infer" body: "w"}} repository: %q`, version, source, repository)
	}
	within(t, s, config("1", one), func(r *rig) {
		r.ok("m")
		got := r.under("m", func() {
			time.Sleep(time.Second)
			r.push(config("2", two))
			require.Equal(t, "1", r.state("m").Version)
			time.Sleep(10 * time.Second)
			require.Equal(t, "2", r.state("m").Version)
			require.True(t, r.state("m").Serving)
			require.Contains(t, r.version("m", "1").Detail, "kept to be called back")

			calls := len(s.Calls()) // an instant return
			r.push(config("1", one))
			require.Equal(t, "1", r.state("m").Version)
			require.True(t, r.state("m").Serving)
			require.Len(t, s.Calls(), calls)
			time.Sleep(time.Second)

			r.push(config("2", two)) // and forth
			require.True(t, r.version("m", "2").Serving)
			time.Sleep(2 * time.Minute) // the old one goes
		})
		require.Positive(t, got["1"])
		require.Positive(t, got["2"])
		require.Equal(t, "gone", r.version("m", "1").State)
		require.Equal(t, "2", r.state("m").Version)
		require.NoDirExists(t, filepath.Join(repository, "m", "1"))
		require.FileExists(t, filepath.Join(repository, "m", "2", "weights"))

		got = r.under("m", func() { // by one command, later
			r.push(config("1", one))
			time.Sleep(5 * time.Second)
			require.True(t, r.version("m", "1").Serving)
		})
		require.Positive(t, got["1"])
	})
}

// A new version that does not stand its warm-up never serves, and the state says why.
func TestAWarmUpThatFails(t *testing.T) {
	repository, one, two := t.TempDir(), source(t, "one"), source(t, "two")
	s := &modelstest.Server{Repository: repository, Refuse: func(what string) int {
		if what == "infer m/2" {
			return 500
		}
		return 0
	}}
	config := func(version, source string) string {
		return fmt.Sprintf(`models {name: "m" version: %q source: %q warmup {path: "/v2/models/m/infer" body: "w"}} repository: %q`, version, source, repository)
	}
	within(t, s, config("1", one), func(r *rig) {
		r.ok("m")
		got := r.under("m", func() {
			r.push(config("2", two))
			time.Sleep(time.Minute)
		})
		require.Len(t, got, 1)
		require.Positive(t, got["1"])
		require.True(t, r.version("m", "1").Serving)
		require.Contains(t, r.version("m", "2").LastError, `warmup[0]: POST /v2/models/m/versions/2/infer: status 500`)
		require.Greater(t, r.version("m", "2").Attempts, 3)
		r.push(config("1", one)) // taken back
		time.Sleep(time.Minute)
		require.Equal(t, "gone", r.version("m", "2").State)
		require.True(t, r.version("m", "1").Serving)
	})
}

// Where the server cannot hold both, callers wait while they are exchanged.
func TestExchangeWhereThereIsNoRoom(t *testing.T) {
	for name, c := range map[string]struct {
		server *modelstest.Server
		more   string
		path   string
	}{
		"a server without versions": {&modelstest.Server{API: modelstest.VLLM, LoadTime: time.Second}, "", "/v1/chat/completions"},
		"no memory":                 {&modelstest.Server{LoadTime: time.Second, Repository: t.TempDir()}, "memory_budget_bytes: 10", infer("m")},
	} {
		t.Run(name, func(t *testing.T) {
			repository := c.server.Repository
			if repository == "" {
				repository = t.TempDir()
			}
			one, two := source(t, "one"), source(t, "two")
			config := func(version, source string) string {
				return fmt.Sprintf(`models {name: "m" version: %q source: %q bytes: 10} repository: %q %s`, version, source, repository, c.more)
			}
			others := 0
			if c.server.API == modelstest.VLLM {
				c.server.Set("base", true) // awake
				others = 1
			}
			within(t, c.server, config("1", one), func(r *rig) {
				ask := func() int {
					status, _, _ := r.ask(r.t.Context(), c.path, `{"model":"m"}`)
					return status
				}
				require.Equal(t, 200, ask())
				var wg sync.WaitGroup
				var asked atomic.Int32
				ctx, stop := context.WithCancel(context.Background())
				for range 4 {
					wg.Go(func() {
						for ctx.Err() == nil {
							require.Equal(t, 200, ask())
							asked.Add(1)
							time.Sleep(10 * ms)
						}
					})
				}
				time.Sleep(time.Second)
				r.push(config("2", two))
				time.Sleep(5 * time.Second)
				stop()
				wg.Wait()
				require.True(t, r.version("m", "2").Serving)
				require.Equal(t, "gone", r.version("m", "1").State)
				require.Equal(t, []string{"load m", "unload m", "load m"}, c.server.Calls())
				require.Equal(t, 1+others, c.server.Most())
				require.Greater(t, asked.Load(), int32(100))
			})
		})
	}
}

// What was known before a restart counts: a model that is ready is not warmed again, and
// one that is another version than is wanted is exchanged.
func TestARestartKnows(t *testing.T) {
	state := t.TempDir()
	s := &modelstest.Server{API: modelstest.VLLM}
	s.Set("base", true) // awake
	one, two, repository := source(t, "one"), source(t, "two"), t.TempDir()
	config := func(source string) string {
		return fmt.Sprintf(`models {name: "m" version: "x" source: %q preload: true warmup {path: "/v1/chat/completions" body: "{\"model\":\"m\"}"}} repository: %q`, source, repository)
	}
	life := func(source string) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, s)
			r.house.StateDir = state
			r.push(config(source))
			time.Sleep(10 * time.Second)
			require.True(t, r.state("m").Serving, "%+v", r.state("m"))
		})
	}
	life(one)
	require.Equal(t, []string{"load m"}, s.Calls())
	require.Equal(t, 1, s.Answers("m"))
	life(one)
	require.Equal(t, []string{"load m"}, s.Calls())
	require.Equal(t, 1, s.Answers("m"), "it was warm")
	life(two)
	require.Equal(t, []string{"load m", "unload m", "load m"}, s.Calls())
	require.Equal(t, 2, s.Answers("m"))
}

// Real requests warm the next version up.
func TestRecordedRequestsWarmUp(t *testing.T) {
	repository, one, two := t.TempDir(), source(t, "one"), source(t, "two")
	s := &modelstest.Server{Repository: repository}
	config := func(version, source string) string {
		return fmt.Sprintf(`models {name: "m" version: %q source: %q record_warmup: 3} repository: %q`, version, source, repository)
	}
	within(t, s, config("1", one), func(r *rig) {
		for range 5 {
			r.ok("m")
			time.Sleep(2 * time.Second)
		}
		require.Equal(t, 5, s.Answers("m"))
		r.push(config("2", two))
		time.Sleep(time.Second)
		require.True(t, r.version("m", "2").Serving)
		require.Equal(t, 8, s.Answers("m"), "three were sent again")
	})
}

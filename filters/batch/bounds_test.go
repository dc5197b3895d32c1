package batch_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

// TestQueueIsBounded over all groups of a cluster and configuration.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "max_queued_items {value: 4}", filtertest.NewServer(8, 10*time.Millisecond, 0))
		var wg sync.WaitGroup
		send := func(path string, items int) {
			wg.Go(func() { require.NoError(t, call(t.Context(), d, filtertest.Request(path, instances("a", items))).err) })
			time.Sleep(time.Microsecond)
		}
		other := "/v1/models/other:predict"
		send(predictPath, 8) // no more than it may be: it does not wait
		send(other, 1)
		send(predictPath, 2)
		send(other, 2)
		start := time.Now()
		for _, path := range []string{predictPath, other} {
			r := call(t.Context(), d, filtertest.Request(path, instances("a", 1)))
			var pe *proxy.Error
			require.ErrorAs(t, r.err, &pe)
			require.Equal(t, 503, pe.Status)
			require.Equal(t, proxy.FlagOverflow, pe.Flag)
			require.Equal(t, "batch queue is full", pe.Message)
			require.Equal(t, time.Second, pe.RetryAfter)
		}
		require.Zero(t, time.Since(start))
		send("/v1/models/third:predict", 1) // a free slot needs no queue
		wg.Wait()
		send(predictPath, 1)
		wg.Wait()
	})
}

// TestPrefixThatFits: a call never holds more than max_batch_size, and nobody is
// overtaken.
func TestPrefixThatFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "max_queue_delay {}", filtertest.NewServer(1, 10*time.Millisecond, 0))
		var requests []*proxy.Request
		for i := range 4 {
			requests = append(requests, filtertest.Request(predictPath, instances(fmt.Sprint(i), 20)))
		}
		requests = append(requests, filtertest.Request(predictPath, instances("small", 12)))
		for i, r := range d.together(requests...) {
			require.NoError(t, r.err)
			if i < 4 {
				require.Equal(t, echoes(fmt.Sprint(i), 20), r.body)
			}
		}
		require.Equal(t, []int{20, 20, 20, 32}, sizes(d.after()))
	})
}

func TestOversize(t *testing.T) {
	for _, test := range []struct {
		name, config string
		want         []int
	}{
		{"split", "max_batch_size {value: 8}", []int{8, 8, 4}},
		{"split in parallel", "max_batch_size {value: 8} max_in_flight {value: 3}", []int{8, 8, 4}},
		{"pass through", "max_batch_size {value: 8} oversize: PASS_THROUGH", []int{20}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, test.config, filtertest.NewServer(3, 10*time.Millisecond, 0))
				start := time.Now()
				r := call(t.Context(), d, filtertest.Request(predictPath, instances("a", 20), "x-friday-debug", "1"))
				require.NoError(t, r.err)
				require.Equal(t, 200, r.status)
				require.Equal(t, echoes("a", 20), r.body)
				require.Equal(t, fmt.Sprint(test.want[0]), r.header["x-friday-batch-size"])
				require.Equal(t, len(test.want), r.req.Trace.Attempts)
				require.ElementsMatch(t, test.want, sizes(d.server.Calls()))
				if strings.Contains(test.name, "parallel") {
					require.Equal(t, 10*time.Millisecond, time.Since(start))
				}
				if test.name == "pass through" {
					require.Equal(t, instances("a", 20), d.server.Calls()[0].Body)
				}
			})
		})
	}
}

// TestPiecesShareCalls with others.
func TestPiecesShareCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "max_batch_size {value: 8} max_queue_delay {}", filtertest.NewServer(1, 10*time.Millisecond, 0))
		results := d.together(
			filtertest.Request(predictPath, instances("big", 12)),
			filtertest.Request(predictPath, instances("a", 4)),
			filtertest.Request(predictPath, instances("b", 4)),
		)
		for i, want := range []string{echoes("big", 12), echoes("a", 4), echoes("b", 4)} {
			require.NoError(t, results[i].err)
			require.Equal(t, want, results[i].body)
		}
		require.Equal(t, []int{8, 8, 4}, sizes(d.after()))
	})
}

// TestPiecesThatRepeatTooMuch: where nearly all of a long body is not items, it is
// sent whole; its pieces would be many times as long.
func TestPiecesThatRepeatTooMuch(t *testing.T) {
	d := newDoor(t, "", filtertest.NewServer(1, 0, 0))
	many := `"input":["a"` + strings.Repeat(`,"a"`, 4095) + `]}`
	for _, test := range []struct {
		options string
		calls   int
	}{
		{strings.Repeat("u", 2<<20), 1},
		{strings.Repeat("u", 9000), 1}, // 128 pieces: 1.1 MiB
		{strings.Repeat("u", 8000), 128},
	} {
		before := len(d.server.Calls())
		body := `{"model":"m","user":"` + test.options + `",` + many
		r := call(t.Context(), d, filtertest.Request(embedPath, body))
		require.NoError(t, r.err)
		require.Equal(t, 200, r.status)
		calls := d.server.Calls()[before:]
		require.Len(t, calls, test.calls)
		if test.calls == 1 {
			require.Equal(t, body, calls[0].Body)
		}
	}
	require.Equal(t, 2, d.house.Count(t, "friday_batch_dispatch_total", "reason", "oversize"))
}

// TestPiecesAreMadeWhenSent, not all at once.
func TestPiecesAreMadeWhenSent(t *testing.T) {
	d := newDoor(t, "max_batch_size {value: 8}", filtertest.NewServer(1, 0, 0))
	h := chain(t, d.house, "max_batch_size {value: 8}", proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
		return filtertest.Answer(429, "text/plain", "slow down"), nil
	}))
	item := `"` + strings.Repeat("x", 4096) + `"`
	req := filtertest.Request(embedPath, `{"input":[`+item+strings.Repeat(","+item, 3000)+`]}`) // 12 MB
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	require.Equal(t, 429, call(t.Context(), h, req).status)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20))
}

// TestPieceFails: the whole request is sent as it came, and its answer counts.
func TestPieceFails(t *testing.T) {
	t.Run("the whole fails too", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDoor(t, "max_batch_size {value: 8}", filtertest.NewServer(1, 10*time.Millisecond, 0))
			d.server.Before = func(_ context.Context, c filtertest.Call) (*proxy.Response, error) {
				if strings.Contains(c.Body, `"a-9"`) {
					return filtertest.Answer(400, "text/plain", fmt.Sprint(len(c.Items))), nil
				}
				return nil, nil //nolint:nilnil // as ever
			}
			r := call(t.Context(), d, filtertest.Request(predictPath, instances("a", 20)))
			require.Equal(t, 400, r.status)
			require.Equal(t, "20", r.body)
			require.Equal(t, []int{8, 8, 20}, sizes(d.server.Calls()))
			require.Equal(t, instances("a", 20), d.server.Calls()[2].Body)
		})
	})
	t.Run("the whole is well", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDoor(t, "max_batch_size {value: 8}", filtertest.NewServer(1, 10*time.Millisecond, 0))
			d.server.Before = func(_ context.Context, c filtertest.Call) (*proxy.Response, error) {
				if len(c.Items) != 20 {
					return filtertest.Answer(200, "application/json", `{"predictions":[]}`), nil
				}
				return nil, nil //nolint:nilnil // as ever
			}
			r := call(t.Context(), d, filtertest.Request(predictPath, instances("a", 20)))
			require.Equal(t, echoes("a", 20), r.body)
			require.Equal(t, []int{8, 20}, sizes(d.server.Calls()))
		})
	})
	t.Run("it is not about the items", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDoor(t, "max_batch_size {value: 8}", filtertest.NewServer(1, 10*time.Millisecond, 0))
			d.server.Before = func(context.Context, filtertest.Call) (*proxy.Response, error) {
				return filtertest.Answer(429, "text/plain", "slow down"), nil
			}
			r := call(t.Context(), d, filtertest.Request(predictPath, instances("a", 20)))
			require.Equal(t, 429, r.status)
			require.Equal(t, "slow down", r.body)
			require.Len(t, d.server.Calls(), 1)
		})
	})
	t.Run("a panic", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDoor(t, "max_batch_size {value: 8}", filtertest.NewServer(1, 10*time.Millisecond, 0))
			d.server.Before = func(context.Context, filtertest.Call) (*proxy.Response, error) { panic("boom") }
			r := call(t.Context(), recovering(d), filtertest.Request(predictPath, instances("a", 20)))
			require.ErrorContains(t, r.err, "panic: boom")
			require.Len(t, d.server.Calls(), 2)
		})
	})
	t.Run("the caller leaves", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDoor(t, "max_batch_size {value: 8} max_in_flight {value: 2}", filtertest.NewServer(4, 10*time.Millisecond, 0))
			ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Millisecond, proxy.ErrCallerGone)
			defer cancel()
			start := time.Now()
			req := filtertest.Request(predictPath, instances("a", 40))
			r := call(ctx, d, req)
			filtertest.Spoil(req)
			require.ErrorIs(t, r.err, proxy.ErrCallerGone)
			require.Equal(t, 5*time.Millisecond, time.Since(start))
			synctest.Wait()
			require.Len(t, d.server.Calls(), 2, "the others were never sent")
			require.NoError(t, call(t.Context(), d, filtertest.Request(predictPath, instances("a", 1))).err)
		})
	})
}

// TestConfigChangeLosesNobody: new requests form new groups, old ones drain.
func TestConfigChangeLosesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "max_queue_delay {}", filtertest.NewServer(2, 10*time.Millisecond, 0))
		var wg sync.WaitGroup
		results := make([]result, 9)
		send := func(h proxy.Handler, i int) {
			wg.Go(func() {
				results[i] = call(t.Context(), h, filtertest.Request(predictPath, instances(fmt.Sprint(i), 1)))
			})
			time.Sleep(time.Microsecond)
		}
		for i := range 4 {
			send(d, i) // one in flight, three wait
		}
		same := chain(t, d.house, "max_queue_delay {}", d.server)
		send(same, 4) // an equal configuration: one more waits
		changed := chain(t, d.house, "max_queue_delay {} max_batch_size {value: 2}", d.server)
		for i := 5; i < 9; i++ {
			send(changed, i)
		}
		wg.Wait()
		for i, r := range results {
			require.NoError(t, r.err)
			require.Equal(t, echoes(fmt.Sprint(i), 1), r.body)
		}
		items := 0
		for _, c := range d.server.Calls() {
			items += len(c.Items)
			if strings.Contains(c.Body, `"5-`) || strings.Contains(c.Body, `"8-`) {
				require.LessOrEqual(t, len(c.Items), 2, "under the new configuration")
			}
		}
		require.Equal(t, 9, items)
		require.Less(t, len(d.server.Calls()), 6)
	})
}

// TestManyGroups: what a caller makes up is bounded and forgotten.
func TestManyGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", filtertest.NewServer(1, time.Millisecond, 0))
		for i := range 3000 {
			path := fmt.Sprintf("/v1/models/m%d:predict?q=%d", i, i)
			require.NoError(t, call(t.Context(), d, filtertest.Request(path, instances("a", 1))).err)
		}
		for _, path := range []string{"/v1/models/%ff:predict", "/v1/models/" + strings.Repeat("x", 1000) + ":predict"} {
			call(t.Context(), d, filtertest.Request(path, instances("a", 1)))
		}
		require.Equal(t, 100, families(t, d.house)-1, "and other")
		require.Equal(t, len(d.server.Calls()), d.house.Count(t, "friday_batch_size", "cluster", filtertest.Cluster))
	})
}

// families counts the models that have a label of their own.
func families(t *testing.T, house *filtertest.House) int {
	t.Helper()
	all, err := house.Registry.Gather()
	require.NoError(t, err)
	for _, f := range all {
		if f.GetName() == "friday_batch_size" {
			return len(f.GetMetric())
		}
	}
	return 0
}

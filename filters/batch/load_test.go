package batch_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

// closedLoop has so many callers, each of which calls again as soon as it is
// answered, for two seconds of virtual time, and returns answers per second.
func closedLoop(t *testing.T, h proxy.Handler, callers int, pause time.Duration) float64 {
	t.Helper()
	const span = 2 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), span)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	answers := 0
	for c := range callers {
		wg.Go(func() {
			name := fmt.Sprintf("c%d", c)
			for ctx.Err() == nil {
				r := call(ctx, h, filtertest.Request(predictPath, instances(name, 1)))
				if ctx.Err() != nil {
					return
				}
				require.NoError(t, r.err)
				require.Equal(t, echoes(name, 1), r.body)
				mu.Lock()
				answers++
				mu.Unlock()
				time.Sleep(pause)
			}
		})
	}
	wg.Wait()
	return float64(answers) / span.Seconds()
}

// TestClosedLoop is what the linger is for: a server that takes one call at a time,
// 10 ms and 0.5 ms an item.
func TestClosedLoop(t *testing.T) {
	const single = 1 / 0.0105
	for _, test := range []struct {
		callers int
		config  string
		pause   time.Duration
		least   float64 // times what single calls reach
		most    float64 // the optimum: a full call every time
	}{
		{callers: 1, least: .997, most: 1},
		{callers: 1, pause: 200 * time.Microsecond, least: .97, most: 1},
		{callers: 8, least: 5.3, most: 8 / 0.014 / single},
		{callers: 8, pause: 200 * time.Microsecond, least: 5.3, most: 8 / 0.014 / single},
		{callers: 64, least: 12, most: 32 / 0.026 / single},
		{callers: 64, pause: 200 * time.Microsecond, least: 12, most: 32 / 0.026 / single},
		{callers: 64, config: "max_batch_size {value: 64}", pause: 200 * time.Microsecond, least: 14, most: 64 / 0.042 / single},
	} {
		t.Run(fmt.Sprintf("%d callers %v %s", test.callers, test.pause, test.config), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, test.config, filtertest.NewServer(1, 10*time.Millisecond, 500*time.Microsecond))
				times := closedLoop(t, d, test.callers, test.pause) / single
				t.Logf("%.2f times single calls, at most %.2f possible", times, test.most)
				require.GreaterOrEqual(t, times, test.least)
				require.LessOrEqual(t, times, test.most*1.001)
			})
		})
	}
}

// TestInParallel: several endpoints, or a server that takes several calls, work at
// the same time.
func TestInParallel(t *testing.T) {
	const single = 1 / 0.0105
	t.Run("max_in_flight", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDoor(t, "max_in_flight {value: 4}", filtertest.NewServer(4, 10*time.Millisecond, 500*time.Microsecond))
			require.Greater(t, closedLoop(t, d, 64, 100*time.Microsecond)/single, 26.0)
		})
	})
	t.Run("endpoints", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			house := filtertest.NewHouse(t, 4)
			house.Endpoints[3].Healthy.Store(false)
			server := filtertest.NewServer(3, 10*time.Millisecond, 500*time.Microsecond)
			h := chain(t, house, "", server)
			require.Greater(t, closedLoop(t, h, 48, 100*time.Microsecond)/single, 20.0)
			per := map[string]int{}
			for _, c := range server.Calls() {
				per[c.Endpoint]++
			}
			require.Len(t, per, 3, "the healthy ones")
			for ep, n := range per {
				require.Greater(t, n, len(server.Calls())/6, ep)
			}
		})
	})
}

// TestNoHealthyEndpoint: the cluster is asked and says what is to say.
func TestNoHealthyEndpoint(t *testing.T) {
	house := filtertest.NewHouse(t, 1)
	house.Endpoints[0].Healthy.Store(false)
	h := chain(t, house, "", proxy.HandlerFunc(func(_ context.Context, req *proxy.Request) (*proxy.Response, error) {
		require.Nil(t, req.Endpoint)
		return nil, &proxy.Error{Status: 503, Flag: proxy.FlagNoHealthyUpstream}
	}))
	r := call(t.Context(), h, filtertest.Request(predictPath, instances("a", 1)))
	require.ErrorContains(t, r.err, "503 UH")
}

// TestOpenLoop: sparse arrivals that never come back wait for nobody.
func TestOpenLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", filtertest.NewServer(1, 10*time.Millisecond, 0))
		for range 50 {
			r := call(t.Context(), d, filtertest.Request(predictPath, instances("a", 1)))
			require.NoError(t, r.err)
			require.Zero(t, r.req.Trace.Queued)
			time.Sleep(time.Millisecond)
		}
		require.Equal(t, 50, d.house.Count(t, "friday_batch_dispatch_total", "reason", "idle"))
		require.Equal(t, 50, d.house.Count(t, "friday_batch_size", "model", "m"))
		require.Equal(t, 50, d.house.Count(t, "friday_batch_wait_seconds", "model", "m"))
		require.Zero(t, d.house.Count(t, "friday_batch_queued_items"))
	})
}

// TestLearnsTheCostModel through the metrics.
func TestLearnsTheCostModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", filtertest.NewServer(1, 10*time.Millisecond, 500*time.Microsecond))
		for n := range 20 {
			require.NoError(t, call(t.Context(), d, filtertest.Request(predictPath, instances("a", n+1))).err)
		}
		require.InDelta(t, 0.010, d.house.Metric(t, "friday_batch_model_seconds", "term", "a"), 1e-6)
		require.InDelta(t, 0.0005, d.house.Metric(t, "friday_batch_model_seconds", "term", "b"), 1e-6)
	})
}

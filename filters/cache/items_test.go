package cache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

func TestAKnownItemIsNotAskedForAgain(t *testing.T) {
	for _, test := range []struct{ name, config, path, first, second string }{
		{"openai", "", embedPath, `{"model":"e","input":"one"}`, `{"input":"one", "model":"e"}`},
		{"openai token ids", "", embedPath, `{"model":"e","input":[[1,2],[3]]}`, `{"model":"e","input":[[1,2],[3]]}`},
		{"kserve v1", "protocols: KSERVE_V1", predictPath, `{"instances":[1.0,2]}`, `{"instances":[1.0,2]}`},
		{
			"open inference", "protocols: OPEN_INFERENCE", inferPath,
			`{"id":"1","inputs":[{"name":"a","shape":[2,1],"datatype":"FP32","data":[1.0,2]}]}`,
			`{"id":"1","inputs":[{"name":"a","shape":[2,1],"datatype":"FP32","data":[1.0,2]}]}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDoor(t, test.config, filtertest.NewServer(1, 0, 0))
			first := d.ask(t, test.path, test.first)
			require.Equal(t, "miss", first.header["x-friday-cache"])
			require.NotContains(t, first.header, "age")
			second := d.ask(t, test.path, test.second)
			require.Equal(t, "hit", second.header["x-friday-cache"])
			require.Equal(t, "0", second.header["age"])
			require.Equal(t, first.body, second.body)
			require.Equal(t, first.header["content-type"], second.header["content-type"])
			require.Len(t, d.server.Calls(), 1)
			require.Equal(t, 1, d.lookups(t, "hit"))
			require.Equal(t, 1, d.lookups(t, "miss"))
		})
	}
}

func TestTheIDIsTheCallersOwn(t *testing.T) {
	d := newDoor(t, "protocols: OPEN_INFERENCE", filtertest.NewServer(1, 0, 0))
	body := func(id string) string {
		return fmt.Sprintf(`{%s"inputs":[{"name":"a","shape":[1,1],"datatype":"FP32","data":[1]}]}`, id)
	}
	d.ask(t, inferPath, body(`"id":"a",`))
	got := d.ask(t, inferPath, body(`"id":"b",`))
	require.Equal(t, "hit", got.header["x-friday-cache"])
	require.Contains(t, got.body, `"id":"b"`)
	got = d.ask(t, inferPath, body(``))
	require.Equal(t, "miss", got.header["x-friday-cache"], "who brings no id does not get somebody's")
	require.NotContains(t, got.body, `"id":"a"`)
}

func TestTheRestIsAskedFor(t *testing.T) {
	d := newDoor(t, "", filtertest.NewServer(1, 0, 0))
	known := []string{"a", "bb", "ccc", "dddd", "eeeee", "ffffff", "ggggggg"}
	d.ask(t, embedPath, texts(known...))
	mixed := texts("x", "a", "bb", "ccc", "yy", "dddd", "eeeee", "ffffff", "zzz", "ggggggg")
	got := d.ask(t, embedPath, mixed)
	require.Equal(t, "partial", got.header["x-friday-cache"])
	calls := d.server.Calls()
	require.Len(t, calls, 2)
	require.Equal(t, []string{`"x"`, `"yy"`, `"zzz"`}, calls[1].Items)
	want := call(t.Context(), filtertest.NewServer(1, 0, 0), filtertest.Request(embedPath, mixed))
	require.JSONEq(t, want.body, got.body, "in order, numbered through, usage summed")
	again := d.ask(t, embedPath, mixed)
	require.Equal(t, "hit", again.header["x-friday-cache"])
	require.Equal(t, got.body, again.body)
	require.Equal(t, 7+10, d.house.Count(t, "friday_cache_items_total", "result", "hit"))
	require.Equal(t, 7+3, d.house.Count(t, "friday_cache_items_total", "result", "miss"))
}

func TestAnItemTwiceInARequestIsAskedForOnce(t *testing.T) {
	d := newDoor(t, "", filtertest.NewServer(1, 0, 0))
	body := texts("a", "b", "a")
	got := d.ask(t, embedPath, body)
	require.Equal(t, []string{`"a"`, `"b"`}, d.server.Calls()[0].Items)
	want := call(t.Context(), filtertest.NewServer(1, 0, 0), filtertest.Request(embedPath, body))
	require.JSONEq(t, want.body, got.body)
}

func TestEqualCallsAreOne(t *testing.T) {
	for _, body := range []string{texts("a"), texts("a", "b", "c"), `{"model":"e","input":"a"}`} {
		synctest.Test(t, func(t *testing.T) {
			d := newDoor(t, "", filtertest.NewServer(1, time.Second, 0))
			results := all(t.Context(), d, 1000, func() *proxy.Request { return filtertest.Request(embedPath, body) })
			for _, r := range results {
				require.NoError(t, r.err)
				require.Equal(t, results[0].body, r.body)
			}
			require.Len(t, d.server.Calls(), 1)
			require.Equal(t, 999, d.lookups(t, "coalesced"))
			require.Equal(t, 1, d.lookups(t, "miss"))
		})
	}
}

func TestOverlappingCallsShareWhatTheyHaveInCommon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", filtertest.NewServer(8, time.Second, 0))
		requests := []string{texts("a", "b"), texts("b", "c"), texts("c", "a", "d"), texts("d")}
		results := make([]chan result, len(requests))
		for i, body := range requests {
			results[i] = make(chan result, 1)
			go func() { results[i] <- call(t.Context(), d, filtertest.Request(embedPath, body)) }()
			synctest.Wait()
		}
		for i, body := range requests {
			want := call(t.Context(), filtertest.NewServer(1, 0, 0), filtertest.Request(embedPath, body))
			require.JSONEq(t, want.body, (<-results[i]).body)
		}
		items := 0
		for _, c := range d.server.Calls() {
			items += len(c.Items)
		}
		require.Equal(t, 4, items, "each once")
	})
}

// A leader that leaves hands over.
func TestTheLeaderLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", filtertest.NewServer(1, time.Second, 0))
		ctx, leave := context.WithCancelCause(t.Context())
		led := make(chan result, 1)
		go func() { led <- call(ctx, d, filtertest.Request(embedPath, texts("a"))) }()
		synctest.Wait()
		waiting := make(chan []result, 1)
		go func() {
			waiting <- all(t.Context(), d, 999, func() *proxy.Request { return filtertest.Request(embedPath, texts("a")) })
		}()
		synctest.Wait()
		leave(proxy.ErrCallerGone)
		require.ErrorIs(t, (<-led).err, proxy.ErrCallerGone)
		for _, r := range <-waiting {
			require.NoError(t, r.err)
			require.Equal(t, 200, r.status)
		}
		require.Len(t, d.server.Calls(), 1)
	})
}

// When all have left, the call is cancelled, and whoever comes then begins anew.
func TestAllLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun, cancelled atomic.Int32
		d := over(t, "", func(ctx context.Context, _ *proxy.Request) (*proxy.Response, error) {
			begun.Add(1)
			<-ctx.Done()
			cancelled.Add(1)
			return nil, context.Cause(ctx)
		})
		for range 2 {
			ctx, leave := context.WithCancelCause(t.Context())
			gone := make(chan []result, 1)
			go func() {
				gone <- all(ctx, d, 10, func() *proxy.Request { return filtertest.Request(embedPath, texts("a")) })
			}()
			synctest.Wait()
			leave(proxy.ErrCallerGone)
			for _, r := range <-gone {
				require.ErrorIs(t, r.err, proxy.ErrCallerGone)
			}
			synctest.Wait()
		}
		require.EqualValues(t, 2, begun.Load())
		require.EqualValues(t, 2, cancelled.Load())
	})
}

func TestFailuresAreSharedAndNotKept(t *testing.T) {
	for name, fail := range map[string]func() (*proxy.Response, error){
		"status":  func() (*proxy.Response, error) { return answer(500, `{"error":"boom"}`), nil },
		"refused": func() (*proxy.Response, error) { return answer(400, `{"error":"no"}`), nil },
		"no answer": func() (*proxy.Response, error) {
			return nil, &proxy.Error{Status: 503, Flag: proxy.FlagUpstreamConnection, Message: "connect"}
		},
		"panic": func() (*proxy.Response, error) { panic("a bug") },
		"cut short": func() (*proxy.Response, error) {
			return events(&stream{events: []string{"{"}, end: errors.New("reset")}), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int32
				good := filtertest.NewServer(1, 0, 0)
				failing := true
				d := over(t, "", func(ctx context.Context, r *proxy.Request) (*proxy.Response, error) {
					calls.Add(1)
					if !failing {
						return good.Handle(ctx, r)
					}
					time.Sleep(time.Second)
					return fail()
				})
				results := all(t.Context(), d, 100, func() *proxy.Request { return filtertest.Request(embedPath, texts("a", "b")) })
				for _, r := range results {
					require.Equal(t, results[0].status, r.status)
					require.Equal(t, results[0].body, r.body)
					require.Equal(t, results[0].err == nil, r.err == nil)
					require.NotEqual(t, 200, r.status)
				}
				require.EqualValues(t, 1, calls.Load())
				failing = false
				require.Equal(t, "miss", d.ask(t, embedPath, texts("a", "b")).header["x-friday-cache"])
			})
		})
	}
}

// A bad item harms nobody who did not ask for it.
func TestABadItemHarmsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := filtertest.NewServer(8, time.Second, 0)
		server.Before = func(_ context.Context, c filtertest.Call) (*proxy.Response, error) {
			if slices.Contains(c.Items, `"bad"`) {
				return answer(400, `{"error":"bad item"}`), nil
			}
			return nil, nil
		}
		d := newDoor(t, "", server)
		led := make(chan result, 1)
		go func() { led <- call(t.Context(), d, filtertest.Request(embedPath, texts("bad", "a"))) }()
		synctest.Wait()
		got := call(t.Context(), d, filtertest.Request(embedPath, texts("a", "b")))
		require.Equal(t, 200, got.status)
		require.Equal(t, 400, (<-led).status)
		d.ask(t, embedPath, texts("c"))
		require.Equal(t, 400, d.ask(t, embedPath, texts("c", "bad")).status, "the answer to the whole")
		require.Equal(t, []string{`"c"`, `"bad"`}, server.Calls()[len(server.Calls())-1].Items)
	})
}

func TestATTLPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "ttl {seconds: 60}", filtertest.NewServer(1, 0, 0))
		d.ask(t, embedPath, texts("a"))
		time.Sleep(59 * time.Second)
		got := d.ask(t, embedPath, texts("a"))
		require.Equal(t, "hit", got.header["x-friday-cache"])
		require.Equal(t, "59", got.header["age"])
		time.Sleep(time.Second)
		require.Equal(t, "miss", d.ask(t, embedPath, texts("a")).header["x-friday-cache"])
	})
}

func TestStaleIfError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := filtertest.NewServer(1, 0, 0)
		d := newDoor(t, "ttl {seconds: 60} stale_if_error {seconds: 60}", server)
		good := d.ask(t, embedPath, texts("a", "b"))
		time.Sleep(90 * time.Second)
		server.Before = func(context.Context, filtertest.Call) (*proxy.Response, error) { return answer(503, "{}"), nil }
		got := d.ask(t, embedPath, texts("a", "b"))
		require.Equal(t, "stale", got.header["x-friday-cache"])
		require.Equal(t, "90", got.header["age"])
		require.Equal(t, good.body, got.body)
		require.Equal(t, 503, d.ask(t, embedPath, texts("a", "c")).status)
		time.Sleep(30 * time.Second)
		require.Equal(t, 503, d.ask(t, embedPath, texts("a", "b")).status)
	})
}

func TestWithoutCoalescing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "coalesce {value: false}", filtertest.NewServer(8, time.Second, 0))
		all(t.Context(), d, 8, func() *proxy.Request { return filtertest.Request(embedPath, texts("a")) })
		require.Len(t, d.server.Calls(), 8)
		require.Equal(t, "hit", d.ask(t, embedPath, texts("a")).header["x-friday-cache"])
	})
}

func TestPurge(t *testing.T) {
	d := newDoor(t, "", filtertest.NewServer(1, 0, 0))
	other := `{"model":"f","input":["a"]}`
	d.ask(t, embedPath, texts("a", "b"))
	d.ask(t, embedPath, other)
	require.Positive(t, d.house.Metric(t, "friday_cache_bytes"))
	require.Equal(t, 2, d.purge(t, "e"))
	require.Equal(t, "hit", d.ask(t, embedPath, other).header["x-friday-cache"])
	require.Equal(t, "miss", d.ask(t, embedPath, texts("a", "b")).header["x-friday-cache"])
	require.Equal(t, 3, d.purge(t, ""))
	require.Zero(t, d.house.Metric(t, "friday_cache_bytes"))
}

// What is being computed while its model is purged is not kept.
func TestPurgeInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", filtertest.NewServer(1, time.Second, 0))
		led := make(chan result, 1)
		go func() { led <- call(t.Context(), d, filtertest.Request(embedPath, texts("a"))) }()
		synctest.Wait()
		require.Zero(t, d.purge(t, "e"))
		require.Equal(t, 200, (<-led).status)
		require.Equal(t, "miss", d.ask(t, embedPath, texts("a")).header["x-friday-cache"])
	})
}

func (d *door) purge(t testing.TB, model string) int {
	t.Helper()
	kept, err := d.house.Env().Keep("friday.filters.http.cache 67108864", nil)
	require.NoError(t, err)
	return kept.(interface{ Purge(string) int }).Purge(model)
}

// What is kept stays within its bytes.
func TestBound(t *testing.T) {
	d := newDoor(t, "max_bytes {value: 65536}", filtertest.NewServer(1, 0, 0))
	for i := range 2000 {
		d.ask(t, embedPath, texts(fmt.Sprint(i)))
		require.LessOrEqual(t, d.house.Metric(t, "friday_cache_bytes"), 65536*1.1)
	}
	require.Positive(t, d.house.Metric(t, "friday_cache_evictions_total"))
}

// The memory that is held stays within max_bytes and a tenth, whatever the sizes, with many
// at once; and what is read for joining counts.
func TestMemory(t *testing.T) {
	const most, callers = 4 << 20, 16
	for _, n := range []int{16, 384} {
		text := embedding(n)
		d := over(t, fmt.Sprintf("max_bytes {value: %d}", most), func(context.Context, *proxy.Request) (*proxy.Response, error) {
			return answer(200, text), nil
		})
		d.ask(t, embedPath, texts("warm"))
		before := heap()
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				for i := range most * 5 / 4 / (len(text) + 400) / callers {
					call(t.Context(), d, filtertest.Request(embedPath, texts(fmt.Sprint(c, " ", i))))
					// Twice what came before, so that it is joined.
					call(t.Context(), d, filtertest.Request(embedPath, texts(fmt.Sprint(c, " ", i), fmt.Sprint(c, " ", i-1))))
				}
			})
		}
		wg.Wait()
		held := heap() - before
		t.Logf("answers of %d bytes: %.1f MiB held, %.1f counted, of %d", len(text), float64(held)/(1<<20), d.house.Metric(t, "friday_cache_bytes")/(1<<20), most>>20)
		require.LessOrEqual(t, d.house.Metric(t, "friday_cache_bytes"), most*1.1)
		require.Greater(t, d.house.Metric(t, "friday_cache_bytes"), most*0.8, "it is full, or nearly")
		require.LessOrEqual(t, float64(held), most*1.1)
		runtime.KeepAlive(d)
	}
}

// heap is how many bytes are in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what a finalizer or a pool held
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

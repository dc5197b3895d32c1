package cache_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/cache"
	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

// An answer whose time has passed is given at once, and asked for anew by one.
func TestStaleWhileRevalidate(t *testing.T) {
	for _, p := range []struct{ path, body string }{{embedPath, texts("a")}, {chatPath, cold}} {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int32
			d := over(t, "ttl {seconds: 60} stale_while_revalidate {seconds: 60}", func(context.Context, *proxy.Request) (*proxy.Response, error) {
				n := calls.Add(1)
				time.Sleep(time.Second)
				return answer(200, fmt.Sprintf(`{"data":[{"index":0,"embedding":[%d]}],"choices":[%d]}`, n, n)), nil
			})
			first := d.ask(t, p.path, p.body)
			time.Sleep(60 * time.Second)
			began := time.Now()
			for range 10 {
				got := d.ask(t, p.path, p.body)
				require.Equal(t, "stale", got.header["x-friday-cache"])
				require.Equal(t, first.body, got.body)
			}
			require.Zero(t, time.Since(began), "nobody waits")
			time.Sleep(2 * time.Second)
			require.EqualValues(t, 2, calls.Load())
			got := d.ask(t, p.path, p.body)
			require.Equal(t, "hit", got.header["x-friday-cache"])
			require.NotEqual(t, first.body, got.body)
			time.Sleep(121 * time.Second)
			require.Equal(t, "miss", d.ask(t, p.path, p.body).header["x-friday-cache"])
		})
	}
}

// A stream that is renewed while nobody reads it is kept.
func TestAStreamIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		d := over(t, "ttl {seconds: 60} stale_while_revalidate {seconds: 60}", func(context.Context, *proxy.Request) (*proxy.Response, error) {
			return events(&stream{events: tokens(fmt.Sprint(calls.Add(1)))}), nil
		})
		d.ask(t, chatPath, coldStream)
		time.Sleep(61 * time.Second)
		require.Equal(t, strings.Join(tokens("1"), ""), d.ask(t, chatPath, coldStream).body)
		synctest.Wait()
		require.Equal(t, strings.Join(tokens("2"), ""), d.ask(t, chatPath, coldStream).body)
		require.EqualValues(t, 2, calls.Load())
	})
}

// A server that fails behind a caller's back takes nothing away.
func TestARenewalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := filtertest.NewServer(1, 0, 0)
		d := newDoor(t, "ttl {seconds: 60} stale_while_revalidate {seconds: 60}", server)
		good := d.ask(t, embedPath, texts("a", "b"))
		time.Sleep(61 * time.Second)
		server.Before = func(context.Context, filtertest.Call) (*proxy.Response, error) { return answer(503, "{}"), nil }
		for range 3 {
			require.Equal(t, good.body, d.ask(t, embedPath, texts("a", "b")).body)
			synctest.Wait()
		}
	})
}

// What another version of a model has answered is not given any more.
func TestAVersionChanges(t *testing.T) {
	for _, test := range []struct{ config, path, body, answer string }{
		{"protocols: OPEN_INFERENCE", inferPath, `{"inputs":[{"name":"a","shape":[1,1],"datatype":"FP32","data":[%s]}]}`, `{"model_name":"m","model_version":"%s","outputs":[{"name":"b","shape":[1,1],"datatype":"FP32","data":[%d]}]}`},
		{"", embedPath, `{"model":"e","input":"%s"}`, `{"model":"e-%s","data":[{"index":0,"embedding":[%d]}]}`},
		{"", chatPath, `{"model":"e","temperature":0,"messages":[%s]}`, `{"system_fingerprint":"%s","choices":[%d]}`},
	} {
		version := "1"
		var calls int
		d := over(t, test.config, func(context.Context, *proxy.Request) (*proxy.Response, error) {
			calls++
			return answer(200, fmt.Sprintf(test.answer, version, calls)), nil
		})
		ask := func(name string) string {
			return d.ask(t, test.path, fmt.Sprintf(test.body, name)).header["x-friday-cache"]
		}
		require.Equal(t, "miss", ask("1"))
		require.Equal(t, "miss", ask("2"))
		require.Equal(t, "hit", ask("1"))
		version = "2"
		require.Equal(t, "hit", ask("1"), "nobody has told yet")
		require.Equal(t, "miss", ask("3"))
		require.Equal(t, "miss", ask("1"))
		require.Equal(t, "miss", ask("2"))
		require.Equal(t, "hit", ask("1"))
		require.Equal(t, 5, calls)
	}
}

// Events come one after the other, as they were.
func TestAReplayIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := over(t, "replay_gap {seconds: 1}", func(context.Context, *proxy.Request) (*proxy.Response, error) {
			return events(&stream{events: tokens("a", "b", "c")}), nil
		})
		want := d.ask(t, chatPath, coldStream)
		began := time.Now()
		got := d.ask(t, chatPath, coldStream)
		require.Equal(t, "hit", got.header["x-friday-cache"])
		require.Equal(t, want.body, got.body)
		require.Equal(t, 2*time.Second, time.Since(began))

		ctx, leave := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer leave()
		left := call(ctx, d, filtertest.Request(chatPath, coldStream))
		require.ErrorIs(t, left.err, context.DeadlineExceeded)
		require.Equal(t, strings.Join(tokens("a", "b")[:2], ""), left.body)
	})
}

func TestARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	start := func() *door {
		d := &door{house: filtertest.NewHouse(t, 1), server: filtertest.NewServer(1, 0, 0)}
		d.house.StateDir = dir
		d.Handler = proxy.Chain(d.server, d.house.Build(t, cache.Factory{}, "persist: true"))
		return d
	}
	first := start()
	want := first.ask(t, embedPath, texts("a", "bb"))
	other := first.ask(t, embedPath, `{"model":"f","input":["a"]}`)
	first.house.Close(t)

	second := start()
	eventually(t, func() bool { return second.house.Metric(t, "friday_cache_bytes") > 2000 })
	got := second.ask(t, embedPath, texts("a", "bb"))
	require.Equal(t, "hit", got.header["x-friday-cache"])
	require.Equal(t, want.body, got.body)
	require.Equal(t, 2, second.purge(t, "e"))
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, files, "what was purged is not on disk")
	second.house.Close(t)

	third := start()
	eventually(t, func() bool { return third.house.Metric(t, "friday_cache_bytes") > 0 })
	require.Equal(t, other.body, third.ask(t, embedPath, `{"model":"f","input":["a"]}`).body)
	require.Equal(t, "miss", third.ask(t, embedPath, texts("a", "bb")).header["x-friday-cache"])
	third.house.Close(t)

	name := filepath.Join(dir, "cache-67108864.bin")
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	for _, damaged := range [][]byte{{}, []byte("x"), text[:len(text)-1], append(text, 1)} {
		require.NoError(t, os.WriteFile(name, damaged, 0o600))
		require.Equal(t, 200, start().ask(t, embedPath, texts("a")).status)
	}
}

package cache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/cache/shared/sharedtest"
	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

// sharing is a door with a shared store that it uses already.
func sharing(t *testing.T, s *sharedtest.Server, more string, server *filtertest.Server) *door {
	t.Helper()
	d := newDoor(t, shares(s)+more, server)
	d.awaitUp(t, true)
	return d
}

func shares(s *sharedtest.Server) string {
	return fmt.Sprintf("shared {address: '%s' timeout {seconds: 1}} ", s.Address())
}

func (d *door) awaitUp(t *testing.T, up bool) {
	t.Helper()
	eventually(t, func() bool { return d.house.Metric(t, "friday_cache_shared_up") == 1 == up })
}

func (d *door) awaitStored(t *testing.T, n int) {
	t.Helper()
	eventually(t, func() bool { return d.house.Count(t, "friday_cache_shared_writes_total", "result", "stored") >= n })
}

func eventually(t *testing.T, what func() bool) {
	t.Helper()
	require.Eventually(t, what, time.Minute, time.Millisecond)
}

func TestWhatOneHasStoredAnotherKnows(t *testing.T) {
	store := sharedtest.Start(t, &sharedtest.Server{})
	first := sharing(t, store, "", filtertest.NewServer(1, 0, 0))
	second := sharing(t, store, "", filtertest.NewServer(1, 0, 0))
	known := first.ask(t, embedPath, texts("a", "bb", "ccc"))
	require.Equal(t, "miss", known.header["x-friday-cache"])
	first.awaitStored(t, 3)

	got := second.ask(t, embedPath, texts("a", "bb", "ccc"))
	require.Equal(t, "hit", got.header["x-friday-cache"])
	require.Equal(t, known.body, got.body)
	require.Equal(t, known.header["content-type"], got.header["content-type"])
	require.Empty(t, second.server.Calls())
	store.Kill()
	require.Equal(t, "hit", second.ask(t, embedPath, texts("a", "bb")).header["x-friday-cache"], "it has its own copy now")
	first.awaitUp(t, false)
	second.awaitUp(t, false)
	store.Restart()
	first.awaitUp(t, true)
	second.awaitUp(t, true)
	mixed := second.ask(t, embedPath, texts("a", "x"))
	require.Equal(t, "partial", mixed.header["x-friday-cache"])
	require.Equal(t, []string{`"x"`}, second.server.Calls()[0].Items)
	second.awaitStored(t, 1)
	require.Equal(t, "hit", first.ask(t, embedPath, texts("x")).header["x-friday-cache"])
}

func TestAStreamThatAnotherHasStored(t *testing.T) {
	store := sharedtest.Start(t, &sharedtest.Server{})
	long := tokens(strings.Repeat("x", 1000), "b")
	server := func(_ context.Context, _ *proxy.Request) (*proxy.Response, error) {
		return events(&stream{events: long}), nil
	}
	first, second := over(t, shares(store), server), over(t, shares(store), func(context.Context, *proxy.Request) (*proxy.Response, error) {
		return nil, errors.New("nobody is to be asked")
	})
	first.awaitUp(t, true)
	second.awaitUp(t, true)
	want := first.ask(t, chatPath, coldStream)
	first.awaitStored(t, 1)
	got := second.ask(t, chatPath, coldStream)
	require.Equal(t, want.body, got.body)
	require.Equal(t, "text/event-stream", got.header["content-type"])
	for _, name := range store.Keys("friday:e:") {
		require.Less(t, len(store.Value(name)), 500, "it is compressed")
	}
}

// Tenants share nothing there either.
func TestTenantsOfASharedStore(t *testing.T) {
	store := sharedtest.Start(t, &sharedtest.Server{})
	d := sharing(t, store, "", filtertest.NewServer(1, 0, 0))
	d.ask(t, embedPath, texts("a"), "Authorization", "Bearer a")
	d.awaitStored(t, 1)
	other := sharing(t, store, "", filtertest.NewServer(1, 0, 0))
	require.Equal(t, "miss", other.ask(t, embedPath, texts("a"), "Authorization", "Bearer b").header["x-friday-cache"])
	require.Equal(t, "hit", other.ask(t, embedPath, texts("a"), "Authorization", "Bearer a").header["x-friday-cache"])
}

// A purge at one is a purge at all: in the store, and of the copies that others have.
func TestAPurgeReachesOthers(t *testing.T) {
	store := sharedtest.Start(t, &sharedtest.Server{})
	first := sharing(t, store, "", filtertest.NewServer(1, 0, 0))
	second := sharing(t, store, "", filtertest.NewServer(1, 0, 0))
	first.ask(t, embedPath, texts("a"))
	first.awaitStored(t, 1)
	require.Equal(t, "hit", second.ask(t, embedPath, texts("a")).header["x-friday-cache"])
	first.house.Purge("e")
	require.Equal(t, "miss", first.ask(t, embedPath, texts("a")).header["x-friday-cache"])
	eventually(t, func() bool { return second.house.Metric(t, "friday_cache_bytes") == 0 })
}

// Whatever becomes of the store, callers get their answers.
func TestTheStoreGoes(t *testing.T) {
	for name, leave := range map[string]func(*sharedtest.Server){
		"killed":  (*sharedtest.Server).Kill,
		"emptied": (*sharedtest.Server).FlushAll,
		"refuses": func(s *sharedtest.Server) { s.Refuse("LOADING Redis is loading the dataset in memory") },
		"hangs":   func(s *sharedtest.Server) { s.Hang() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := sharedtest.Start(t, &sharedtest.Server{})
			d := sharing(t, store, "", filtertest.NewServer(1, 0, 0))
			d.ask(t, embedPath, texts("a"))
			d.awaitStored(t, 1)
			leave(store)
			for i := range 100 {
				require.Equal(t, 200, d.ask(t, embedPath, texts("a", fmt.Sprint(i))).status)
			}
			require.Equal(t, "hit", d.ask(t, embedPath, texts("a")).header["x-friday-cache"], "what is known here")
		})
	}
}

// What cannot be read is not known.
func TestGarbageInTheStore(t *testing.T) {
	store := sharedtest.Start(t, &sharedtest.Server{})
	d := sharing(t, store, "", filtertest.NewServer(1, 0, 0))
	d.ask(t, embedPath, texts("a"))
	d.awaitStored(t, 1)
	for _, name := range store.Keys("friday:e:") {
		store.Put(name, store.Value(name)+"x")
	}
	other := sharing(t, store, "", filtertest.NewServer(1, 0, 0))
	require.Equal(t, "miss", other.ask(t, embedPath, texts("a")).header["x-friday-cache"])
	require.Equal(t, 1, other.house.Count(t, "friday_cache_shared_items_total", "result", "broken"))
}

// Many who ask for the same at once look it up once.
func TestOneLookUpForMany(t *testing.T) {
	store := sharedtest.Start(t, &sharedtest.Server{})
	var calls atomic.Int32
	release := make(chan struct{})
	d := over(t, shares(store), func(context.Context, *proxy.Request) (*proxy.Response, error) {
		calls.Add(1)
		<-release
		return answer(200, embedding(4)), nil
	})
	d.awaitUp(t, true)
	// There are marks, so that there is something to look up.
	go func() { release <- struct{}{} }()
	d.ask(t, embedPath, `{"model":"e","input":"first"}`)
	d.awaitStored(t, 1)
	before := store.Commands("MGET")
	go func() {
		defer close(release)
		for calls.Load() < 2 && t.Context().Err() == nil {
			runtime.Gosched()
		}
	}()
	for _, r := range all(t.Context(), d, 500, func() *proxy.Request { return filtertest.Request(embedPath, `{"model":"e","input":"a"}`) }) {
		require.NoError(t, r.err)
	}
	require.EqualValues(t, 2, calls.Load())
	require.Less(t, store.Commands("MGET")-before, 10, "those who come while one looks, or a call runs, do not")
}

// no-cache asks the server, and renews what others find.
func TestAnewForOthers(t *testing.T) {
	store := sharedtest.Start(t, &sharedtest.Server{})
	var n atomic.Int32
	server := func(context.Context, *proxy.Request) (*proxy.Response, error) {
		return answer(200, fmt.Sprintf(`{"data":[{"index":0,"embedding":[%d]}]}`, n.Add(1))), nil
	}
	first, second := over(t, shares(store), server), over(t, shares(store), server)
	first.awaitUp(t, true)
	second.awaitUp(t, true)
	first.ask(t, embedPath, texts("a"))
	first.awaitStored(t, 1)
	first.ask(t, embedPath, texts("a"), "Cache-Control", "no-cache")
	first.awaitStored(t, 2)
	require.Contains(t, second.ask(t, embedPath, texts("a")).body, "[2]")
}

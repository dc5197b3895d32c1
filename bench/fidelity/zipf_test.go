package fidelity_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/standin"
	cachev1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/cache/v1"
)

// TestEveryTextIsComputedOnce asks for texts as they are asked for in life, some very
// often, by many callers at once.
func TestEveryTextIsComputedOnce(t *testing.T) {
	const texts, asked, callers = 10_000, 20_000, 64
	w := newWorld(t, standin.Config{Dimensions: 16})
	w.cached(&cachev1.Cache{})
	before := w.Stats()
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 1, texts-1)
	list := make([]*request, asked)
	distinct := map[string]bool{}
	for i := range list {
		text := fmt.Sprintf("text %d", zipf.Uint64())
		distinct[text] = true
		list[i] = post("/v1/embeddings", fmt.Sprintf(`{"model":"m","input":%q}`, text))
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			c := newCaller(t, w.through)
			defer c.close()
			for i := int(next.Add(1)) - 1; i < asked; i = int(next.Add(1)) - 1 {
				if a := c.ask(t.Context(), list[i]); a.err != nil || a.status != 200 {
					t.Errorf("request %d: %s", i, a)
					return
				}
			}
		})
	}
	wg.Wait()
	hits, coalesced := w.lookups("hit"), w.lookups("coalesced")
	t.Logf("%d distinct of %d asked for; %d hits, %d coalesced, %d misses: %.1f%%", len(distinct), asked,
		hits, coalesced, w.lookups("miss"), 100*float64(hits+coalesced)/asked)
	require.EqualValues(t, len(distinct), w.Stats().Sub(before).Items, "each distinct text once")
	require.GreaterOrEqual(t, hits+coalesced, asked*79/100)
}

// A request for ten texts of which seven are known asks for three.
func TestThreeOfTen(t *testing.T) {
	w := newWorld(t, standin.Config{})
	w.cached(&cachev1.Cache{})
	names := strings.Split("abcdefghij", "")
	known := append(append([]string{}, names[1:5]...), names[6:9]...)
	body := func(list []string) string { return `{"model":"m","input":["` + strings.Join(list, `","`) + `"]}` }
	all(t.Context(), t, w.through, post("/v1/embeddings", body(known)))
	before := w.Stats()
	got := all(t.Context(), t, w.through, post("/v1/embeddings", body(names)))[0]
	require.EqualValues(t, 3, w.Stats().Sub(before).Items)
	require.Equal(t, `{"model":"m","input":["a","f","j"]}`, string(w.calls()[len(w.calls())-1].Body))
	direct := all(t.Context(), t, w.direct, post("/v1/embeddings", body(names)))[0]
	got.header.Del("Age")
	require.Empty(t, compare(direct, got, excuse{usage: true}))
}

// A thousand callers who ask for the same at once are answered by one call, byte by byte
// as directly; and again without any.
func TestAThousandAtOnce(t *testing.T) {
	const callers = 1000
	for name, r := range map[string]*request{
		"embeddings": post("/v1/embeddings", `{"model":"m","input":["a","b"]}`),
		"chat":       post("/v1/chat/completions", `{"model":"m","temperature":0,"max_tokens":20,"messages":[{"role":"user","content":"hi"}],"metadata":{"think_ms":"1500"}}`),
		"streamed":   post("/v1/chat/completions", `{"model":"m","temperature":0,"max_tokens":20,"stream":true,"messages":[{"role":"user","content":"hi"}],"metadata":{"think_ms":"1000","gap_ms":"40"}}`),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, standin.Config{})
			w.cached(&cachev1.Cache{})
			direct := all(t.Context(), t, w.direct, r)[0]
			w.cost(1500*time.Millisecond, 0)
			for round := range 2 {
				w.forget()
				list := make([]*request, callers)
				for i := range list {
					list[i] = r
				}
				for _, a := range all(t.Context(), t, w.through, list...) {
					require.NoError(t, a.err)
					require.Equal(t, 200, a.status)
					require.Equal(t, string(direct.body), string(a.body))
				}
				require.Len(t, w.calls(), 1-round)
			}
		})
	}
}

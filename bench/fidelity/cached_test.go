package fidelity_test

import (
	"bytes"
	"hash/fnv"
	"slices"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/bench/standin"
	cachev1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/cache/v1"
)

// everything has all that can be cached cached.
func everything() *cachev1.Cache {
	return &cachev1.Cache{Determinism: cachev1.Cache_ANY, Protocols: []cachev1.Cache_Protocol{
		cachev1.Cache_OPENAI, cachev1.Cache_KSERVE_V1, cachev1.Cache_OPEN_INFERENCE, cachev1.Cache_TEI, cachev1.Cache_COHERE,
		cachev1.Cache_TF_SERVING, cachev1.Cache_OPENAI_COMPLETIONS, cachev1.Cache_OPENAI_CHAT,
	}}
}

// cached puts a cache at the beginning of the chain.
func (w *world) cached(c *cachev1.Cache) {
	w.t.Helper()
	src := source(w.t, w.direct)
	putCache(w.t, src, c)
	require.NoError(w.t, w.friday.Apply(compiled(w.t, src)))
}

func putCache(t testing.TB, b *bootstrapv3.Bootstrap, c *cachev1.Cache) {
	t.Helper()
	filter := b.GetStaticResources().GetListeners()[0].GetFilterChains()[0].GetFilters()[0]
	hcm := &hcmv3.HttpConnectionManager{}
	require.NoError(t, filter.GetTypedConfig().UnmarshalTo(hcm))
	a, err := anypb.New(c)
	require.NoError(t, err)
	hcm.HttpFilters = slices.Insert(hcm.GetHttpFilters(), 0, &hcmv3.HttpFilter{
		Name: "friday.filters.http.cache", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: a},
	})
	a, err = anypb.New(hcm)
	require.NoError(t, err)
	filter.GetTypedConfig().Value = a.GetValue()
}

// lookups is how often the cache has said so.
func (w *world) lookups(result string) int {
	w.t.Helper()
	return int(testutil.ToFloat64(w.friday.Metrics().CacheLookups.WithLabelValues("upstream", result)))
}

// debugged are the requests of callers who want to know what became of them.
func debugged(list []*request) []*request {
	out := make([]*request, len(list))
	for i, r := range list {
		own := *r
		own.header = append(slices.Clip(r.header), "x-friday-debug: 1")
		out[i] = &own
	}
	return out
}

// unkept says whether a request is for a model whose good answers are not to be kept: they
// set a cookie, are encoded, or have not as many results as items were sent.
func unkept(r *request) bool {
	for _, odd := range []standin.Odd{standin.Cookie, standin.Gzip, standin.Miscount, standin.Shapeless} {
		if strings.Contains(r.uri, string(odd)) || bytes.Contains(r.body, []byte(odd)) {
			return true
		}
	}
	return false
}

// said takes from an answer what it says because the caller asked, and returns what
// became of it in the cache.
func said(a *answer) string {
	result := a.header.Get("X-Friday-Cache")
	for name := range a.header {
		if strings.HasPrefix(name, "X-Friday-") {
			delete(a.header, name)
		}
	}
	return result
}

// TestTheAnswerAgainIsTheDirectOne sends every request to the server and twice through a
// Friday with a cache: the first answers are the direct ones, the second the first, and
// every good one of which the cache has known what to do with is a hit.
func TestTheAnswerAgainIsTheDirectOne(t *testing.T) {
	for _, f := range forms() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			h := fnv.New64a()
			_, _ = h.Write([]byte("cached " + f.name))
			g := newGenerator(h.Sum64())
			list := make([]*request, requests/2)
			for i := range list {
				list[i] = g.disturb(f.make(g))
			}
			w := newWorld(t, standin.Config{Dimensions: 4, Tokens: 3})
			w.cached(everything())
			direct, _ := differ(t, w, w.direct, list)
			w.cost(time.Millisecond, 20*time.Microsecond)
			asking := debugged(list)
			first, _ := differ(t, w, w.through, asking)
			hits, misses := w.lookups("hit"), w.lookups("miss")+w.lookups("partial")+w.lookups("coalesced")
			w.forget()
			second, calls := differ(t, w, w.through, asking)
			if f.name == "chat" {
				// White space between JSON's tokens tells chats apart to the stand-in alone, which
				// counts words of the text as it came.
				f.usage = true
			}
			good, wrong, known := 0, 0, 0
			for i := range list {
				before, after := said(first[i]), said(second[i])
				if first[i].status == 200 && before != "" && before != "bypass" && !unkept(list[i]) {
					known++
					if after != "hit" && wrong < 4 {
						wrong++
						t.Errorf("request %d: %s the first time, %q the second\n%s", i, before, after, list[i])
					}
				}
				for _, a := range []*answer{first[i], second[i]} {
					a.header.Del("Age") // it says that the answer was kept, and is to be there
				}
				why := compare(direct[i], first[i], f.excuse)
				if why == "" {
					if why = compare(first[i], second[i], excuse{}); why != "" {
						why = "the second time: " + why
					}
				}
				if why != "" {
					if wrong++; wrong < 4 {
						t.Errorf("request %d: %s\n%s", i, why, list[i])
					}
					continue
				}
				if direct[i].status == 200 {
					good++
				}
			}
			require.Zero(t, wrong, "answers that differ")
			t.Logf("%d good, %d of them looked up; first pass %d hits, %d others; second pass %d hits, %d misses, %d calls of the server",
				good, known, hits, misses, w.lookups("hit")-hits, w.lookups("miss")+w.lookups("partial")+w.lookups("coalesced")-misses, calls)
			if misses > 0 {
				require.Greater(t, known, good/2, "most of what is good is looked up")
			}
			for _, c := range w.calls() {
				c.Header = strings.ReplaceAll(c.Header, "x-friday-debug: 1", "") // the caller's own
				require.NotContains(t, c.Header, "x-friday", "nothing is added to what the server sees")
			}
		})
	}
}

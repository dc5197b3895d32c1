package cache_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

// embedding is an answer of so many numbers.
func embedding(n int) string {
	return `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[` + strings.Repeat("-0.0123456789,", n-1) +
		`0.0123456789]}],"model":"e","usage":{"prompt_tokens":3,"total_tokens":3}}`
}

func BenchmarkHit(b *testing.B) {
	for _, what := range []string{"", "disabled: true"} {
		b.Run(map[string]string{"": "hit", "disabled: true": "pass"}[what], func(b *testing.B) {
			text := []byte(embedding(384))
			d := over(b, what, func(context.Context, *proxy.Request) (*proxy.Response, error) {
				r := proxy.NewResponse()
				r.Header.SetContentType("application/json")
				r.Body = proxy.NewBytesBody(text)
				return r, nil
			})
			req := filtertest.Request(embedPath, `{"model":"e","input":"the quick brown fox jumps over the lazy dog"}`, "Authorization", "Bearer a", "User-Agent", "bench")
			b.ReportAllocs()
			for b.Loop() {
				req.Call = nil
				resp, err := d.Handle(b.Context(), req)
				if err != nil || resp.Close() != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMemory fills a cache far beyond its room and reports what the heap has grown
// by, in parts of max_bytes.
func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{16, 384} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			text := embedding(n)
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				d := over(b, "", func(context.Context, *proxy.Request) (*proxy.Response, error) {
					return filtertest.Answer(fasthttp.StatusOK, "application/json", text), nil
				})
				for i := range 3 * (64 << 20) / 2 / (len(text) + 400) {
					call(b.Context(), d, filtertest.Request(embedPath, fmt.Sprintf(`{"model":"e","input":"%d"}`, i)))
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(64<<20), "heap/max_bytes")
				b.ReportMetric(d.house.Metric(b, "friday_cache_bytes")/(64<<20), "counted/max_bytes")
				runtime.KeepAlive(d)
			}
		})
	}
}

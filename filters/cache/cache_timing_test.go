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
func embedding(n int) string { return embeddings(1, n) }

// embeddings is one for several texts.
func embeddings(texts, n int) string {
	var b strings.Builder
	for i := range texts {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"object":"embedding","index":%d,"embedding":[%s0.0123456789]}`, i, strings.Repeat("-0.0123456789,", n-1))
	}
	return `{"object":"list","data":[` + b.String() + `],"model":"e","usage":{"prompt_tokens":30,"total_tokens":30}}`
}

// BenchmarkHit has a request of one text and one of ten answered, from the cache and past
// it.
func BenchmarkHit(b *testing.B) {
	for _, n := range []int{1, 10} {
		for name, config := range map[string]string{"hit": "", "pass": "disabled: true"} {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				input := strings.Repeat(`"the quick brown fox jumps over the lazy dog %d",`, n)
				numbers := make([]any, n)
				for i := range numbers {
					numbers[i] = i
				}
				input = fmt.Sprintf(strings.TrimSuffix(input, ","), numbers...)
				text := []byte(embeddings(n, 384))
				d := over(b, config, func(context.Context, *proxy.Request) (*proxy.Response, error) {
					r := proxy.NewResponse()
					r.Header.SetContentType("application/json")
					r.Body = proxy.NewBytesBody(text)
					return r, nil
				})
				req := filtertest.Request(embedPath, `{"model":"e","input":[`+input+`]}`, "Authorization", "Bearer a", "User-Agent", "bench")
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

package batch_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

// instant answers at once with as many predictions as there are instances.
func instant(_ context.Context, req *proxy.Request) (*proxy.Response, error) {
	body, _ := req.Body.(*proxy.BytesBody)
	n := strings.Count(string(body.Bytes()), `"x"`)
	return filtertest.Answer(200, "application/json", `{"predictions":[`+strings.TrimSuffix(strings.Repeat("1,", n), ",")+`]}`), nil
}

// BenchmarkAlone is what one caller pays, beside what it would pay without.
func BenchmarkAlone(b *testing.B) {
	for _, config := range []string{"", "disabled: true"} {
		b.Run(config, func(b *testing.B) {
			h := chain(b, filtertest.NewHouse(b, 1), config, proxy.HandlerFunc(instant))
			req := filtertest.Request(predictPath, instances("a", 1), "authorization", "Bearer 0123456789", "accept", "*/*", "user-agent", "bench")
			b.ReportAllocs()
			for b.Loop() {
				req.Call = nil
				resp, err := h.Handle(b.Context(), req)
				if err != nil {
					b.Fatal(err)
				}
				_ = resp.Close()
			}
		})
	}
}

// BenchmarkTogether is what each of many callers pays.
func BenchmarkTogether(b *testing.B) {
	for _, callers := range []int{8, 64} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			h := chain(b, filtertest.NewHouse(b, 1), "", proxy.HandlerFunc(instant))
			b.ReportAllocs()
			b.SetParallelism(callers)
			b.RunParallel(func(pb *testing.PB) {
				req := filtertest.Request(predictPath, instances("a", 1), "authorization", "Bearer 0123456789", "accept", "*/*", "user-agent", "bench")
				body, _ := req.Body.(*proxy.BytesBody)
				for pb.Next() {
					req.Call, req.Endpoint = nil, nil
					req.Body = proxy.NewBytesBody(body.Bytes())
					resp, err := h.Handle(b.Context(), req)
					if err != nil {
						b.Error(err)
						return
					}
					_ = resp.Close()
				}
			})
		})
	}
}

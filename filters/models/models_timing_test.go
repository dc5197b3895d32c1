package models

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/filters/models/modelstest"
	"github.com/fridaymesh/friday/proxy"
)

// BenchmarkReady is what a request costs whose model is ready, by how it names it.
func BenchmarkReady(b *testing.B) {
	answer := proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
		resp := proxy.NewResponse()
		return resp, nil
	})
	for name, request := range map[string][2]string{
		"path":    {infer("m"), `{"inputs":[]}`},
		"body":    {"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"hello"}]}`},
		"neither": {"/v1/files", `{}`},
	} {
		b.Run(name, func(b *testing.B) {
			house := filtertest.NewHouse(b, 1)
			s := &modelstest.Server{API: modelstest.OpenInference}
			house.Endpoints[0].Handler = modelstest.Handler(s)
			c, err := Factory{}.Parse(filtertest.Any(b, Factory{}, `models {name: "m"} models {name: "k"}`))
			require.NoError(b, err)
			var f proxy.Filter
			house.Push(b, func(env proxy.Env) {
				f, err = Factory{}.BuildFor(filtertest.Cluster, c, env)
				require.NoError(b, err)
			})
			req := filtertest.Request(request[0], request[1])
			_, err = f.Handle(b.Context(), req, answer) // loads it
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				resp, err := f.Handle(b.Context(), req, answer)
				if err != nil {
					b.Fatal(err)
				}
				_ = resp.Close()
			}
		})
	}
}

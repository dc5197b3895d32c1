package fault_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/fault"
	"github.com/fridaymesh/friday/proxy"
)

func handle(t *testing.T, c *fault.Config, ctx context.Context, headers ...string) (int, error) { //nolint:revive // the test comes first
	t.Helper()
	f, err := fault.Builder{}.Build(c, proxy.Env{})
	require.NoError(t, err)
	h := &fasthttp.RequestHeader{}
	h.SetRequestURI("/")
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	resp, err := f.Handle(ctx, &proxy.Request{Header: h, Cluster: "c"}, proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
		return proxy.NewResponse(), nil
	}))
	if err != nil {
		return proxy.AsError(ctx, err).Status, err
	}
	return resp.Header.StatusCode(), nil
}

func TestAbort(t *testing.T) {
	const all = 1_000_000
	for name, c := range map[string]struct {
		config  fault.Config
		headers []string
		want    int
	}{
		"all":                        {fault.Config{Abort: &fault.Abort{Status: 418, PerMillion: all}}, nil, 418},
		"none":                       {fault.Config{Abort: &fault.Abort{Status: 418}}, nil, 200},
		"another cluster":            {fault.Config{Cluster: "d", Abort: &fault.Abort{Status: 418, PerMillion: all}}, nil, 200},
		"by header":                  {fault.Config{Abort: &fault.Abort{ByHeader: true, PerMillion: all}}, []string{"x-envoy-fault-abort-request", "503"}, 503},
		"by no header":               {fault.Config{Abort: &fault.Abort{ByHeader: true, PerMillion: all}}, nil, 200},
		"a header that is no status": {fault.Config{Abort: &fault.Abort{ByHeader: true, PerMillion: all}}, []string{"x-envoy-fault-abort-request", "7"}, 200},
		"a share of none":            {fault.Config{Abort: &fault.Abort{ByHeader: true, PerMillion: all}}, []string{"x-envoy-fault-abort-request", "503", "x-envoy-fault-abort-request-percentage", "0"}, 200},
		"too many at once":           {fault.Config{MaxActive: new(uint32), Abort: &fault.Abort{Status: 418, PerMillion: all}}, nil, 200},
	} {
		status, _ := handle(t, &c.config, t.Context(), c.headers...)
		require.Equal(t, c.want, status, name)
	}
}

func TestDelayEndsWithTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &fault.Config{Delay: &fault.Delay{Fixed: time.Hour, PerMillion: 1_000_000}}
		start := time.Now()
		status, err := handle(t, c, t.Context())
		require.NoError(t, err)
		require.Equal(t, 200, status)
		require.Equal(t, time.Hour, time.Since(start))
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, proxy.ErrCallerGone)
		defer cancel()
		status, err = handle(t, c, ctx)
		require.Error(t, err)
		require.Equal(t, 499, status)
	})
}

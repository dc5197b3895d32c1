package localratelimit_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/localratelimit"
	"github.com/fridaymesh/friday/proxy"
)

func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &localratelimit.Config{
			Bucket: &localratelimit.Bucket{Max: 2, Fill: 1, Interval: time.Second}, Enabled: 1_000_000, Enforced: 1_000_000,
		}
		build := func() proxy.Filter {
			f, err := localratelimit.Builder{}.Build(c, proxy.Env{})
			require.NoError(t, err)
			return f
		}
		passes := func(f proxy.Filter) bool {
			_, err := f.Handle(t.Context(), &proxy.Request{Header: new(fasthttp.RequestHeader)}, proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
				return proxy.NewResponse(), nil
			}))
			return err == nil
		}
		f := build()
		require.True(t, passes(f))
		require.True(t, passes(f))
		require.False(t, passes(f))
		require.False(t, passes(build()), "a new snapshot does not fill the bucket up")
		time.Sleep(1500 * time.Millisecond)
		require.True(t, passes(f))
		require.False(t, passes(f))
		time.Sleep(time.Minute)
		require.True(t, passes(f))
		require.True(t, passes(f))
		require.False(t, passes(f), "no more than Max")
	})
}

package batch

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/proxy"
)

// TestIdleGroupsAreDropped, and what is kept for them with them.
func TestIdleGroupsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		house := filtertest.NewHouse(t, 1)
		built, ok := house.Build(t, Factory{}, "").(*filter)
		require.True(t, ok)
		s := built.state
		h := proxy.Chain(filtertest.NewServer(1, 0, 0), built)
		send := func(path string) {
			resp, err := h.Handle(t.Context(), filtertest.Request(path, `{"instances":[1]}`))
			require.NoError(t, err)
			require.NoError(t, resp.Close())
		}
		for i := range 5 * maxIdle {
			send(fmt.Sprintf("/v1/models/m%d:predict", i))
			time.Sleep(time.Microsecond)
			require.LessOrEqual(t, len(s.groups), maxIdle)
			require.LessOrEqual(t, len(s.models), maxIdle)
		}
		require.Len(t, s.budgets, 1)
		time.Sleep(2 * idleFor)
		send("/v1/models/last:predict")
		require.Len(t, s.groups, 1)
		require.Len(t, s.models, 1)

		require.NoError(t, s.Close())
		require.Empty(t, s.groups)
		require.Empty(t, s.budgets)
		// Whoever began under the old snapshot still ends as ever.
		send("/v1/models/late:predict")
	})
}

// TestDroppedBetweenFindingAndEntering: the request finds another group.
func TestDroppedBetweenFindingAndEntering(t *testing.T) {
	house := filtertest.NewHouse(t, 1)
	built, ok := house.Build(t, Factory{}, "").(*filter)
	require.True(t, ok)
	h := proxy.Chain(filtertest.NewServer(1, 0, 0), built)
	for range 2 {
		resp, err := h.Handle(t.Context(), filtertest.Request("/v1/models/m:predict", `{"instances":[1]}`))
		require.NoError(t, err)
		require.NoError(t, resp.Close())
		for _, g := range built.state.groups {
			require.True(t, g.retire(g.state.now()+time.Hour))
			require.ErrorIs(t, g.enter(&entry{}, false), errDropped)
			delete(built.state.groups, g.key)
		}
	}
}

// FuzzKey: whatever a head holds, requests of equal heads are of one group, and
// those of different credentials are not.
func FuzzKey(f *testing.F) {
	f.Add("/v1/models/m:predict", "Authorization", "Bearer x", "Bearer y")
	f.Add("/v1/models/m:predict", "x-api-key", "", "a")
	f.Add("/v1/models/m:predict?q", "Cookie", "a=b", "a=b; c=d")
	f.Add("/v1/models/m:predict", "API-KEY", "a:b", "a")
	f.Fuzz(func(t *testing.T, path, name, a, b string) {
		built, ok := filtertest.NewHouse(t, 1).Build(t, Factory{}, "").(*filter)
		require.True(t, ok)
		key := func(value string) (head, string) {
			req := filtertest.Request(path, "{}", name, value)
			return built.read(req, new(inference.Call)), string(req.Header.Peek(name))
		}
		first, one := key(a)
		again, _ := key(a)
		require.Equal(t, first, again)
		second, two := key(b)
		if field := built.names.of([]byte(name)); field.meaning == grouped && one != two {
			require.NotEqual(t, first.key, second.key)
		}
	})
}

package client

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/xds/resource"
	"github.com/fridaymesh/friday/xds/xdstest"
)

// What the data plane cannot do is named; the good siblings of it apply; in delta
// it is tried again also after others have come.
func TestDataPlaneTakesThePartThatItCan(t *testing.T) {
	t.Parallel()
	for _, full := range []bool{true, false} {
		now := time.Unix(1_000_000, 0)
		busy := true
		var open []string
		c := New(Options{
			Targets: Plain("x:1"), Parser: &resource.Parser{Registry: filters.NewRegistry()},
			Apply: func(r *config.Resources) error {
				var addresses []string
				for _, l := range r.Listeners {
					if l.Address == "127.0.0.1:2" && busy {
						return errors.New(`listener "b": address already in use`)
					}
					addresses = append(addresses, l.Address)
				}
				open = addresses
				return nil
			},
		})
		c.feeds[""] = &feed{c: c, kinds: slices.Collect(allKinds), wake: make(chan struct{}, 1)}
		c.change(func(s *state) { s.connected("", now); s.complete = true })
		inline := func(name, address string) *update {
			u := ofWorld(lds, xdstest.Response(t, lds.typeURL(), name, "n", xdstest.InlineListener(t, name, address, xdstest.Routes("r", "x"))))
			u.full = full
			return u
		}
		join := func(us ...*update) *update {
			out := *us[0]
			for _, u := range us[1:] {
				out.resources = append(out.resources, u.resources...)
			}
			return &out
		}
		require.NoError(t, c.handle("", ofWorld(cds, xdstest.Response(t, cds.typeURL(), "1", "n", xdstest.StaticCluster(t, "x", "10.0.0.1:80"))), now))
		err := c.handle("", join(inline("a", "127.0.0.1:1"), inline("b", "127.0.0.1:2"), inline("c", "127.0.0.1:3")), now)
		require.EqualError(t, err, `listener "b": address already in use`)
		require.Equal(t, []string{"127.0.0.1:1", "127.0.0.1:3"}, open)
		require.Contains(t, c.state.Load().known[lds].failures, "b")
		if !full {
			require.NoError(t, c.handle("", inline("d", "127.0.0.1:4"), now))
		}
		busy = false
		at, ok := c.deadline()
		require.True(t, ok)
		require.Equal(t, []kind{lds}, ticked(c, at))
		require.Contains(t, open, "127.0.0.1:2")
		require.Contains(t, open, "127.0.0.1:1")
		require.True(t, c.retry.empty())
	}
}

package control

import (
	"maps"
	"slices"
	"strings"
	"testing"

	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/xds/resource"
)

// names of what a snapshot holds: clusters|endpoints|listeners|routes.
func inSnapshot(s *cachev3.Snapshot) string {
	var parts []string
	for _, typeURL := range []string{resource.ClusterType, resource.EndpointType, resource.ListenerType, resource.RouteType} {
		parts = append(parts, strings.Join(slices.Sorted(maps.Keys(s.GetResources(typeURL))), " "))
	}
	return strings.Join(parts, "|")
}

func TestSteps(t *testing.T) {
	a, b := compiled(t, doc("a", "")), compiled(t, doc("b", ""))
	servers := func(list ...string) []*Compiled {
		text := strings.Replace(doc("a", "  weights: {blue: 1}\n  servers:\n"), "  server: {endpoints: [\"127.0.0.1:8080\"]}\n", "", 1)
		for _, name := range list {
			text += "    " + name + ": {endpoints: [\"127.0.0.1:8080\"]}\n"
		}
		return compiled(t, text)
	}
	blue, green := servers("blue"), servers("blue", "green")
	timeout := compiled(t, doc("a", "  timeout: 1s\n"))
	for name, c := range map[string]struct {
		before, after []*Compiled
		want          []string
	}{
		"nothing":       {a, a, nil},
		"comes":         {nil, a, []string{"a|||", "a|a||", "a|a|a|", "a|a|a|a"}},
		"goes":          {a, nil, []string{"a|a||a", "a|a||", "|a||", "|||"}},
		"another comes": {a, slices.Concat(a, b), []string{"a b|a|a|a", "a b|a b|a|a", "a b|a b|a b|a", "a b|a b|a b|a b"}},
		"replaced": {a, b, []string{
			"a b|a|a|a", "a b|a b|a|a", "a b|a b|b|a", "a b|a b|b|b", "b|a b|b|b", "b|b|b|b",
		}},
		"one goes":    {slices.Concat(a, b), b, []string{"a b|a b|b|a b", "a b|a b|b|b", "b|a b|b|b", "b|b|b|b"}},
		"routes only": {a, timeout, []string{"a|a|a|a"}},
		"a server comes": {blue, green, []string{
			"a.blue a.green|a.blue|a|a", "a.blue a.green|a.blue a.green|a|a", "a.blue a.green|a.blue a.green|a|a",
		}},
		"a server goes": {green, blue, []string{
			"a.blue a.green|a.blue a.green|a|a", "a.blue|a.blue a.green|a|a", "a.blue|a.blue|a|a",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			list := steps(c.before, c.after)
			var got []string
			for _, st := range list {
				got = append(got, inSnapshot(st.snapshot()))
			}
			require.Equal(t, c.want, got)
			if len(list) > 0 {
				require.NoError(t, list[len(list)-1].snapshot().Consistent())
			}
		})
	}
}

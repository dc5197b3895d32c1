package rbac_test

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/rbac"
	"github.com/fridaymesh/friday/proxy"
)

func yes(*proxy.Request) bool { return true }
func no(*proxy.Request) bool  { return false }

func TestJudge(t *testing.T) {
	policy := func(permission, principal rbac.Matcher) []rbac.Policy {
		return []rbac.Policy{{Name: "p", Permissions: []rbac.Matcher{no, permission}, Principals: []rbac.Matcher{principal}}}
	}
	for name, c := range map[string]struct {
		rules *rbac.Rules
		pass  bool
	}{
		"no rules":                {nil, true},
		"allow, matched":          {&rbac.Rules{Policies: policy(yes, yes)}, true},
		"allow, nobody matched":   {&rbac.Rules{Policies: policy(yes, no)}, false},
		"allow, nothing matched":  {&rbac.Rules{Policies: policy(no, yes)}, false},
		"allow, without policies": {&rbac.Rules{}, false},
		"deny, matched":           {&rbac.Rules{Action: rbac.Deny, Policies: policy(yes, yes)}, false},
		"deny, not matched":       {&rbac.Rules{Action: rbac.Deny, Policies: policy(no, yes)}, true},
		"log":                     {&rbac.Rules{Action: rbac.Log, Policies: policy(yes, yes)}, true},
	} {
		pass, _ := c.rules.Judge(&proxy.Request{})
		require.Equal(t, c.pass, pass, name)
	}
}

func TestShadowRulesOnlyCount(t *testing.T) {
	deny := &rbac.Rules{Action: rbac.Deny, Policies: []rbac.Policy{{Name: "p", Permissions: []rbac.Matcher{yes}, Principals: []rbac.Matcher{yes}}}}
	reg := prometheus.NewRegistry()
	next := proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) { return proxy.NewResponse(), nil })
	handle := func(c *rbac.Config) error {
		f, err := rbac.Builder{}.Build(c, proxy.Env{Metrics: reg})
		require.NoError(t, err)
		_, err = f.Handle(t.Context(), &proxy.Request{}, next)
		return err
	}
	require.NoError(t, handle(&rbac.Config{Shadow: deny}))
	var pe *proxy.Error
	require.ErrorAs(t, handle(&rbac.Config{Rules: deny}), &pe)
	require.Equal(t, 403, pe.Status)
	require.ErrorContains(t, pe, "policy p", "for the log")
	require.Equal(t, "RBAC: access denied", pe.Message, "and not for the caller")
	families, err := reg.Gather()
	require.NoError(t, err)
	counts := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "friday_rbac_decisions_total" {
				counts[m.GetLabel()[1].GetValue()+" "+m.GetLabel()[0].GetValue()] += m.GetCounter().GetValue()
			}
		}
	}
	require.Equal(t, map[string]float64{"shadow denied": 1, "shadow allowed": 0, "enforced denied": 1, "enforced allowed": 0}, counts)
}

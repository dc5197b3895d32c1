package rbac

import (
	"context"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// Config is the rules in force and those that only count; either may be nil.
type Config struct {
	Rules, Shadow *Rules
}

// Action is what becomes of a request that a policy matches.
type Action int

// The actions. Under Allow a request that no policy matches is denied, under Deny it
// passes; under Log every request passes.
const (
	Allow Action = iota
	Deny
	Log
)

// Rules are policies, tried in order.
type Rules struct {
	Action   Action
	Policies []Policy
}

// Policy matches a request that one of Permissions and one of Principals match.
type Policy struct {
	Name                    string
	Permissions, Principals []Matcher
}

// Matcher is a condition on a request.
type Matcher func(req *proxy.Request) bool

// Judge says whether a request may pass, and the name of the policy that it matched.
func (r *Rules) Judge(req *proxy.Request) (pass bool, policy string) {
	if r == nil {
		return true, ""
	}
	for i := range r.Policies {
		p := &r.Policies[i]
		if one(p.Permissions, req) && one(p.Principals, req) {
			return r.Action != Deny, p.Name
		}
	}
	return r.Action != Allow, ""
}

func one(matchers []Matcher, req *proxy.Request) bool {
	for _, m := range matchers {
		if m(req) {
			return true
		}
	}
	return false
}

// Builder makes the filter of a *Config.
type Builder struct{}

var _ proxy.Builder = Builder{}

// Build makes the filter.
func (Builder) Build(config proxy.FilterConfig, env proxy.Env) (proxy.Filter, error) {
	return filter{NewGate(config.(*Config), telemetry.New(env.Metrics))}, nil //nolint:forcetypeassert // the parser's
}

type filter struct{ *Gate }

func (f filter) Handle(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	if err := f.Admit(req); err != nil {
		return nil, err
	}
	return next.Handle(ctx, req)
}

// Gate judges requests by a Config, and counts. It is Envoy's network filter, too, where
// the request is what is known of a connection before anything is read from it.
type Gate struct {
	*Config

	rules, shadow [2]prometheus.Counter // denied, allowed
}

// NewGate makes a Gate.
func NewGate(c *Config, m *telemetry.Metrics) *Gate {
	return &Gate{
		Config: c,
		rules:  [2]prometheus.Counter{m.RBAC.WithLabelValues("enforced", "denied"), m.RBAC.WithLabelValues("enforced", "allowed")},
		shadow: [2]prometheus.Counter{m.RBAC.WithLabelValues("shadow", "denied"), m.RBAC.WithLabelValues("shadow", "allowed")},
	}
}

// Admit says why req may not pass, with a *proxy.Error.
func (g *Gate) Admit(req *proxy.Request) error {
	if g.Shadow != nil {
		pass, _ := g.Shadow.Judge(req)
		g.shadow[index(pass)].Inc()
	}
	if g.Rules == nil {
		return nil
	}
	pass, policy := g.Rules.Judge(req)
	g.rules[index(pass)].Inc()
	if pass {
		return nil
	}
	return &proxy.Error{Status: http.StatusForbidden, Flag: proxy.FlagDenied, Message: "RBAC: access denied", Err: denied(policy)}
}

func index(pass bool) int {
	if pass {
		return 1
	}
	return 0
}

// denied names the policy that matched, for the log.
type denied string

func (d denied) Error() string {
	if d == "" {
		return "no policy allows it"
	}
	return "policy " + string(d)
}

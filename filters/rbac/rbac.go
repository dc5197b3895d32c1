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
	decisions := telemetry.New(env.Metrics).RBAC
	return &filter{
		Config: config.(*Config), //nolint:forcetypeassert // the parser's
		rules:  [2]prometheus.Counter{decisions.WithLabelValues("enforced", "denied"), decisions.WithLabelValues("enforced", "allowed")},
		shadow: [2]prometheus.Counter{decisions.WithLabelValues("shadow", "denied"), decisions.WithLabelValues("shadow", "allowed")},
	}, nil
}

type filter struct {
	*Config

	rules, shadow [2]prometheus.Counter // denied, allowed
}

func (f *filter) Handle(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	if f.Shadow != nil {
		pass, _ := f.Shadow.Judge(req)
		f.shadow[index(pass)].Inc()
	}
	if f.Rules != nil {
		pass, policy := f.Rules.Judge(req)
		f.rules[index(pass)].Inc()
		if !pass {
			return nil, &proxy.Error{
				Status: http.StatusForbidden, Flag: proxy.FlagDenied, Message: "RBAC: access denied", Err: denied(policy),
			}
		}
	}
	return next.Handle(ctx, req)
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

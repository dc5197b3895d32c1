package admission

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/filters/admission/gate"
	"github.com/fridaymesh/friday/filters/admission/shared"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/xds/api/settings"
)

const (
	// Name is the filter's name in a chain.
	Name = "friday.filters.http.admission"
	// TypeURL is the type of its configuration.
	TypeURL = "type.googleapis.com/friday.filters.http.admission.v1.Admission"
)

// Factory declares the filter.
type Factory struct{}

var _ proxy.Factory = Factory{}

// TypeURL is [TypeURL].
func (Factory) TypeURL() string { return TypeURL }

// Parse reads a configuration of [TypeURL] into a [*Config]; a nil one is one with nothing
// set. Errors name the field and the value.
func (Factory) Parse(config *anypb.Any) (proxy.FilterConfig, error) {
	return settings.Parse(config, parse)
}

// Build makes the filter of one route's configuration. All of them share one state, and
// those of one key file its keys.
func (Factory) Build(config proxy.FilterConfig, env proxy.Env) (proxy.Filter, error) {
	c, ok := config.(*Config)
	if !ok {
		return nil, fmt.Errorf("%s: a configuration of type %T", Name, config)
	}
	s, err := proxy.Kept(env, Name, func() (*state, error) { return newState(env), nil })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Name, err)
	}
	f := &filter{config: c, state: s, everybody: &Tenant{Name: everybody}, secret: isCredential(c.TenantHeader)}
	if c.Disabled || env.Trial {
		return f, nil
	}
	if c.Shared != nil {
		f.counts, err = proxy.Kept(env, Name+" shared "+c.Shared.String(), func() (*shared.Counts, error) {
			return shared.Open(*c.Shared, shared.Env{Log: env.Log.Named("admission"), Metrics: s.metrics}), nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s: shared: %w", Name, err)
		}
	}
	if c.KeyFile != "" {
		if f.keys, err = proxy.Kept(env, Name+" keys "+c.KeyFile, func() (*keyFile, error) { return openKeys(c.KeyFile, env) }); err != nil {
			return nil, fmt.Errorf("%s: %w", Name, err)
		}
	}
	return f, nil
}

// filter is one route's admission. It is immutable; what changes is in the state.
type filter struct {
	config    *Config
	state     *state
	keys      *keyFile       // nil: none is asked for
	counts    *shared.Counts // nil: limits are this Friday's alone
	everybody *Tenant
	secret    bool // the tenant header is a credential
}

var _ proxy.Filter = (*filter)(nil)

// Handle sends req on when it is let in. Health checks pass; of what asks no model to work
// (all but POST) only the key is looked at.
func (f *filter) Handle(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	if f.config.Disabled || req.HealthCheck {
		return next.Handle(ctx, req)
	}
	tenant, refused := f.identify(req)
	if refused != nil {
		f.state.metrics.AdmissionRequests.WithLabelValues(req.Cluster, refused.result).Inc()
		return nil, refused.err(nil)
	}
	if !req.Header.IsPost() || req.Upgrade != "" {
		return next.Handle(ctx, req)
	}
	tokens, held, err := estimate(req, &f.state.held)
	if err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	v, key, refused, err := f.admit(ctx, req, tenant, tokens)
	f.state.held.Add(-held)
	headers := f.state.rateHeaders(key)
	switch {
	case err != nil:
		return nil, err
	case refused != nil:
		f.count(tenant, "refused")
		return nil, refused.err(headers)
	}
	f.count(tenant, "admitted")
	resp, err := v.pass(ctx, req, next)
	if err == nil && headers != nil {
		headers(&resp.Header)
	}
	return resp, err
}

func (f *filter) count(t *Tenant, result string) {
	f.state.metrics.AdmissionTenants.WithLabelValues(f.state.label(t.Name), result).Inc()
}

// admit returns when a request is let in, or will not be; key is what its limits are.
func (f *filter) admit(ctx context.Context, req *proxy.Request, t *Tenant, tokens int64) (v *visit, key allowanceKey, r *refusal, err error) {
	key = allowanceKey{t.Name, f.config.Limits}
	if t.Own {
		key.limits = t.Limits
	}
	limited := key.limits != (gate.PerMinute{})
	d := f.state.door(req.Cluster)
	if limited {
		switch short, after := f.state.take(f.counts, key, tokens); short { //nolint:contextcheck // who leaves cuts no question short: its answer says how the server is
		case gate.Requests:
			d.requests.Inc()
			return nil, key, exceeded(key, short, tokens, after), nil
		case gate.Tokens:
			d.tokens.Inc()
			return nil, key, exceeded(key, short, tokens, after), nil
		case gate.None:
		}
	}
	v = &visit{door: d, span: req.Span, ready: make(chan gate.Verdict, 1), Ticket: gate.Ticket{
		Tenant: t.Name, Priority: f.priority(req), Cost: tokens, Rules: &f.config.Rules,
	}}
	v.Owner = v
	verdict, err := d.enter(ctx, v)
	if err == nil && verdict == gate.Admitted {
		return v, key, nil, nil
	}
	if limited {
		f.state.giveBack(f.counts, key, tokens) //nolint:contextcheck // as above
	}
	if err != nil {
		return nil, key, nil, err
	}
	after := min(maxRetryAfterSaid, max(d.retryAfter(v), time.Millisecond))
	return nil, key, overloaded(verdict == gate.Late, max(after, f.config.RetryAfter)), nil
}

package jobs

import (
	"context"
	"fmt"
	"sync/atomic"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/xds/api/settings"
)

const (
	// Name is the filter's name in a chain.
	Name = "friday.filters.http.jobs"
	// TypeURL is the type of its configuration.
	TypeURL = "type.googleapis.com/friday.filters.http.jobs.v1.Jobs"
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

// Build makes the filter of one route's configuration. Those of one file, or of
// one connection string, share its store.
func (Factory) Build(config proxy.FilterConfig, env proxy.Env) (proxy.Filter, error) {
	c, ok := config.(*Config)
	if !ok {
		return nil, fmt.Errorf("%s: a configuration of type %T", Name, config)
	}
	rest := env.Rest()
	if c.Disabled || env.Trial {
		return &filter{config: c}, nil
	}
	at, err := c.place(env.StateDir)
	if err != nil {
		return nil, err
	}
	if c.Webhook != nil {
		if _, err := readSecrets(c.Webhook.secretFile); err != nil {
			return nil, fmt.Errorf("%s: webhook_secret_file: %w", Name, err)
		}
	}
	s, err := proxy.Kept(env, Name+" "+at.String(), func() (*state, error) { return newState(env, at), nil })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Name, err)
	}
	s.serve(env.Origin, rest, c)
	return &filter{config: c, state: s, origin: env.Origin, rest: rest}, nil
}

// filter is one route's. It is immutable; what changes is in the state.
type filter struct {
	config *Config
	state  *state
	origin string
	rest   proxy.Handler
}

var _ proxy.Filter = (*filter)(nil)

// Handle answers what is of the API, takes in what nobody waits for, and lets everything
// else pass.
func (f *filter) Handle(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	if f.config.Disabled || req.Upgrade != "" {
		return next.Handle(ctx, req)
	}
	if r := route(req.Header.RequestURI()); r.kind != none && !req.Header.IsOptions() {
		return f.api(ctx, req, r)
	}
	if req.Header.IsPost() && !proxy.IsGRPC(req.Header) {
		if resp, err := f.async(ctx, req); resp != nil || err != nil {
			return resp, err
		}
		if p := f.config.pipeline(req.Header.RequestURI()); p != nil {
			return f.pass(ctx, req, &pipelineHandler{f, p})
		}
	}
	return f.pass(ctx, req, next)
}

// pass counts the request while it is being answered: lines give way to it.
func (f *filter) pass(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	f.state.live.Add(1)
	resp, err := next.Handle(ctx, req)
	if err != nil {
		f.state.live.Add(-1)
		return nil, err
	}
	if _, whole := resp.Body.(*proxy.BytesBody); whole || resp.Body.Len() == 0 {
		f.state.live.Add(-1)
		return resp, nil
	}
	resp.Body = &liveBody{Body: resp.Body, live: &f.state.live}
	return resp, nil
}

// liveBody is an answer that counts until its end.
type liveBody struct {
	proxy.Body

	live *atomic.Int64
	over atomic.Bool
}

func (b *liveBody) Close() error {
	if b.over.CompareAndSwap(false, true) {
		b.live.Add(-1)
	}
	return b.Body.Close()
}

package headermutation

import (
	"context"
	"slices"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/format"
)

// Config is the mutations, which apply one after the other.
type Config struct {
	Request, Response []*format.Mutation
	// SpecificLast has the mutations of routes come after those of virtual hosts; else
	// the most specific come first.
	SpecificLast bool
}

// Builder makes the filter of a *Config.
type Builder struct{}

var (
	_ proxy.Builder  = Builder{}
	_ proxy.Combiner = Builder{}
)

// Build makes the filter.
func (Builder) Build(config proxy.FilterConfig, _ proxy.Env) (proxy.Filter, error) {
	return &filter{config.(*Config)}, nil //nolint:forcetypeassert // the parser's
}

// Combine puts the mutations of all levels in their order.
func (Builder) Combine(configs []proxy.FilterConfig) proxy.FilterConfig {
	out := &Config{}
	overrides := configs[1:]
	if chain, ok := configs[0].(*Config); ok {
		*out = Config{Request: slices.Clone(chain.Request), Response: slices.Clone(chain.Response), SpecificLast: chain.SpecificLast}
	}
	overrides = slices.Clone(overrides)
	if !out.SpecificLast {
		slices.Reverse(overrides)
	}
	for _, o := range overrides {
		c := o.(*Config) //nolint:forcetypeassert // the parser's
		out.Request, out.Response = append(out.Request, c.Request...), append(out.Response, c.Response...)
	}
	return out
}

type filter struct{ *Config }

func (f *filter) Handle(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	for _, m := range f.Request {
		m.Apply(req.Header, &format.Facts{Request: req})
	}
	resp, err := next.Handle(ctx, req)
	if len(f.Response) == 0 {
		return resp, err
	}
	if err == nil {
		f.change(req, &resp.Header, nil)
		return resp, nil
	}
	pe := *proxy.AsError(ctx, err)
	inner := pe.Decorate
	pe.Decorate = func(h *fasthttp.ResponseHeader) {
		if inner != nil {
			inner(h)
		}
		f.change(req, h, &pe)
	}
	return nil, &pe
}

func (f *filter) change(req *proxy.Request, h *fasthttp.ResponseHeader, pe *proxy.Error) {
	facts := &format.Facts{Request: req, Response: h, Status: h.StatusCode(), Err: pe}
	for _, m := range f.Response {
		m.Apply(h, facts)
	}
}

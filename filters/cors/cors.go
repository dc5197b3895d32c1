package cors

import (
	"context"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/router"
)

// Config is a route's policy. The zero Config lets everything pass as it is.
type Config struct {
	Origins []*router.StringMatch
	// Methods, Headers, Expose and MaxAge are the values of the headers of such names;
	// empty: none.
	Methods, Headers, Expose, MaxAge string
	Credentials                      bool
	PrivateNetwork                   bool
	// Refuse answers a question of an origin that is not allowed; else the server does.
	Refuse bool
	// Disabled leaves requests as they are.
	Disabled bool
}

// Builder makes the filter of a *Config.
type Builder struct{}

var _ proxy.Builder = Builder{}

// Build makes the filter.
func (Builder) Build(config proxy.FilterConfig, _ proxy.Env) (proxy.Filter, error) {
	return &filter{config.(*Config)}, nil //nolint:forcetypeassert // the parser's
}

type filter struct{ *Config }

func (f *filter) Handle(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	if f.Disabled || len(f.Origins) == 0 {
		return next.Handle(ctx, req)
	}
	origin, there := proxy.FieldValue(req.Header, "origin")
	if !there || origin == "" {
		return next.Handle(ctx, req)
	}
	method, _ := proxy.FieldValue(req.Header, "access-control-request-method")
	question := string(req.Header.Method()) == fasthttp.MethodOptions && method != ""
	if !f.allowed(origin) {
		if question && f.Refuse {
			return proxy.NewResponse(), nil
		}
		return next.Handle(ctx, req)
	}
	if question {
		resp := proxy.NewResponse()
		f.answer(req, &resp.Header, origin)
		return resp, nil
	}
	resp, err := next.Handle(ctx, req)
	if err != nil {
		pe := *proxy.AsError(ctx, err)
		inner := pe.Decorate
		pe.Decorate = func(h *fasthttp.ResponseHeader) {
			if inner != nil {
				inner(h)
			}
			f.mark(h, origin)
		}
		return nil, &pe
	}
	f.mark(&resp.Header, origin)
	return resp, nil
}

func (f *filter) allowed(origin string) bool {
	for _, m := range f.Origins {
		if m.Kind == router.Exact && m.Text == "*" || m.Match([]byte(origin)) {
			return true
		}
	}
	return false
}

// answer says what the page may do.
func (f *filter) answer(req *proxy.Request, h *fasthttp.ResponseHeader, origin string) {
	f.mark(h, origin)
	set(h, "access-control-allow-methods", f.Methods)
	set(h, "access-control-allow-headers", f.Headers)
	set(h, "access-control-max-age", f.MaxAge)
	if asked, _ := proxy.FieldValue(req.Header, "access-control-request-private-network"); f.PrivateNetwork && asked == "true" {
		set(h, "access-control-allow-private-network", "true")
	}
}

// mark lets the page read an answer.
func (f *filter) mark(h *fasthttp.ResponseHeader, origin string) {
	set(h, "access-control-allow-origin", origin)
	if f.Credentials {
		set(h, "access-control-allow-credentials", "true")
	}
	set(h, "access-control-expose-headers", f.Expose)
}

func set(h *fasthttp.ResponseHeader, name, value string) {
	if value != "" {
		proxy.SetField(h, name, value)
	}
}

package resource

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
)

// Extension is a parsed TypedExtensionConfig: the configuration of an HTTP filter
// that is sent by itself (ECDS).
type Extension struct {
	Name    string
	Factory proxy.Factory
	Config  proxy.FilterConfig
}

// ExtensionUse is a filter of a listener whose configuration comes by ECDS, under
// the filter's name.
type ExtensionUse struct {
	Name string
	// Types are the messages that the configuration may be.
	Types []string
	// Default serves where nothing has come in time, or what came was refused; nil:
	// requests are then answered 500, as in Envoy.
	Default *Extension
	// WithoutWarming lets the listener open with Default at once.
	WithoutWarming bool
	// FetchTimeout is how long the listener waits; 0: for ever.
	FetchTimeout time.Duration

	of *config.HTTP
	at int // in its chain
}

// Takes says why x cannot be this filter's configuration.
func (u *ExtensionUse) Takes(x *Extension) error {
	if name := messageName(x.Factory.TypeURL()); !slices.Contains(u.Types, name) {
		return fmt.Errorf("extension %q: typed_config: %q: not one of config_discovery.type_urls, which are %s", x.Name, name, strings.Join(u.Types, ", "))
	}
	return nil
}

// Extension parses a TypedExtensionConfig.
func (r *Parser) Extension(m *corev3.TypedExtensionConfig) (*Extension, error) {
	p := newProblems("extension", m.GetName())
	p.check("", m.ProtoReflect())
	x := p.extension("typed_config", m.GetName(), m.GetTypedConfig(), r)
	if err := p.err(); err != nil {
		return nil, err
	}
	return x, nil
}

func (p *problems) extension(path, name string, a *anypb.Any, r *Parser) *Extension {
	if a == nil {
		p.addf(path, "missing")
		return nil
	}
	factory, parsed, err := r.Registry.Parse(a)
	if err != nil {
		p.cause(path, err)
		return nil
	}
	return &Extension{Name: name, Factory: factory, Config: parsed}
}

// discovery reads a filter whose configuration comes by ECDS.
func (p *problems) discovery(at string, f *hcmv3.HttpFilter, r *Parser) *ExtensionUse {
	at += ".config_discovery"
	d := f.GetConfigDiscovery()
	u := &ExtensionUse{Name: f.GetName(), WithoutWarming: d.GetApplyDefaultConfigWithoutWarming(), FetchTimeout: patience(d.GetConfigSource())}
	if f.GetName() == "" {
		p.addf(strings.TrimSuffix(at, ".config_discovery")+".name", "missing: the configuration is asked for by it")
	}
	p.ads(at+".config_source", d.GetConfigSource())
	for i, url := range d.GetTypeUrls() {
		if url == "" {
			p.addf(at+".type_urls["+strconv.Itoa(i)+"]", "empty")
		}
		u.Types = append(u.Types, messageName(url))
	}
	if d.GetDefaultConfig() != nil {
		u.Default = p.extension(at+".default_config", u.Name, d.GetDefaultConfig(), r)
		if u.Default != nil {
			if err := u.Takes(u.Default); err != nil {
				p.addf(at+".default_config", "not one of type_urls")
			}
		}
	}
	if u.WithoutWarming && d.GetDefaultConfig() == nil {
		p.add(at+".apply_default_config_without_warming", "true", "needs default_config")
	}
	return u
}

// patience is how long what comes from source is waited for; 0: for ever.
func patience(source *corev3.ConfigSource) time.Duration {
	if d := source.GetInitialFetchTimeout(); d != nil {
		return max(0, min(d.AsDuration(), Unlimited))
	}
	return FetchTimeout
}

// With is the listener with extensions, in the order of l.Extensions; nil stands
// for one that is not there. It is l's own where it has none.
func (l *Listener) With(extensions []*Extension) *config.Listener {
	if len(l.Extensions) == 0 {
		return l.Listener
	}
	filled := map[*config.HTTP]*config.HTTP{}
	for i, use := range l.Extensions {
		h := filled[use.of]
		if h == nil {
			own := *use.of
			own.Filters = slices.Clone(own.Filters)
			h, filled[use.of] = &own, &own
		}
		f := &h.Filters[use.at]
		f.Factory, f.Config = absent{}, use.Name
		if x := extensions[i]; x != nil {
			f.Factory, f.Config = x.Factory, x.Config
		}
	}
	chain := func(c *config.FilterChain) *config.FilterChain {
		if c == nil || filled[c.HTTP] == nil {
			return c
		}
		own := *c
		own.HTTP = filled[c.HTTP]
		return &own
	}
	out := *l.Listener
	out.Default = chain(out.Default)
	out.Chains = slices.Clone(out.Chains)
	for i, c := range out.Chains {
		out.Chains[i] = chain(c)
	}
	return &out
}

// longer is the longer of two times to wait, of which 0 is for ever; first says
// that there is no other yet.
func longer(a, b time.Duration, first bool) time.Duration {
	switch {
	case first:
		return b
	case a == 0 || b == 0:
		return 0
	}
	return max(a, b)
}

// absent is the filter whose configuration has not come: it answers 500.
type absent struct{}

var (
	_ proxy.Factory = absent{}
	_ proxy.Filter  = absent{}
)

func (absent) TypeURL() string { return "" }

// Parse is never called: no type URL leads here.
func (absent) Parse(*anypb.Any) (proxy.FilterConfig, error) { return "", nil }

func (a absent) Build(proxy.FilterConfig, proxy.Env) (proxy.Filter, error) { return a, nil }

func (absent) Handle(context.Context, *proxy.Request, proxy.Handler) (*proxy.Response, error) {
	return nil, &proxy.Error{Status: http.StatusInternalServerError, Flag: proxy.FlagNoFilterConfig, Message: "a filter's configuration has not been received"}
}

func messageName(typeURL string) string { return typeURL[strings.LastIndexByte(typeURL, '/')+1:] }

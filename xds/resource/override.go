package resource

import (
	"fmt"
	"maps"
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/proxy/config"
)

// overrides reads a typed_per_filter_config; nil where there is nothing in it.
func (r *tableReader) overrides(path string, m map[string]*anypb.Any) map[string]config.Override {
	var out map[string]config.Override
	for _, name := range slices.Sorted(maps.Keys(m)) {
		at := fmt.Sprintf("%s[%q]", dot(path, "typed_per_filter_config"), name)
		if o, ok := r.override(at, m[name]); ok {
			if out == nil {
				out = map[string]config.Override{}
			}
			out[name] = o
		}
	}
	return out
}

// override reads one of them: a filter's configuration as it is, or wrapped in a
// FilterConfig.
func (r *tableReader) override(at string, a *anypb.Any) (config.Override, bool) {
	var o config.Override
	optional := false
	if a.MessageName() == "envoy.config.route.v3.FilterConfig" {
		m := new(routev3.FilterConfig)
		if err := a.UnmarshalTo(m); err != nil {
			r.addf(at, "not a FilterConfig: cannot be decoded")
			return o, false
		}
		r.check(at, m.ProtoReflect())
		o.Disabled, optional = m.GetDisabled(), m.GetIsOptional()
		if a = m.GetConfig(); a == nil {
			if !o.Disabled {
				r.addf(at+".config", "missing")
			}
			return o, o.Disabled
		}
		at += ".config"
	}
	_, parsed, err := r.filter(at, a, r.parser)
	if err == nil {
		o.Config = parsed
		return o, true
	}
	if r.leaves(at, a, err, optional) {
		return o, false
	}
	r.cause(at, err)
	return o, false
}

package resource

import (
	"slices"
	"strconv"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/fridaymesh/friday/filters/rbac"
	"github.com/fridaymesh/friday/proxy"
)

// metadataMatcher reads a condition on what an earlier filter has found out.
func (p *problems) metadataMatcher(path string, m *matcherv3.MetadataMatcher) rbac.Matcher {
	match := p.valueMatcher(path+".value", m.GetValue())
	keys := make([]string, 0, len(m.GetPath()))
	for _, segment := range m.GetPath() {
		keys = append(keys, segment.GetKey())
	}
	return func(req *proxy.Request) bool {
		return match(dynamic(req, m.GetFilter(), keys)) != m.GetInvert()
	}
}

// nothing is what is not there; null is nil.
type nothing struct{}

// dynamic is what stands at the end of a path.
func dynamic(req *proxy.Request, filter string, keys []string) any {
	if len(keys) == 0 {
		return nothing{}
	}
	v, ok := req.Metadata[filter][keys[0]]
	for _, key := range keys[1:] {
		in, object := v.(map[string]any)
		if !object {
			return nothing{}
		}
		v, ok = in[key]
	}
	if !ok {
		return nothing{}
	}
	return v
}

// valueMatcher reads a condition on a value. What the table refuses matches nothing.
func (p *problems) valueMatcher(path string, m *matcherv3.ValueMatcher) func(any) bool {
	switch pattern := m.GetMatchPattern().(type) {
	case *matcherv3.ValueMatcher_NullMatch_:
		return func(v any) bool { return v == nil }
	case *matcherv3.ValueMatcher_BoolMatch:
		return func(v any) bool { return v == pattern.BoolMatch }
	case *matcherv3.ValueMatcher_PresentMatch:
		return func(v any) bool {
			_, none := v.(nothing)
			return v != nil && !none && pattern.PresentMatch
		}
	case *matcherv3.ValueMatcher_StringMatch:
		match := p.matcher(path+".string_match", pattern.StringMatch)
		return func(v any) bool {
			s, ok := v.(string)
			return ok && match([]byte(s))
		}
	case *matcherv3.ValueMatcher_DoubleMatch:
		return func(v any) bool {
			f, ok := v.(float64)
			return ok && double(pattern.DoubleMatch, f)
		}
	case *matcherv3.ValueMatcher_ListMatch:
		match := p.valueMatcher(path+".list_match.one_of", pattern.ListMatch.GetOneOf())
		return func(v any) bool {
			list, ok := v.([]any)
			return ok && slices.ContainsFunc(list, match)
		}
	case *matcherv3.ValueMatcher_OrMatch:
		var some []func(any) bool
		for i, one := range pattern.OrMatch.GetValueMatchers() {
			some = append(some, p.valueMatcher(path+".or_match.value_matchers["+strconv.Itoa(i)+"]", one))
		}
		return func(v any) bool {
			return slices.ContainsFunc(some, func(match func(any) bool) bool { return match(v) })
		}
	}
	return func(any) bool { return false }
}

// double says whether f is in a range, whose end is not, or exact.
func double(m *matcherv3.DoubleMatcher, f float64) bool {
	if r := m.GetRange(); r != nil {
		return r.GetStart() <= f && f < r.GetEnd()
	}
	return f == m.GetExact()
}

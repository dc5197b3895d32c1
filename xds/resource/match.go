package resource

import (
	"regexp"
	"strconv"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/fridaymesh/friday/proxy/router"
)

// match reads a RouteMatch. That one path specifier is there, the generated
// checks hold.
func (r *tableReader) match(path string, m *routev3.RouteMatch) router.Match {
	out := router.Match{IgnoreCase: m.GetCaseSensitive() != nil && !m.GetCaseSensitive().GetValue()}
	switch spec := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		out.Prefix = spec.Prefix
		if out.Prefix == "" {
			out.Prefix = "/" // every path begins so
		}
	case *routev3.RouteMatch_Path:
		out.Path = spec.Path
		if out.Path == "" {
			r.add(path+".path", `""`, "no request has an empty path")
		}
	case *routev3.RouteMatch_SafeRegex:
		out.Regex = r.regex(path+".safe_regex", spec.SafeRegex)
	}
	for i, h := range m.GetHeaders() {
		out.Headers = append(out.Headers, r.header(path+".headers["+strconv.Itoa(i)+"]", h))
	}
	for i, q := range m.GetQueryParameters() {
		at := path + ".query_parameters[" + strconv.Itoa(i) + "]"
		query := router.QueryMatch{Name: q.GetName(), Present: true}
		switch spec := q.GetQueryParameterMatchSpecifier().(type) {
		case *routev3.QueryParameterMatcher_StringMatch:
			query.Value = r.text(at+".string_match", spec.StringMatch)
		case *routev3.QueryParameterMatcher_PresentMatch:
			query.Present = spec.PresentMatch
		}
		out.Query = append(out.Query, query)
	}
	return out
}

// header reads a HeaderMatcher, in the words of today and in the deprecated ones.
func (r *tableReader) header(path string, m *routev3.HeaderMatcher) router.HeaderMatch {
	out := router.HeaderMatch{
		Name: m.GetName(), Present: true,
		Invert: m.GetInvertMatch(), TreatMissingAsEmpty: m.GetTreatMissingHeaderAsEmpty(),
	}
	if strings.HasPrefix(out.Name, ":") {
		switch out.Name {
		case ":method", ":path", ":authority":
		default:
			r.add(path+".name", strconv.Quote(out.Name), "not supported yet, only :method, :path, :authority")
		}
	}
	switch spec := m.GetHeaderMatchSpecifier().(type) {
	case *routev3.HeaderMatcher_StringMatch:
		out.Value = r.text(path+".string_match", spec.StringMatch)
	case *routev3.HeaderMatcher_PresentMatch:
		out.Present = spec.PresentMatch
	case *routev3.HeaderMatcher_ExactMatch:
		out.Value = &router.StringMatch{Kind: router.Exact, Text: spec.ExactMatch}
	case *routev3.HeaderMatcher_PrefixMatch:
		out.Value = &router.StringMatch{Kind: router.Prefix, Text: spec.PrefixMatch}
	case *routev3.HeaderMatcher_SuffixMatch:
		out.Value = &router.StringMatch{Kind: router.Suffix, Text: spec.SuffixMatch}
	case *routev3.HeaderMatcher_ContainsMatch:
		out.Value = &router.StringMatch{Kind: router.Contains, Text: spec.ContainsMatch}
	case *routev3.HeaderMatcher_SafeRegexMatch:
		out.Value = &router.StringMatch{Kind: router.Regex, Regex: r.regex(path+".safe_regex_match", spec.SafeRegexMatch)}
	}
	return out
}

// text reads a StringMatcher. That one pattern is there, the generated checks
// hold.
func (r *tableReader) text(path string, m *matcherv3.StringMatcher) *router.StringMatch {
	out := &router.StringMatch{IgnoreCase: m.GetIgnoreCase()}
	switch pattern := m.GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		out.Kind, out.Text = router.Exact, pattern.Exact
	case *matcherv3.StringMatcher_Prefix:
		out.Kind, out.Text = router.Prefix, pattern.Prefix
	case *matcherv3.StringMatcher_Suffix:
		out.Kind, out.Text = router.Suffix, pattern.Suffix
	case *matcherv3.StringMatcher_Contains:
		out.Kind, out.Text = router.Contains, pattern.Contains
	case *matcherv3.StringMatcher_SafeRegex:
		out.Kind, out.IgnoreCase = router.Regex, false
		out.Regex = r.regex(path+".safe_regex", pattern.SafeRegex)
	}
	return out
}

// regex compiles an RE2 pattern so that it matches whole strings only. Go's own
// rule, the leftmost of the alternatives first, does not matter between anchors.
func (r *tableReader) regex(path string, m *matcherv3.RegexMatcher) *regexp.Regexp {
	// Compiled alone first: what does not stand alone could break out of the group.
	if _, err := regexp.Compile(m.GetRegex()); err != nil {
		r.add(path+".regex", quote(m.GetRegex()), err.Error())
		return nil
	}
	compiled, err := regexp.Compile(`\A(?:` + m.GetRegex() + `)\z`)
	if err != nil {
		r.add(path+".regex", quote(m.GetRegex()), err.Error())
	}
	return compiled
}

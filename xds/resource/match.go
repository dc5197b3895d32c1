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
	case *routev3.RouteMatch_PathSeparatedPrefix:
		out.Separated = spec.PathSeparatedPrefix
	case *routev3.RouteMatch_SafeRegex:
		out.Regex = r.regex(path+".safe_regex", spec.SafeRegex)
	}
	for i, h := range m.GetHeaders() {
		out.Headers = append(out.Headers, r.header(path+".headers["+strconv.Itoa(i)+"]", h))
	}
	for i, q := range m.GetQueryParameters() {
		at := path + ".query_parameters[" + strconv.Itoa(i) + "]"
		query := router.QueryMatch{Name: q.GetName()}
		switch spec := q.GetQueryParameterMatchSpecifier().(type) {
		case nil:
			query.Present = true
		case *routev3.QueryParameterMatcher_StringMatch:
			query.Value = r.text(at+".string_match", spec.StringMatch)
		case *routev3.QueryParameterMatcher_PresentMatch:
			query.Present = spec.PresentMatch
		}
		out.Query = append(out.Query, query)
	}
	for i, c := range m.GetCookies() {
		out.Cookies = append(out.Cookies, router.CookieMatch{
			Name: c.GetName(), Invert: c.GetInvertMatch(),
			Value: r.text(path+".cookies["+strconv.Itoa(i)+"].string_match", c.GetStringMatch()),
		})
	}
	out.GRPC = m.GetGrpc() != nil
	if f := m.GetRuntimeFraction(); f != nil {
		share := perMillion(f.GetDefaultValue())
		out.Share = &share
	}
	return out
}

// header reads a HeaderMatcher of a request.
func (p *problems) header(path string, m *routev3.HeaderMatcher) router.HeaderMatch {
	out := p.responseHeader(path, m)
	if strings.HasPrefix(out.Name, ":") {
		switch out.Name {
		case ":method", ":path", ":authority":
		default:
			p.add(path+".name", strconv.Quote(out.Name), "not supported yet, only :method, :path, :authority")
		}
	}
	return out
}

// responseHeader reads a HeaderMatcher, in the words of today and in the deprecated ones,
// whatever its name.
func (p *problems) responseHeader(path string, m *routev3.HeaderMatcher) router.HeaderMatch {
	out := router.HeaderMatch{
		Name:   m.GetName(),
		Invert: m.GetInvertMatch(), TreatMissingAsEmpty: m.GetTreatMissingHeaderAsEmpty(),
	}
	switch spec := m.GetHeaderMatchSpecifier().(type) {
	case nil:
		out.Present = true
	case *routev3.HeaderMatcher_StringMatch:
		out.Value = p.text(path+".string_match", spec.StringMatch)
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
	case *routev3.HeaderMatcher_RangeMatch:
		out.Range = &router.Range{Start: spec.RangeMatch.GetStart(), End: spec.RangeMatch.GetEnd()}
	case *routev3.HeaderMatcher_SafeRegexMatch:
		out.Value = &router.StringMatch{Kind: router.Regex, Regex: p.regex(path+".safe_regex_match", spec.SafeRegexMatch)}
	}
	return out
}

// text reads a StringMatcher. That one pattern is there, the generated checks
// hold.
func (p *problems) text(path string, m *matcherv3.StringMatcher) *router.StringMatch {
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
		out.Regex = p.regex(path+".safe_regex", pattern.SafeRegex)
	}
	return out
}

// regex compiles an RE2 pattern so that it matches whole strings only. Go's own
// rule, the leftmost of the alternatives first, does not matter between anchors.
func (p *problems) regex(path string, m *matcherv3.RegexMatcher) *regexp.Regexp {
	// Compiled alone first: what does not stand alone could break out of the group.
	if _, err := regexp.Compile(m.GetRegex()); err != nil {
		p.add(path+".regex", quote(m.GetRegex()), err.Error())
		return nil
	}
	compiled, err := regexp.Compile(`\A(?:` + m.GetRegex() + `)\z`)
	if err != nil {
		p.add(path+".regex", quote(m.GetRegex()), err.Error())
	}
	return compiled
}

// pattern compiles an RE2 pattern that is searched for.
func (p *problems) pattern(path string, m *matcherv3.RegexMatcher) *regexp.Regexp {
	compiled, err := regexp.Compile(m.GetRegex())
	if err != nil {
		p.add(path+".regex", quote(m.GetRegex()), err.Error())
	}
	return compiled
}

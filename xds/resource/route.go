package resource

import (
	"strconv"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/fridaymesh/friday/proxy/action"
	"github.com/fridaymesh/friday/proxy/config"
)

// RouteTable parses a RouteConfiguration that came by RDS.
func (r *Parser) RouteTable(m *routev3.RouteConfiguration) (*RouteTable, error) {
	p := newProblems("route", m.GetName())
	p.check("", m.ProtoReflect())
	if m.GetName() == "" {
		p.addf("name", "missing")
	}
	t := &RouteTable{RouteTable: p.table("", m, r), ValidateClusters: m.GetValidateClusters().GetValue()}
	if err := p.err(); err != nil {
		return nil, err
	}
	t.Clusters, t.LeftAside = clusterNames(t.RouteTable), p.aside
	return t, nil
}

// tableReader reads one RouteConfiguration.
type tableReader struct {
	*problems
	parser *Parser
	table  *routev3.RouteConfiguration
	host   *routev3.VirtualHost // the one at hand
	// maxBody bounds a direct response's body.
	maxBody int
}

// table reads a RouteConfiguration.
func (p *problems) table(path string, m *routev3.RouteConfiguration, r *Parser) *config.RouteTable {
	read := &tableReader{problems: p, parser: r, table: m, maxBody: 4096} // Envoy's default
	if most := m.GetMaxDirectResponseBodySizeBytes(); most != nil {
		read.maxBody = int(most.GetValue())
	}
	t := &config.RouteTable{
		Name: m.GetName(), IgnorePort: m.GetIgnorePortInHostMatching(), SpecificLast: m.GetMostSpecificHeaderMutationsWins(),
		Headers: read.headers(path, m),
	}
	common := read.overrides(path, m.GetTypedPerFilterConfig())
	domains := map[string]string{}
	for i, vh := range m.GetVirtualHosts() {
		at := dot(path, "virtual_hosts["+strconv.Itoa(i)+"]")
		read.domains(at, vh, domains)
		read.host = vh
		host := &config.VirtualHost{
			Name: vh.GetName(), Domains: vh.GetDomains(),
			Headers:    read.headers(at, vh),
			RequireTLS: vh.GetRequireTls() == routev3.VirtualHost_ALL,
			Overrides:  read.overrides(at, vh.GetTypedPerFilterConfig()),
		}
		for name, o := range common { // the virtual host's own are more specific
			if _, own := host.Overrides[name]; own {
				continue
			}
			if host.Overrides == nil {
				host.Overrides = map[string]config.Override{}
			}
			host.Overrides[name] = o
		}
		for j, route := range vh.GetRoutes() {
			host.Routes = append(host.Routes, read.route(at+".routes["+strconv.Itoa(j)+"]", route))
		}
		t.VirtualHosts = append(t.VirtualHosts, host)
	}
	return t
}

// domains refuses what Envoy refuses: a wildcard in the middle, and a domain
// that stands in two virtual hosts.
func (r *tableReader) domains(at string, vh *routev3.VirtualHost, seen map[string]string) {
	for i, domain := range vh.GetDomains() {
		path := at + ".domains[" + strconv.Itoa(i) + "]"
		lower := strings.ToLower(domain)
		inner := strings.TrimSuffix(strings.TrimPrefix(lower, "*"), "*")
		wild := len(lower) - len(inner)
		if lower == "" || strings.Contains(inner, "*") || wild > 1 {
			r.add(path, quote(domain), "not a domain, *.suffix, prefix.* or *")
			continue
		}
		if other, twice := seen[lower]; twice {
			r.add(path, strconv.Quote(domain), "stands at "+other+" already")
			continue
		}
		seen[lower] = path
	}
}

// route reads one route.
func (r *tableReader) route(path string, m *routev3.Route) *config.Route {
	route := &config.Route{
		Name:      m.GetName(),
		Match:     r.match(path+".match", m.GetMatch()),
		Headers:   r.headers(path, m),
		Overrides: r.overrides(path, m.GetTypedPerFilterConfig()),
		Tracing:   r.routeTracing(path, m),
	}
	switch spec := m.GetAction().(type) {
	case *routev3.Route_Route:
		r.action(path+".route", spec.Route, m, route)
	case *routev3.Route_DirectResponse:
		route.Direct = r.direct(path+".direct_response", spec.DirectResponse)
	case *routev3.Route_Redirect:
		route.Redirect = r.redirect(path+".redirect", spec.Redirect, m.GetMatch())
	case *routev3.Route_NonForwardingAction:
		// There is no cluster to send it to, and Envoy says so to the caller.
		route.Clusters = []config.WeightedCluster{{Weight: 1}}
	}
	return route
}

// direct reads an answer without an upstream.
func (r *tableReader) direct(path string, m *routev3.DirectResponseAction) *config.DirectResponse {
	body := m.GetBody().GetInlineString()
	if body == "" {
		body = string(m.GetBody().GetInlineBytes())
	}
	if len(body) > r.maxBody {
		r.add(path+".body", strconv.Itoa(len(body))+" bytes", "more than max_direct_response_body_size_bytes, "+strconv.Itoa(r.maxBody))
	}
	d := &action.Direct{Status: int(m.GetStatus()), Body: body}
	if f := m.GetBodyFormat(); f != nil {
		d.Format = r.bodyFormat(path+".body_format", f)
	}
	return d
}

// redirect reads an answer that sends the caller elsewhere.
func (r *tableReader) redirect(path string, m *routev3.RedirectAction, match *routev3.RouteMatch) *action.Redirect {
	out := &action.Redirect{
		Status: 301, Host: m.GetHostRedirect(), Port: m.GetPortRedirect(), StripQuery: m.GetStripQuery(), Scheme: m.GetSchemeRedirect(),
	}
	if m.GetHttpsRedirect() {
		out.Scheme = "https"
	}
	switch m.GetResponseCode() {
	case routev3.RedirectAction_FOUND:
		out.Status = 302
	case routev3.RedirectAction_SEE_OTHER:
		out.Status = 303
	case routev3.RedirectAction_TEMPORARY_REDIRECT:
		out.Status = 307
	case routev3.RedirectAction_PERMANENT_REDIRECT:
		out.Status = 308
	default:
	}
	switch spec := m.GetPathRewriteSpecifier().(type) {
	case *routev3.RedirectAction_PathRedirect:
		out.Path = spec.PathRedirect
	case *routev3.RedirectAction_PrefixRewrite:
		out.Rewrite.Prefix, out.Rewrite.Matched = &spec.PrefixRewrite, matched(match)
	case *routev3.RedirectAction_RegexRewrite:
		out.Rewrite.Regex = r.substitution(path+".regex_rewrite", spec.RegexRewrite)
	case *routev3.RedirectAction_PathRewrite:
		out.Rewrite.Path = r.format(path+".path_rewrite", spec.PathRewrite, "")
	}
	return out
}

// matched is how much of the path a rewrite of what was matched replaces; negative: all.
func matched(m *routev3.RouteMatch) int {
	switch spec := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		return len(spec.Prefix)
	case *routev3.RouteMatch_PathSeparatedPrefix:
		return len(spec.PathSeparatedPrefix)
	}
	return -1
}

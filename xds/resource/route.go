package resource

import (
	"strconv"
	"strings"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

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
	t.Clusters = clusterNames(t.RouteTable)
	return t, nil
}

// tableReader reads one RouteConfiguration.
type tableReader struct {
	*problems
	parser *Parser
	// maxBody bounds a direct response's body.
	maxBody int
}

// table reads a RouteConfiguration.
func (p *problems) table(path string, m *routev3.RouteConfiguration, r *Parser) *config.RouteTable {
	read := &tableReader{problems: p, parser: r, maxBody: 4096} // Envoy's default
	if most := m.GetMaxDirectResponseBodySizeBytes(); most != nil {
		read.maxBody = int(most.GetValue())
	}
	t := &config.RouteTable{Name: m.GetName()}
	common := read.overrides(path, m.GetTypedPerFilterConfig())
	domains := map[string]string{}
	for i, vh := range m.GetVirtualHosts() {
		at := dot(path, "virtual_hosts["+strconv.Itoa(i)+"]")
		read.domains(at, vh, domains)
		host := &config.VirtualHost{
			Name: vh.GetName(), Domains: vh.GetDomains(),
			Overrides: read.overrides(at, vh.GetTypedPerFilterConfig()),
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
		Overrides: r.overrides(path, m.GetTypedPerFilterConfig()),
	}
	switch action := m.GetAction().(type) {
	case *routev3.Route_Route:
		r.action(path+".route", action.Route, m, route)
	case *routev3.Route_DirectResponse:
		route.Direct = r.direct(path+".direct_response", action.DirectResponse)
	}
	return route
}

// action reads where a route sends its requests.
func (r *tableReader) action(path string, m *routev3.RouteAction, parent *routev3.Route, route *config.Route) {
	switch spec := m.GetClusterSpecifier().(type) {
	case *routev3.RouteAction_Cluster:
		route.Clusters = []config.WeightedCluster{{Name: spec.Cluster, Weight: 1}}
	case *routev3.RouteAction_WeightedClusters:
		route.Clusters = r.weighted(path+".weighted_clusters", spec.WeightedClusters)
	}
	route.Timeout = 15 * time.Second // Envoy's default
	if m.GetTimeout() != nil {
		route.Timeout = min(m.GetTimeout().AsDuration(), Unlimited)
	}
	route.PrefixRewrite = m.GetPrefixRewrite()
	if spec := parent.GetMatch(); route.PrefixRewrite != "" && spec.GetPrefix() == "" && spec.GetPath() == "" {
		r.add(path+".prefix_rewrite", strconv.Quote(route.PrefixRewrite), "not supported without a prefix or path to replace")
	}
	route.HostRewrite = m.GetHostRewriteLiteral()
}

// weighted reads clusters with weights, whose sum must be positive and within 32
// bits, as in Envoy.
func (r *tableReader) weighted(path string, m *routev3.WeightedCluster) (clusters []config.WeightedCluster) {
	var sum uint64
	for i, c := range m.GetClusters() {
		at := path + ".clusters[" + strconv.Itoa(i) + "]"
		if c.GetName() == "" {
			r.addf(at+".name", "missing")
		}
		if c.GetWeight() == nil {
			r.addf(at+".weight", "missing")
		}
		sum += uint64(c.GetWeight().GetValue())
		clusters = append(clusters, config.WeightedCluster{
			Name: c.GetName(), Weight: c.GetWeight().GetValue(),
			Overrides: r.overrides(at, c.GetTypedPerFilterConfig()),
		})
	}
	if len(clusters) > 0 && (sum == 0 || sum > 1<<32-1) {
		r.add(path+".clusters", "total weight "+strconv.FormatUint(sum, 10), "must be 1 to 4294967295")
	}
	return clusters
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
	return &config.DirectResponse{Status: int(m.GetStatus()), Body: body}
}

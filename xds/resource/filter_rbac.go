package resource

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/fridaymesh/friday/filters/rbac"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/router"
)

// rbac reads who may ask for what.
func (p *problems) rbac(path string, m *filterv3.RBAC) *rbac.Config {
	return &rbac.Config{Rules: p.rbacRules(path+".rules", m.GetRules()), Shadow: p.rbacRules(path+".shadow_rules", m.GetShadowRules())}
}

func (p *problems) rbacRules(path string, m *rbacv3.RBAC) *rbac.Rules {
	if m == nil {
		return nil
	}
	out := &rbac.Rules{}
	switch m.GetAction() {
	case rbacv3.RBAC_DENY:
		out.Action = rbac.Deny
	case rbacv3.RBAC_LOG:
		out.Action = rbac.Log
	default:
	}
	for _, name := range slices.Sorted(maps.Keys(m.GetPolicies())) {
		at := path + ".policies[" + strconv.Quote(name) + "]"
		policy := rbac.Policy{Name: name}
		for i, one := range m.GetPolicies()[name].GetPermissions() {
			policy.Permissions = append(policy.Permissions, p.permission(at+"."+index("permissions", i), one))
		}
		for i, one := range m.GetPolicies()[name].GetPrincipals() {
			policy.Principals = append(policy.Principals, p.principal(at+"."+index("principals", i), one))
		}
		out.Policies = append(out.Policies, policy)
	}
	return out
}

func never(*proxy.Request) bool  { return false }
func always(*proxy.Request) bool { return true }

func all(matchers []rbac.Matcher) rbac.Matcher {
	return func(req *proxy.Request) bool {
		return !slices.ContainsFunc(matchers, func(m rbac.Matcher) bool { return !m(req) })
	}
}

func anyOf(matchers []rbac.Matcher) rbac.Matcher {
	return func(req *proxy.Request) bool {
		return slices.ContainsFunc(matchers, func(m rbac.Matcher) bool { return m(req) })
	}
}

func not(m rbac.Matcher) rbac.Matcher { return func(req *proxy.Request) bool { return !m(req) } }

// permission reads what is asked for. What the table refuses matches nothing.
func (p *problems) permission(path string, m *rbacv3.Permission) rbac.Matcher {
	list := func(field string, set *rbacv3.Permission_Set) (out []rbac.Matcher) {
		for i, one := range set.GetRules() {
			out = append(out, p.permission(path+"."+field+"."+index("rules", i), one))
		}
		return out
	}
	switch rule := m.GetRule().(type) {
	case *rbacv3.Permission_AndRules:
		return all(list("and_rules", rule.AndRules))
	case *rbacv3.Permission_OrRules:
		return anyOf(list("or_rules", rule.OrRules))
	case *rbacv3.Permission_NotRule:
		return not(p.permission(path+".not_rule", rule.NotRule))
	case *rbacv3.Permission_Any:
		return always
	case *rbacv3.Permission_Header:
		return p.headerMatcher(path+".header", rule.Header)
	case *rbacv3.Permission_UrlPath:
		return p.pathMatcher(path+".url_path", rule.UrlPath)
	case *rbacv3.Permission_DestinationIp:
		return p.addressMatcher(path+".destination_ip", rule.DestinationIp, destination)
	case *rbacv3.Permission_DestinationPort:
		return func(req *proxy.Request) bool { return destination(req).Port() == uint16(rule.DestinationPort) } // #nosec G115 -- the generated checks hold it to 65535
	case *rbacv3.Permission_DestinationPortRange:
		start, end := rule.DestinationPortRange.GetStart(), rule.DestinationPortRange.GetEnd()
		return func(req *proxy.Request) bool {
			port := int32(destination(req).Port())
			return start <= port && port < end
		}
	case *rbacv3.Permission_Metadata:
		return p.metadataMatcher(path+".metadata", rule.Metadata)
	case *rbacv3.Permission_SourcedMetadata:
		return p.metadataMatcher(path+".sourced_metadata.metadata_matcher", rule.SourcedMetadata.GetMetadataMatcher())
	case *rbacv3.Permission_RequestedServerName:
		match := p.matcher(path+".requested_server_name", rule.RequestedServerName)
		return func(req *proxy.Request) bool {
			name := ""
			if req.TLS != nil {
				name = req.TLS.ServerName
			}
			return match([]byte(name))
		}
	}
	return never
}

// principal reads who asks.
func (p *problems) principal(path string, m *rbacv3.Principal) rbac.Matcher {
	list := func(field string, set *rbacv3.Principal_Set) (out []rbac.Matcher) {
		for i, one := range set.GetIds() {
			out = append(out, p.principal(path+"."+field+"."+index("ids", i), one))
		}
		return out
	}
	switch id := m.GetIdentifier().(type) {
	case *rbacv3.Principal_AndIds:
		return all(list("and_ids", id.AndIds))
	case *rbacv3.Principal_OrIds:
		return anyOf(list("or_ids", id.OrIds))
	case *rbacv3.Principal_NotId:
		return not(p.principal(path+".not_id", id.NotId))
	case *rbacv3.Principal_Any:
		return always
	case *rbacv3.Principal_Authenticated_:
		return p.authenticated(path+".authenticated", id.Authenticated)
	case *rbacv3.Principal_SourceIp:
		return p.addressMatcher(path+".source_ip", id.SourceIp, peer)
	case *rbacv3.Principal_DirectRemoteIp:
		return p.addressMatcher(path+".direct_remote_ip", id.DirectRemoteIp, peer)
	case *rbacv3.Principal_RemoteIp:
		return p.addressMatcher(path+".remote_ip", id.RemoteIp, func(req *proxy.Request) netip.AddrPort { return addrPort(req.Remote) })
	case *rbacv3.Principal_Header:
		return p.headerMatcher(path+".header", id.Header)
	case *rbacv3.Principal_UrlPath:
		return p.pathMatcher(path+".url_path", id.UrlPath)
	case *rbacv3.Principal_Metadata:
		return p.metadataMatcher(path+".metadata", id.Metadata)
	case *rbacv3.Principal_SourcedMetadata:
		return p.metadataMatcher(path+".sourced_metadata.metadata_matcher", id.SourcedMetadata.GetMetadataMatcher())
	}
	return never
}

// authenticated reads the identity of a certificate: a URI or DNS name of it, or else its
// subject.
func (p *problems) authenticated(path string, m *rbacv3.Principal_Authenticated) rbac.Matcher {
	match := func([]byte) bool { return true }
	if m.GetPrincipalName() != nil {
		match = p.matcher(path+".principal_name", m.GetPrincipalName())
	}
	return func(req *proxy.Request) bool {
		if req.TLS == nil {
			return false
		}
		if len(req.TLS.PeerCertificates) == 0 {
			return m.GetPrincipalName() == nil // TLS is enough, as in Envoy
		}
		leaf := req.TLS.PeerCertificates[0]
		for _, u := range leaf.URIs {
			if match([]byte(u.String())) {
				return true
			}
		}
		for _, name := range leaf.DNSNames {
			if match([]byte(name)) {
				return true
			}
		}
		return match([]byte(leaf.Subject.String()))
	}
}

// matcher reads a StringMatcher.
func (p *problems) matcher(path string, m *matcherv3.StringMatcher) func([]byte) bool {
	match, err := router.NewString(*p.text(path, m))
	if err != nil {
		p.addf(path, "%v", err)
		return func([]byte) bool { return false }
	}
	return match.Match
}

func (p *problems) headerMatcher(path string, m *routev3.HeaderMatcher) rbac.Matcher {
	h, err := router.NewHeaders([]router.HeaderMatch{p.header(path, m)})
	if err != nil {
		p.addf(path, "%v", err)
		return never
	}
	return func(req *proxy.Request) bool { return h.Match(req.Header) }
}

func (p *problems) pathMatcher(path string, m *matcherv3.PathMatcher) rbac.Matcher {
	match := p.matcher(path+".path", m.GetPath())
	return func(req *proxy.Request) bool { return match(router.Path(req.Header)) }
}

func (p *problems) addressMatcher(path string, m *corev3.CidrRange, of func(*proxy.Request) netip.AddrPort) rbac.Matcher {
	addr, err := netip.ParseAddr(m.GetAddressPrefix())
	if err != nil {
		p.add(path+".address_prefix", quote(m.GetAddressPrefix()), "not an IP address")
		return never
	}
	bits := int(m.GetPrefixLen().GetValue()) // the generated checks hold it to 128
	prefix, err := addr.Prefix(min(bits, addr.BitLen()))
	if err != nil {
		p.addf(path, "%v", err)
		return never
	}
	return func(req *proxy.Request) bool { return prefix.Contains(of(req).Addr().Unmap()) }
}

// peer is who the connection is with.
func peer(req *proxy.Request) netip.AddrPort {
	if req.Peer != nil {
		return addrPort(req.Peer)
	}
	return addrPort(req.Remote)
}

// destination is where the caller's connection was meant to go.
func destination(req *proxy.Request) netip.AddrPort {
	if ap, err := netip.ParseAddrPort(req.OriginalDestination); err == nil {
		return ap
	}
	return addrPort(req.Local)
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort()
	}
	return netip.AddrPort{}
}

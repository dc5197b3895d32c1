package resource

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"

	"github.com/fridaymesh/friday/filters/jwtauthn"
	"github.com/fridaymesh/friday/proxy/router"
)

// What Envoy takes where the configuration says nothing.
const (
	jwtSkew      = time.Minute
	jwtFresh     = 10 * time.Minute
	jwtRefetch   = time.Second
	jwtRetryBase = time.Second
)

// jwtReader reads one JwtAuthentication.
type jwtReader struct {
	*problems
	parser    *Parser
	providers map[string]*jwtauthn.Provider
	all       []*jwtauthn.Provider // by name
}

// jwt reads what requests must carry.
func (p *problems) jwt(path string, m *jwtv3.JwtAuthentication, parser *Parser) *jwtauthn.Config {
	r := &jwtReader{problems: p, parser: parser, providers: map[string]*jwtauthn.Provider{}}
	for _, name := range slices.Sorted(maps.Keys(m.GetProviders())) {
		one := r.provider(path+".providers["+strconv.Quote(name)+"]", name, m.GetProviders()[name])
		r.providers[name] = one
		r.all = append(r.all, one)
	}
	c := &jwtauthn.Config{
		Providers: r.all, Named: map[string]*jwtauthn.Requirement{}, Preflights: m.GetBypassCorsPreflight(), Terse: m.GetStripFailureResponse(),
	}
	for _, name := range slices.Sorted(maps.Keys(m.GetRequirementMap())) {
		c.Named[name] = r.requirement(path+".requirement_map["+strconv.Quote(name)+"]", m.GetRequirementMap()[name], nil)
	}
	c.Rules = r.rules(path, m.GetRules(), c.Named)
	return c
}

// rules compiles the rules as a table of one host.
func (r *jwtReader) rules(path string, all []*jwtv3.RequirementRule, named map[string]*jwtauthn.Requirement) *router.Table[*jwtauthn.Requirement] {
	if len(all) == 0 {
		return nil
	}
	read := &tableReader{problems: r.problems, parser: r.parser}
	host := router.VirtualHost[*jwtauthn.Requirement]{Name: "rules", Domains: []string{"*"}}
	for i, m := range all {
		at := path + "." + index("rules", i)
		entry := router.Entry[*jwtauthn.Requirement]{Match: read.match(at+".match", m.GetMatch())}
		switch spec := m.GetRequirementType().(type) {
		case *jwtv3.RequirementRule_Requires:
			entry.Value = r.requirement(at+".requires", spec.Requires, nil)
		case *jwtv3.RequirementRule_RequirementName:
			var ok bool
			if entry.Value, ok = named[spec.RequirementName]; !ok {
				r.add(at+".requirement_name", quote(spec.RequirementName), "not in requirement_map")
			}
		}
		host.Routes = append(host.Routes, entry)
	}
	table, err := router.NewTable([]router.VirtualHost[*jwtauthn.Requirement]{host})
	if err != nil {
		r.addf(path+".rules", "%v", err)
	}
	return table
}

// requirement reads what a request must carry; nil: nothing. of are the providers that
// stand beside it.
func (r *jwtReader) requirement(path string, m *jwtv3.JwtRequirement, of []*jwtauthn.Provider) *jwtauthn.Requirement {
	if of == nil {
		of = r.all
	}
	switch spec := m.GetRequiresType().(type) {
	case *jwtv3.JwtRequirement_ProviderName:
		return &jwtauthn.Requirement{Provider: r.named(path+".provider_name", spec.ProviderName)}
	case *jwtv3.JwtRequirement_ProviderAndAudiences:
		return &jwtauthn.Requirement{
			Provider:  r.named(path+".provider_and_audiences.provider_name", spec.ProviderAndAudiences.GetProviderName()),
			Audiences: spec.ProviderAndAudiences.GetAudiences(),
		}
	case *jwtv3.JwtRequirement_RequiresAny:
		return &jwtauthn.Requirement{Any: r.anyOf(path+".requires_any", spec.RequiresAny.GetRequirements())}
	case *jwtv3.JwtRequirement_RequiresAll:
		out := &jwtauthn.Requirement{}
		for i, one := range spec.RequiresAll.GetRequirements() {
			if inner := r.requirement(path+".requires_all."+index("requirements", i), one, of); inner != nil {
				out.All = append(out.All, inner)
			}
		}
		return out
	case *jwtv3.JwtRequirement_AllowMissing:
		return &jwtauthn.Requirement{Missing: true, Of: of}
	case *jwtv3.JwtRequirement_AllowMissingOrFailed:
		return &jwtauthn.Requirement{Failed: true, Of: of}
	}
	return nil
}

// anyOf reads alternatives. Those that let requests without a good token pass come last,
// the most lenient alone, and look for the tokens of the others.
func (r *jwtReader) anyOf(path string, all []*jwtv3.JwtRequirement) (out []*jwtauthn.Requirement) {
	var lenient *jwtauthn.Requirement
	for i, one := range all {
		inner := r.requirement(path+"."+index("requirements", i), one, nil)
		switch {
		case inner == nil:
		case inner.Failed || inner.Missing:
			if lenient == nil || inner.Failed {
				lenient = inner
			}
		default:
			out = append(out, inner)
		}
	}
	if lenient != nil {
		if used := providersOf(out); len(used) > 0 {
			lenient.Of = used
		}
		out = append(out, lenient)
	}
	return out
}

// providersOf are the providers that requirements name.
func providersOf(all []*jwtauthn.Requirement) (out []*jwtauthn.Provider) {
	for _, one := range all {
		named := slices.Concat(providersOf(one.Any), providersOf(one.All))
		if one.Provider != nil {
			named = append(named, one.Provider)
		}
		for _, p := range named {
			if !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

func (r *jwtReader) named(path, name string) *jwtauthn.Provider {
	p, ok := r.providers[name]
	if !ok {
		r.add(path, quote(name), "not one of the providers")
		return new(jwtauthn.Provider)
	}
	return p
}

// provider reads who issues tokens.
func (r *jwtReader) provider(path, name string, m *jwtv3.JwtProvider) *jwtauthn.Provider {
	p := &jwtauthn.Provider{
		Name: name, Issuer: m.GetIssuer(), Audiences: m.GetAudiences(), Params: m.GetFromParams(), Cookies: m.GetFromCookies(),
		Forward: m.GetForward(), PayloadHeader: m.GetForwardPayloadHeader(), PadPayload: m.GetPadForwardPayloadHeader(),
		PayloadKey: m.GetPayloadInMetadata(), HeaderKey: m.GetHeaderInMetadata(), StatusKey: m.GetFailedStatusInMetadata(),
		Lists: m.GetNormalizePayloadInMetadata().GetSpaceDelimitedClaims(),
		Skew:  time.Duration(m.GetClockSkewSeconds()) * time.Second, Expires: m.GetRequireExpiration(), MaxLifetime: m.GetMaxLifetime().AsDuration(),
	}
	if p.Skew == 0 {
		p.Skew = jwtSkew
	}
	if m.GetSubjects() != nil {
		match, err := router.NewString(*r.text(path+".subjects", m.GetSubjects()))
		if err != nil {
			r.addf(path+".subjects", "%v", err)
		}
		p.Subject = match
	}
	for _, h := range m.GetFromHeaders() {
		p.Headers = append(p.Headers, jwtauthn.Header{Name: h.GetName(), Prefix: h.GetValuePrefix()})
	}
	for i, c := range m.GetClaimToHeaders() {
		claim := jwtauthn.Claim{Header: c.GetHeaderName(), Name: c.GetClaimName()}
		for _, segment := range c.GetClaimPath() {
			claim.Path = append(claim.Path, segment.GetKey())
		}
		if (claim.Name == "") == (len(claim.Path) == 0) {
			r.addf(path+"."+index("claim_to_headers", i), "must have one of claim_name and claim_path")
		}
		p.Claims = append(p.Claims, claim)
	}
	switch spec := m.GetJwksSourceSpecifier().(type) {
	case *jwtv3.JwtProvider_RemoteJwks:
		p.Remote = r.remote(path+".remote_jwks", spec.RemoteJwks)
	case *jwtv3.JwtProvider_LocalJwks:
		text, err := content(spec.LocalJwks)
		if err == nil {
			p.Local, err = jwtauthn.ParseKeys(text)
		}
		if err != nil {
			r.addf(path+".local_jwks", "%v", err)
		}
	default:
		r.addf(path, "missing: remote_jwks or local_jwks")
	}
	return p
}

// content is what a DataSource has now.
func content(m *corev3.DataSource) ([]byte, error) {
	switch spec := m.GetSpecifier().(type) {
	case *corev3.DataSource_Filename:
		return os.ReadFile(spec.Filename) // #nosec G304 -- the control plane names it
	case *corev3.DataSource_InlineBytes:
		return spec.InlineBytes, nil
	case *corev3.DataSource_InlineString:
		return []byte(spec.InlineString), nil
	case *corev3.DataSource_EnvironmentVariable:
		text, ok := os.LookupEnv(spec.EnvironmentVariable)
		if !ok {
			return nil, fmt.Errorf("environment_variable: %q: is not set", spec.EnvironmentVariable)
		}
		return []byte(text), nil
	}
	return nil, errors.New("missing")
}

// remote reads where keys are asked for.
func (r *jwtReader) remote(path string, m *jwtv3.RemoteJwks) *jwtauthn.Remote {
	out := &jwtauthn.Remote{
		Cluster: m.GetHttpUri().GetCluster(), Timeout: m.GetHttpUri().GetTimeout().AsDuration(), Fresh: jwtFresh,
		Ahead: m.GetAsyncFetch() != nil, Again: jwtRefetch, Base: jwtRetryBase,
	}
	at := path + ".http_uri.uri"
	u, err := url.Parse(m.GetHttpUri().GetUri())
	switch {
	case err != nil:
		r.add(at, quote(m.GetHttpUri().GetUri()), "not a URI")
	case u.Host == "":
		r.add(at, quote(m.GetHttpUri().GetUri()), "must have a host: https://issuer.example/jwks.json")
	default:
		out.Host, out.Path = u.Host, u.RequestURI()
	}
	if d := m.GetCacheDuration(); d != nil {
		out.Fresh = d.AsDuration()
	}
	if d := m.GetAsyncFetch().GetFailedRefetchDuration(); d != nil {
		out.Again = d.AsDuration()
	}
	if retry := m.GetRetryPolicy(); retry != nil {
		out.Retries = 1
		if retry.GetNumRetries() != nil {
			out.Retries = int(retry.GetNumRetries().GetValue())
		}
		if b := retry.GetRetryBackOff(); b != nil {
			out.Base = b.GetBaseInterval().AsDuration()
			out.Most = b.GetMaxInterval().AsDuration()
		}
	}
	if out.Most < out.Base {
		out.Most = 10 * out.Base
	}
	return out
}

// jwtRoute reads what a route says in place of the rules.
func (p *problems) jwtRoute(path string, m *jwtv3.PerRouteConfig) *jwtauthn.Config {
	if !m.GetDisabled() && m.GetRequirementName() == "" {
		p.addf(path, "missing: disabled: true or requirement_name")
	}
	return &jwtauthn.Config{Route: &jwtauthn.Route{Disabled: m.GetDisabled(), Requirement: m.GetRequirementName()}}
}

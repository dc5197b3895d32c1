package jwtauthn

import (
	"context"
	"time"

	"github.com/fridaymesh/friday/proxy"
)

// visit is one request that is judged.
type visit struct {
	ctx     context.Context //nolint:containedctx // the request's
	req     *proxy.Request
	sources map[*Provider]*source
	now     time.Time
}

// require says whether the request carries what r asks for.
func (v *visit) require(r *Requirement) Status {
	switch {
	case r.Provider != nil:
		audiences := r.Audiences
		if len(audiences) == 0 {
			audiences = r.Provider.Audiences
		}
		return v.some([]*Provider{r.Provider}, audiences)
	case len(r.Any) > 0:
		return v.anyOf(r.Any)
	case len(r.All) > 0:
		for _, one := range r.All {
			if s := v.require(one); s != good {
				return s
			}
		}
	case r.Failed:
		v.every(r.Of)
	case r.Missing:
		if s := v.some(r.Of, nil); s != missing {
			return s
		}
	}
	return good
}

// anyOf is good where one is. Else it is the last that says more than that there is no
// token of an issuer.
func (v *visit) anyOf(all []*Requirement) Status {
	said := good
	last := missing
	for _, one := range all {
		s := v.require(one)
		switch s {
		case good:
			return good
		case missing, unknownIssuer:
			last = s
		default:
			said = s
		}
	}
	if said != good {
		return said
	}
	return last
}

// some is good where there is a token of providers, and all of them are good; else it is
// what became of the first that is not.
func (v *visit) some(providers []*Provider, audiences []string) Status {
	v.sanitize(providers)
	s := missing
	for _, f := range extract(v.req, providers) {
		if s = v.one(f, audiences); s != good {
			return s
		}
	}
	return s
}

// every looks at all tokens of providers, and hands on what the good ones claim.
func (v *visit) every(providers []*Provider) {
	v.sanitize(providers)
	for _, f := range extract(v.req, providers) {
		v.one(f, nil)
	}
}

// sanitize removes the headers that only a good token may set.
func (v *visit) sanitize(providers []*Provider) {
	for _, p := range providers {
		if p.PayloadHeader != "" {
			proxy.RemoveField(v.req.Header, p.PayloadHeader)
		}
		for _, c := range p.Claims {
			proxy.RemoveField(v.req.Header, c.Header)
		}
	}
}

// one judges a token, and hands on what it claims where it is good. Without audiences
// those of its provider count.
func (v *visit) one(f found, audiences []string) Status {
	t, s := parseToken(f.text)
	p := (*Provider)(nil)
	if s == good {
		if p = issuerOf(f.of, t.issuer); p == nil {
			s = unknownIssuer
		}
	}
	if s == good {
		if audiences == nil {
			audiences = p.Audiences
		}
		s = v.judge(t, p, audiences)
	}
	if s != good {
		v.failed(f, p, s)
		return s
	}
	v.hand(t, p)
	if !p.Forward {
		f.remove(v.req.Header)
	}
	return good
}

// issuerOf is the provider whose token it is: the one of that issuer, else one of any.
func issuerOf(providers []*Provider, issuer string) *Provider {
	var of *Provider
	for _, p := range providers {
		if p.Issuer == issuer && issuer != "" {
			return p
		}
		if p.Issuer == "" && of == nil {
			of = p
		}
	}
	return of
}

func (v *visit) judge(t *token, p *Provider, audiences []string) Status {
	if p.Subject != nil && !p.Subject.Match([]byte(t.subject)) {
		return wrong
	}
	if !t.lives(v.now, p) {
		return wrong
	}
	if s := t.inTime(v.now, p.Skew); s != good {
		return s
	}
	if !t.meantFor(audiences) {
		return otherAudience
	}
	keys := p.Local
	if keys == nil {
		if keys = v.sources[p].get(v.ctx); keys == nil {
			return noKeys
		}
	}
	return keys.verify(t)
}

// failed puts the reason where the configuration asks for it.
func (v *visit) failed(f found, p *Provider, s Status) {
	if p == nil {
		if len(f.of) != 1 {
			return
		}
		p = f.of[0]
	}
	if p.StatusKey != "" {
		v.req.SetMetadata(Metadata, p.StatusKey, map[string]any{"code": float64(16), "message": string(s)})
	}
}

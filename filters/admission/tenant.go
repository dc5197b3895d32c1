package admission

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/admission/gate"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/xds/api/settings"
)

// everybody is whose requests are where nothing tells tenants apart.
const everybody = "all"

// identify says whose a request is, or why that cannot be.
func (f *filter) identify(req *proxy.Request) (*Tenant, *refusal) {
	switch {
	case f.keys != nil:
		secret := credential(req.Header)
		if secret == "" {
			return nil, noKey()
		}
		if t := f.keys.current().Find(secret); t != nil {
			return t, nil
		}
		return nil, unknownKey()
	case f.config.TenantHeader != "":
		value, _ := proxy.FieldValue(req.Header, f.config.TenantHeader)
		return &Tenant{Name: f.named(value)}, nil
	}
	return f.everybody, nil
}

// named is what a tenant is called whose header says so. It is seen in metrics and in
// answers, so that credentials, and what is no short name, are told by a part of their hash.
func (f *filter) named(value string) string {
	switch {
	case value == "":
		return everybody
	case f.secret, len(value) > maxTenantName, strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }):
		hash := sha256.Sum256([]byte(value))
		return "sha256-" + hex.EncodeToString(hash[:8])
	}
	return value
}

// isCredential says that a header, in lower case, says who asks by a secret.
func isCredential(name string) bool { return slices.Contains(settings.CredentialHeaders(), name) }

// credential is the API key that a request has, in OpenAI's, Anthropic's or Azure's way.
func credential(h *fasthttp.RequestHeader) string {
	const bearer = "bearer "
	if v, _ := proxy.FieldValue(h, "authorization"); len(v) > len(bearer) && strings.EqualFold(v[:len(bearer)], bearer) {
		return strings.TrimSpace(v[len(bearer):])
	}
	if v, ok := proxy.FieldValue(h, "x-api-key"); ok {
		return v
	}
	v, _ := proxy.FieldValue(h, "api-key")
	return v
}

// priority is how urgent a request is.
func (f *filter) priority(req *proxy.Request) gate.Priority {
	if f.config.PriorityHeader != "" {
		switch v, ok := proxy.FieldValue(req.Header, f.config.PriorityHeader); {
		case strings.EqualFold(v, "high"):
			return gate.High
		case strings.EqualFold(v, "low"):
			return gate.Low
		case ok:
			return gate.Normal
		}
	}
	if req.HighPriority {
		return gate.High
	}
	return gate.Normal
}

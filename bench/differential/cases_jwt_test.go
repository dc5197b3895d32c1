//go:build interop

package differential

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
)

// keysPath is where an endpoint tells the keys.
const keysPath = "/keys.json"

// signers are keys by the algorithm that each signs with, and one that nobody knows.
type signers struct {
	keys map[jose.SignatureAlgorithm]any
	set  jose.JSONWebKeySet
}

// jwtSigners are the same for the whole run, since RSA takes its time.
var jwtSigners = sync.OnceValue(func() *signers {
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	p256 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(0, err)
	secret := []byte("a secret of thirty-two bytes, or more of them, for HS512 at least sixty-four")
	s := &signers{keys: map[jose.SignatureAlgorithm]any{
		jose.RS256: rsaKey, jose.RS384: rsaKey, jose.RS512: rsaKey, jose.PS256: rsaKey, jose.ES256: p256, jose.ES384: p384, jose.EdDSA: ed,
		jose.HS256: secret, jose.HS512: secret, "other": must(rsa.GenerateKey(rand.Reader, 2048)),
	}}
	s.set.Keys = []jose.JSONWebKey{
		{Key: rsaKey.Public(), KeyID: "rsa"},
		{Key: p256.Public(), KeyID: "p256", Algorithm: "ES256"},
		{Key: p384.Public(), KeyID: "p384"},
		{Key: ed.Public(), KeyID: "ed", Algorithm: "EdDSA"},
		{Key: secret, KeyID: "secret"},
	}
	return s
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// jwtKeys is the set of public keys.
func jwtKeys() string { return string(must(json.Marshal(jwtSigners().set))) }

// claims are a token's; what is given replaces what a good one has, nil leaves it out.
func claims(more ...any) map[string]any {
	now := time.Now().Unix()
	all := map[string]any{
		"iss": "https://issuer.test", "sub": "somebody", "aud": "friday", "iat": now - 10, "exp": now + 3600,
		"scope": "read write", "groups": []string{"admin", "dev"}, "level": 7, "vip": true, "deep": map[string]any{"er": "x"}, "half": 0.5,
	}
	for i := 0; i < len(more); i += 2 {
		if all[more[i].(string)] = more[i+1]; more[i+1] == nil {
			delete(all, more[i].(string))
		}
	}
	return all
}

// sign makes a token; alg is "other" for a key that nobody knows.
func sign(alg jose.SignatureAlgorithm, kid string, payload map[string]any) string {
	options := (&jose.SignerOptions{}).WithType("JWT")
	if kid != "" {
		options = options.WithHeader("kid", kid)
	}
	key := jose.SigningKey{Algorithm: alg, Key: jwtSigners().keys[alg]}
	if alg == "other" {
		key.Algorithm = jose.RS256
	}
	signer := must(jose.NewSigner(key, options))
	return must(must(signer.Sign(must(json.Marshal(payload)))).CompactSerialize())
}

// usual is a good token.
func usual(more ...any) string { return sign(jose.RS256, "rsa", claims(more...)) }

// raw makes a token of a header and a payload as they are.
func raw(header, payload, signature string) string {
	e := base64.RawURLEncoding.EncodeToString
	return e([]byte(header)) + "." + e([]byte(payload)) + "." + e([]byte(signature))
}

func bearer(tokens ...string) (out []Request) {
	for _, t := range tokens {
		out = append(out, Request{Header: []string{"authorization: Bearer " + t}})
	}
	return out
}

// jwtFilter is a chain with jwt_authn; provider are fields of the provider p, more are the
// filter's own.
func jwtFilter(provider, more string) Config {
	return filtered("jwt", "jwt_authn.v3.JwtAuthentication", jwtConfig(provider, more))
}

func jwtConfig(provider, more string) string {
	if !strings.Contains(provider, "_jwks:") {
		provider += ", local_jwks: {inline_string: '" + jwtKeys() + "'}"
	}
	if !strings.Contains(more, "rules:") {
		more = "rules: [{match: {prefix: /}, requires: {provider_name: p}}]" + more
	}
	return "providers: {p: {issuer: 'https://issuer.test'" + provider + "}}, " + more
}

func jwtCases() []Case {
	now := time.Now().Unix()
	requires := func(text string) string { return "rules: [{match: {prefix: /}, requires: {" + text + "}}]" }
	two := func(more string) Config {
		keys := "local_jwks: {inline_string: '" + jwtKeys() + "'}"
		return filtered("jwt", "jwt_authn.v3.JwtAuthentication", "providers: {p: {issuer: 'https://issuer.test', "+keys+"}, q: {issuer: 'https://second.test', from_headers: [{name: x-second}], "+keys+"}}, "+more)
	}
	second := "x-second: " + usual("iss", "https://second.test")
	first := "authorization: Bearer " + usual()
	remote := func(cluster, more string) string {
		return ", remote_jwks: {http_uri: {uri: 'http://keys.test" + keysPath + "', cluster: " + cluster + ", timeout: 5s}" + more + "}"
	}
	byMetadata := func(matcher string) Config {
		c := jwtFilter(", payload_in_metadata: payload", requires("requires_any: {requirements: [{provider_name: p}, {allow_missing: {}}]}"))
		judge := filter("rbac", "rbac.v3.RBAC", `rules: {policies: {p: {permissions: [{any: true}], principals: [{metadata: {filter: envoy.filters.http.jwt_authn, `+matcher+`}}]}}}`)
		c.Filters = strings.TrimSuffix(c.Filters, "]") + ", " + strings.TrimPrefix(judge, "[")
		return c
	}
	return []Case{
		{Name: "jwt good, missing, of another scheme", Config: jwtFilter("", ""), Requests: append(bearer(usual(), ""), Request{}, Request{Header: []string{"authorization: Basic " + usual()}}, Request{Header: []string{"authorization: bearer " + usual()}}, Request{Header: []string{"authorization: Bearer  " + usual() + " x"}})},
		{Name: "jwt among other things", Config: jwtFilter("", ""), Requests: with(
			"authorization: Bearer  "+usual(), "authorization: Bearer "+usual()+" x", "authorization: Bearer "+usual()+",x", "authorization: xBearer "+usual(),
			"authorization: Basic x, Bearer "+usual(), "authorization: Bearer \""+usual()+"\"", "authorization: Bearer x|authorization: Bearer "+usual(), "authorization: Bearer "+usual()+"==")},
		{Name: "jwt in time", Config: jwtFilter("", ""), Requests: bearer(usual("exp", now-300), usual("exp", now-30), usual("nbf", now+300), usual("nbf", now+30), usual("exp", nil))},
		{Name: "jwt in time with another skew", Config: jwtFilter(", clock_skew_seconds: 600", ""), Requests: bearer(usual("exp", now-300), usual("exp", now-900), usual("nbf", now+300))},
		{Name: "jwt must end", Config: jwtFilter(", require_expiration: true", ""), Requests: bearer(usual(), usual("exp", nil))},
		{Name: "jwt must not live long", Config: jwtFilter(", max_lifetime: 7200s", ""), Requests: bearer(usual(), usual("exp", now+9000), usual("exp", nil), usual("iat", nil), usual("iat", nil, "exp", now+9000))},
		{Name: "jwt of another issuer", Config: jwtFilter("", ""), Requests: bearer(usual("iss", "https://other.test"), usual("iss", nil))},
		{Name: "jwt for others", Config: jwtFilter(", audiences: ['https://friday/', mesh]", ""), Requests: bearer(usual(), usual("aud", []string{"x", "mesh"}), usual("aud", "other"), usual("aud", nil), usual("aud", "http://friday"))},
		{Name: "jwt of a subject", Config: jwtFilter(", subjects: {prefix: some}", ""), Requests: bearer(usual(), usual("sub", "nobody"), usual("sub", nil))},
		{Name: "jwt of every algorithm", Config: jwtFilter("", ""), Requests: bearer(
			sign(jose.RS256, "", claims()), sign(jose.RS384, "rsa", claims()), sign(jose.RS512, "rsa", claims()), sign(jose.PS256, "rsa", claims()),
			sign(jose.ES256, "p256", claims()), sign(jose.ES384, "p384", claims()), sign(jose.EdDSA, "ed", claims()), sign(jose.HS256, "secret", claims()), sign(jose.HS512, "secret", claims()))},
		{Name: "jwt signed by others", Config: jwtFilter("", ""), Requests: bearer(
			sign("other", "rsa", claims()), sign("other", "", claims()), sign("other", "unknown", claims()), sign(jose.RS256, "p256", claims()), sign(jose.HS256, "rsa", claims()), usual()[:len(usual())-8])},
		{Name: "jwt that is none", Config: jwtFilter("", ""), Requests: bearer(
			"x", "a.b", "a.b.c.d", raw("{", "{}", "x"), raw(`{"alg":"none"}`, `{"iss":"https://issuer.test"}`, "x"), raw(`{"alg":"RS256"}`, `{`, "x"), raw(`{}`, `{}`, "x"),
			raw(`{"alg":5}`, `{}`, "x"), raw(`{"alg":"RS256","kid":5}`, `{}`, "x"), raw(`{"alg":"RS256"}`, `{"iss":5}`, "x"), raw(`{"alg":"RS256"}`, `{"exp":"soon"}`, "x"),
			raw(`{"alg":"RS256"}`, `{"aud":{}}`, "x"), raw(`{"alg":"RS256"}`, `{"sub":1}`, "x"), raw(`{"alg":"RS256"}`, `{"exp":-1}`, "x"), raw(`{"alg":"RS256"}`, `{"jti":1}`, "x"), raw(`{"alg":"RS256"}`, `{"iss":"https://issuer.test"}`, ""), "!!.e30.e30")},
		{Name: "jwt forwarded", Config: jwtFilter(", forward: true", ""), Requests: bearer(usual())},
		{Name: "jwt from a header", Config: jwtFilter(", from_headers: [{name: x-token}, {name: x-pre, value_prefix: 'Token '}]", ""), Requests: with("x-token: "+usual(), "x-pre: Token "+usual(), "x-pre: "+usual(), first, "x-token: "+usual()+"|x-pre: Token x")},
		{Name: "jwt from the query", Config: jwtFilter(", from_params: [token]", ""), Requests: get("/x?a=1&token="+usual()+"&b=2", "/x?token=x", "/x?access_token="+usual(), "/x?token="+usual())},
		{Name: "jwt from the usual parameter", Config: jwtFilter("", ""), Requests: get("/x?access_token=" + usual())},
		{Name: "jwt from the query, forwarded", Config: jwtFilter(", forward: true, from_params: [token]", ""), Requests: get("/x?a=1&token=" + usual())},
		{Name: "jwt from a cookie", Config: jwtFilter(", from_cookies: [session]", ""), Requests: with("cookie: a=b; session="+usual()+"; c=d", "cookie: session=x", "")},
		{Name: "jwt payload forwarded", Config: jwtFilter(", forward_payload_header: x-payload", ""), Requests: append(bearer(raw(`{"alg":"RS256"}`, `{}`, "x")), Request{Header: []string{first, "x-payload: forged"}})},
		{Name: "jwt payload forwarded, padded", Config: jwtFilter(", forward_payload_header: x-payload, pad_forward_payload_header: true", ""), Requests: bearer(usual("n", "1"), usual("n", "12"), usual("n", "123"))},
		{Name: "jwt claims to headers", Config: jwtFilter(", claim_to_headers: [{header_name: x-sub, claim_name: sub}, {header_name: x-level, claim_name: level}, {header_name: x-vip, claim_name: vip}, {header_name: x-deep, claim_name: deep.er}, {header_name: x-none, claim_name: none}, {header_name: x-groups, claim_name: groups}, {header_name: x-object, claim_name: deep}]", ""), Requests: append(bearer(usual()), Request{Header: []string{first, "x-none: forged", "x-sub: forged"}})},
		{Name: "jwt any of two", Config: two(requires("requires_any: {requirements: [{provider_name: p}, {provider_name: q}]}")), Requests: with("", first, second, "x-second: x", "x-second: "+usual(), "authorization: Bearer x|"+second, "authorization: Bearer "+usual("exp", now-300))},
		{Name: "jwt all of two", Config: two(requires("requires_all: {requirements: [{provider_name: p}, {provider_name: q}]}")), Requests: with("", first, second, first+"|"+second)},
		{Name: "jwt may be missing", Config: two(requires("allow_missing: {}")), Requests: with("", first, second, "authorization: Bearer x", "authorization: Bearer "+usual("iss", "https://other.test"), "x-second: "+usual())},
		{Name: "jwt may be missing or wrong", Config: jwtFilter(", forward_payload_header: x-payload", requires("allow_missing_or_failed: {}")), Requests: with("", first, "authorization: Bearer x", "authorization: Bearer "+usual("exp", now-300))},
		{Name: "jwt of one, or missing", Config: two(requires("requires_any: {requirements: [{provider_name: p}, {allow_missing: {}}]}")), Requests: with("", first, second, "authorization: Bearer x", "authorization: Bearer "+usual("iss", "https://second.test"), "authorization: Bearer "+usual("exp", now-300))},
		{Name: "jwt of one, or missing or wrong", Config: two(requires("requires_any: {requirements: [{provider_name: p}, {allow_missing_or_failed: {}}]}")), Requests: with("", first, "authorization: Bearer x")},
		{Name: "jwt with audiences of the rule", Config: jwtFilter(", audiences: [friday]", requires("provider_and_audiences: {provider_name: p, audiences: [mesh]}")), Requests: bearer(usual(), usual("aud", "mesh"))},
		{Name: "jwt by rules", Config: jwtFilter("", "rules: [{match: {path: /open}}, {match: {prefix: /a, headers: [{name: x-a, present_match: true}]}, requires: {provider_name: p}}, {match: {safe_regex: {regex: '/b.*'}}, requirement_name: r}], requirement_map: {r: {provider_name: p}}"), Requests: []Request{{Path: "/open"}, {Path: "/a"}, {Path: "/a", Header: []string{"x-a: 1"}}, {Path: "/b1"}, {Path: "/c"}, {Path: "/b1", Header: []string{first}}}},
		{Name: "jwt by route", Config: func() Config {
			c := jwtFilter("", ", requirement_map: {none: {}, r: {provider_name: p}}")
			per := func(text string) string {
				return "typed_per_filter_config: {jwt: {'@type': type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig, " + text + "}}"
			}
			c.Routes = "[{match: {prefix: /off}, route: {cluster: a}, " + per("disabled: true") + "}, {match: {prefix: /named}, route: {cluster: a}, " + per("requirement_name: r") +
				"}, {match: {prefix: /wrong}, route: {cluster: a}, " + per("requirement_name: unknown") + "}, {match: {prefix: /}, route: {cluster: a}}]"
			return c
		}(), Requests: []Request{{Path: "/off"}, {Path: "/named"}, {Path: "/named", Header: []string{first}}, {Path: "/wrong", Header: []string{first}}, {Path: "/"}}},
		{Name: "jwt and preflights", Config: jwtFilter("", ", bypass_cors_preflight: true"), Requests: []Request{
			{Method: "OPTIONS", Header: []string{"origin: x", "access-control-request-method: POST"}}, {Method: "OPTIONS", Header: []string{"origin: x"}}, {Header: []string{"origin: x", "access-control-request-method: POST"}},
		}},
		{Name: "jwt and preflights that need one", Config: jwtFilter("", ""), Requests: []Request{{Method: "OPTIONS", Header: []string{"origin: x", "access-control-request-method: POST"}}}},
		{Name: "jwt, the reason left out", Config: jwtFilter(", audiences: [x]", ", strip_failure_response: true"), Requests: append(bearer("x", usual()), Request{})},
		{Name: "jwt by remote keys", Config: jwtFilter(remote("a", ""), ""), Requests: append(bearer(usual(), usual(), sign("other", "", claims())), Request{})},
		{Name: "jwt by remote keys, ahead", Config: jwtFilter(remote("a", ", cache_duration: 600s, async_fetch: {}"), ""), Requests: bearer(usual())},
		{Name: "jwt by remote keys that are away", Config: jwtFilter(remote("gone", ", retry_policy: {num_retries: 1, retry_back_off: {base_interval: 0.05s}}"), ""), Requests: append(bearer(usual(), "x"), Request{})},
		{Name: "jwt by remote keys of nobody", Config: jwtFilter(remote("empty", ""), ""), Requests: bearer(usual())},
		{Name: "jwt over HTTP/2 and gRPC", Config: jwtFilter("", ""), Requests: []Request{{HTTP2: true, Header: []string{first}}, {HTTP2: true}, {Method: "POST", HTTP2: true, Header: []string{"content-type: application/grpc"}}}},
		{Name: "jwt, a long address", Config: jwtFilter("", ""), Requests: get("/" + strings.Repeat("x", 400))},
		{Name: "jwt claims judged by rbac", Config: byMetadata("path: [{key: payload}, {key: sub}], value: {string_match: {exact: somebody}}"), Requests: with("", first, "authorization: Bearer "+usual("sub", "nobody"))},
		{Name: "jwt lists judged by rbac", Config: byMetadata("path: [{key: payload}, {key: groups}], value: {list_match: {one_of: {string_match: {exact: dev}}}}"), Requests: with("", first, "authorization: Bearer "+usual("groups", []string{"x"}), "authorization: Bearer "+usual("groups", "dev"))},
		{Name: "jwt values judged by rbac", Config: byMetadata("path: [{key: payload}, {key: level}], value: {or_match: {value_matchers: [{double_match: {exact: 7}}, {double_match: {range: {start: 20, end: 30}}}, {bool_match: true}]}}"), Requests: with("", first, "authorization: Bearer "+usual("level", 8), "authorization: Bearer "+usual("level", 20), "authorization: Bearer "+usual("level", 30), "authorization: Bearer "+usual("level", true))},
		{Name: "jwt absence judged by rbac", Config: byMetadata("path: [{key: payload}, {key: none}], value: {present_match: true}, invert: true"), Requests: with("", first)},
		{Name: "jwt words judged by rbac", Config: func() Config {
			c := byMetadata("path: [{key: payload}, {key: scope}], value: {list_match: {one_of: {string_match: {exact: write}}}}")
			c.Filters = strings.Replace(c.Filters, "payload_in_metadata: payload", "payload_in_metadata: payload, normalize_payload_in_metadata: {space_delimited_claims: [scope]}", 1)
			return c
		}(), Requests: with(first, "authorization: Bearer "+usual("scope", "read"))},
		{Name: "jwt, the reason judged by rbac", Config: func() Config {
			c := byMetadata("path: [{key: why}, {key: message}], value: {string_match: {exact: Jwt is expired}}")
			c.Filters = strings.Replace(strings.Replace(c.Filters, "payload_in_metadata: payload", "failed_status_in_metadata: why", 1), "allow_missing:", "allow_missing_or_failed:", 1)
			return c
		}(), Requests: with("", first, "authorization: Bearer "+usual("exp", now-300))},
		{Name: "jwt of an unknown provider is kept out", Config: Config{Routes: toA}, Requests: get("/"), Then: []Step{{
			Config: jwtFilter("", requires("provider_name: q")), Refused: listenerURL, Requests: get("/"),
		}}},
		{Name: "jwt keys asked for once", Config: jwtFilter(remote("a", ""), ""), Each: func(t *testing.T, s *side) any {
			t.Helper()
			var statuses []int
			for range 5 {
				a, err := s.send(t.Context(), &Request{Header: []string{first}})
				require.NoError(t, err)
				statuses = append(statuses, a.Status)
			}
			return fmt.Sprint(statuses)
		}},
	}
}

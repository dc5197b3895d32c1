package jwtauthn

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"
)

// Status is what became of a token. Its texts are Envoy's, which callers see.
type Status string

// What becomes of tokens. The empty Status is a good one's.
const (
	good            Status = ""
	missing         Status = "Jwt is missing"
	notYet          Status = "Jwt not yet valid"
	expired         Status = "Jwt is expired"
	badForm         Status = "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"
	headerBase64    Status = "Jwt header is an invalid Base64url encoded"
	headerJSON      Status = "Jwt header is an invalid JSON"
	headerAlg       Status = "Jwt header [alg] field is required and must be a string"
	headerOtherAlg  Status = "Jwt header [alg] is not supported"
	headerKid       Status = "Jwt header [kid] field is not a string"
	payloadBase64   Status = "Jwt payload is an invalid Base64url encoded"
	payloadJSON     Status = "Jwt payload is an invalid JSON"
	payloadIss      Status = "Jwt payload [iss] field is not a string"
	payloadSub      Status = "Jwt payload [sub] field is not a string"
	payloadIat      Status = "Jwt payload [iat] field is not an integer"
	payloadNbf      Status = "Jwt payload [nbf] field is not an integer"
	payloadExp      Status = "Jwt payload [exp] field is not an integer"
	payloadIatRange Status = "Jwt payload [iat] field is not a positive 64 bit integer"
	payloadNbfRange Status = "Jwt payload [nbf] field is not a positive 64 bit integer"
	payloadExpRange Status = "Jwt payload [exp] field is not a positive 64 bit integer"
	payloadJti      Status = "Jwt payload [jti] field is not a string"
	payloadAud      Status = "Jwt payload [aud] field is not a string or string list"
	signatureBase64 Status = "Jwt signature is an invalid Base64url encoded"
	unknownIssuer   Status = "Jwt issuer is not configured"
	otherAudience   Status = "Audiences in Jwt are not allowed"
	wrong           Status = "Jwt verification fails"
	noKey           Status = "Jwks doesn't have key to match kid or alg from Jwt"
	noKeys          Status = "Jwks remote fetch is failed"
)

// maxToken bounds what is looked at, in bytes. A head is shorter anyway; cookies and
// queries of HTTP/2 may not be.
const maxToken = 64 << 10

// token is a token that was read, in the compact form (RFC 7515 section 7.1).
type token struct {
	text, payloadText       string
	header, payload         map[string]any
	alg, kid                string
	issuer, subject         string
	audiences               []string
	issued, notBefore, ends int64 // seconds since 1970; 0: not said
}

// parseToken reads a token without asking whether it is true.
func parseToken(text string) (*token, Status) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || slices.Contains(parts, "") || len(text) > maxToken {
		return nil, badForm
	}
	t := &token{payloadText: parts[1]}
	for i := range parts { // Envoy takes padding, which RFC 7515 section 2 leaves out
		parts[i] = strings.TrimRight(parts[i], "=")
	}
	t.text = strings.Join(parts, ".")
	if s := t.readHeader(parts[0]); s != good {
		return nil, s
	}
	if s := t.readPayload(parts[1]); s != good {
		return nil, s
	}
	if signature, err := decode(parts[2]); err != nil || len(signature) == 0 {
		return nil, signatureBase64
	}
	return t, good
}

// decode reads base64url. White space does not count here; a signature over it fails.
func decode(text string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
}

// object reads base64url of a JSON object.
func object(text string, encoded, content Status) (map[string]any, Status) {
	raw, err := decode(text)
	if err != nil || len(raw) == 0 {
		return nil, encoded
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil || m == nil || d.More() {
		return nil, content
	}
	return m, good
}

// algorithms are those that are known.
var algorithms = map[string]bool{ //nolint:gochecknoglobals // a constant
	"ES256": true, "ES384": true, "ES512": true, "HS256": true, "HS384": true, "HS512": true, "RS256": true, "RS384": true, "RS512": true,
	"PS256": true, "PS384": true, "PS512": true, "EdDSA": true,
}

func (t *token) readHeader(text string) (s Status) {
	if t.header, s = object(text, headerBase64, headerJSON); s != good {
		return s
	}
	var ok bool
	if t.alg, ok = t.header["alg"].(string); !ok {
		return headerAlg
	}
	if !algorithms[t.alg] {
		return headerOtherAlg
	}
	if kid, there := t.header["kid"]; there {
		if t.kid, ok = kid.(string); !ok {
			return headerKid
		}
	}
	return good
}

func (t *token) readPayload(text string) (s Status) {
	if t.payload, s = object(text, payloadBase64, payloadJSON); s != good {
		return s
	}
	var id string
	for _, claim := range []struct {
		name string
		into *string
		not  Status
	}{{"iss", &t.issuer, payloadIss}, {"sub", &t.subject, payloadSub}, {"jti", &id, payloadJti}} {
		if v, there := t.payload[claim.name]; there {
			var ok bool
			if *claim.into, ok = v.(string); !ok {
				return claim.not
			}
		}
	}
	for _, claim := range []struct {
		name        string
		into        *int64
		not, beyond Status
	}{{"iat", &t.issued, payloadIat, payloadIatRange}, {"nbf", &t.notBefore, payloadNbf, payloadNbfRange}, {"exp", &t.ends, payloadExp, payloadExpRange}} {
		v, there := t.payload[claim.name]
		if !there {
			continue
		}
		n, ok := v.(json.Number)
		if !ok {
			return claim.not
		}
		f, err := n.Float64()
		if err != nil || f < 0 || f >= math.MaxInt64 {
			return claim.beyond
		}
		*claim.into = int64(f)
	}
	return t.readAudiences()
}

func (t *token) readAudiences() Status {
	switch aud := t.payload["aud"].(type) {
	case nil:
		if _, there := t.payload["aud"]; there {
			return payloadAud
		}
	case string:
		t.audiences = []string{aud}
	case []any:
		for _, one := range aud {
			s, ok := one.(string)
			if !ok {
				return payloadAud
			}
			t.audiences = append(t.audiences, s)
		}
	default:
		return payloadAud
	}
	return good
}

// inTime says whether a token is valid now, give or take skew.
func (t *token) inTime(now time.Time, skew time.Duration) Status {
	if t.notBefore > 0 && now.Add(skew).Unix() < t.notBefore {
		return notYet
	}
	if t.ends > 0 && now.Add(-skew).Unix() > t.ends {
		return expired
	}
	return good
}

// lives says whether a token's life is as p asks.
func (t *token) lives(now time.Time, p *Provider) bool {
	if t.ends == 0 {
		return !p.Expires && p.MaxLifetime == 0
	}
	if p.MaxLifetime == 0 {
		return true
	}
	from := now.Unix()
	if t.issued > 0 {
		from = t.issued
	} else if t.notBefore > 0 {
		from = t.notBefore
	}
	return t.ends-from <= int64(p.MaxLifetime/time.Second)
}

// meantFor says whether one of audiences is the token's; without any it is for everybody.
func (t *token) meantFor(audiences []string) bool {
	if len(audiences) == 0 {
		return true
	}
	for _, a := range t.audiences {
		for _, b := range audiences {
			if sanitized(a) == sanitized(b) {
				return true
			}
		}
	}
	return false
}

// sanitized leaves out of an audience what is often written, and often not.
func sanitized(audience string) string {
	if rest, ok := strings.CutPrefix(audience, "https://"); ok {
		audience = rest
	} else if rest, ok := strings.CutPrefix(audience, "http://"); ok {
		audience = rest
	}
	return strings.TrimSuffix(audience, "/")
}

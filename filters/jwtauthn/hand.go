package jwtauthn

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/fridaymesh/friday/proxy"
)

// hand hands on what a good token claims.
func (v *visit) hand(t *token, p *Provider) {
	h := v.req.Header
	if p.PayloadHeader != "" {
		value := t.payloadText
		if n := len(value) % 4; p.PadPayload && n > 0 {
			value += strings.Repeat("=", 4-n)
		}
		proxy.AddField(h, p.PayloadHeader, value)
	}
	for _, c := range p.Claims {
		if value, ok := header(c.of(t.payload)); ok {
			proxy.AddField(h, c.Header, value)
		}
	}
	if p.PayloadKey != "" {
		payload := plain(t.payload).(map[string]any) //nolint:forcetypeassert // an object stays one
		for _, name := range p.Lists {
			if words, ok := payload[name].(string); ok {
				list := []any{}
				for word := range strings.SplitSeq(words, " ") {
					list = append(list, word)
				}
				payload[name] = list
			}
		}
		v.req.SetMetadata(Metadata, p.PayloadKey, payload)
	}
	if p.HeaderKey != "" {
		v.req.SetMetadata(Metadata, p.HeaderKey, plain(t.header))
	}
}

func (c *Claim) of(payload map[string]any) any {
	if len(c.Path) == 0 {
		return claim(payload, c.Name)
	}
	var v any = payload
	for _, name := range c.Path {
		in, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = in[name]
	}
	return v
}

// claim finds a claim by its name, of which dots lead into objects.
func claim(in map[string]any, name string) any {
	if v, ok := in[name]; ok {
		return v
	}
	first, rest, deeper := strings.Cut(name, ".")
	if inner, ok := in[first].(map[string]any); ok && deeper {
		return claim(inner, rest)
	}
	return nil
}

// header is how a claim is written in a header; false: it is not.
func header(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case json.Number:
		return v.String(), true
	case map[string]any, []any:
		text, err := json.Marshal(v)
		return base64.StdEncoding.EncodeToString(text), err == nil
	}
	return "", false
}

// plain is JSON as metadata has it: numbers are float64.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, _ := v.Float64()
		return f
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, one := range v {
			out[name] = plain(one)
		}
		return out
	case []any:
		out := slices.Clone(v)
		for i := range out {
			out[i] = plain(out[i])
		}
		return out
	}
	return v
}

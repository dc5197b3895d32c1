package jwtauthn

import (
	"net/url"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// found is a token and where it stood.
type found struct {
	text string
	// of are the providers whose tokens may stand there.
	of []*Provider
	// remove takes it out of the request.
	remove func(h *fasthttp.RequestHeader)
}

// extract finds the tokens of providers: those in headers, in the query, in cookies, each
// in the order in which the providers name the places.
func extract(req *proxy.Request, providers []*Provider) []found {
	var out []found
	places := map[string]int{} // in out; -1: no token there
	add := func(place string, p *Provider, look func() (found, bool)) {
		i, known := places[place]
		if !known {
			i = -1
			if f, ok := look(); ok {
				i = len(out)
				out = append(out, f)
			}
			places[place] = i
		}
		if i >= 0 {
			out[i].of = append(out[i].of, p)
		}
	}
	for _, p := range providers {
		for _, h := range p.headers() {
			add("header "+strings.ToLower(h.Name)+"\x00"+h.Prefix, p, func() (found, bool) { return inHeader(req.Header, h) })
		}
	}
	for _, p := range providers {
		for _, name := range p.params() {
			add("param "+name, p, func() (found, bool) { return inQuery(req.Header, name) })
		}
	}
	for _, p := range providers {
		for _, name := range p.Cookies {
			add("cookie "+name, p, func() (found, bool) { return inCookie(req.Header, name) })
		}
	}
	return out
}

func (p *Provider) usual() bool { return len(p.Headers)+len(p.Params)+len(p.Cookies) == 0 }

func (p *Provider) headers() []Header {
	if p.usual() {
		return []Header{{"authorization", "Bearer "}}
	}
	return p.Headers
}

func (p *Provider) params() []string {
	if p.usual() {
		return []string{"access_token"}
	}
	return p.Params
}

func inHeader(h *fasthttp.RequestHeader, at Header) (found, bool) {
	value, ok := proxy.FieldValue(h, at.Name)
	if !ok {
		return found{}, false
	}
	if at.Prefix != "" {
		_, rest, ok := strings.Cut(value, at.Prefix)
		if !ok {
			return found{}, false
		}
		value = fromToken(rest)
	}
	return found{text: value, remove: func(h *fasthttp.RequestHeader) { proxy.RemoveField(h, at.Name) }}, true
}

// fromToken begins with the first character that tokens are made of.
func fromToken(s string) string {
	i := strings.IndexFunc(s, func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
	})
	return s[max(0, i):]
}

func inQuery(h *fasthttp.RequestHeader, name string) (found, bool) {
	_, query, ok := strings.Cut(string(h.RequestURI()), "?")
	if !ok {
		return found{}, false
	}
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if unescaped(key) == name {
			return found{text: unescaped(value), remove: func(h *fasthttp.RequestHeader) { cutQuery(h, name) }}, true
		}
	}
	return found{}, false
}

func unescaped(s string) string {
	if t, err := url.QueryUnescape(s); err == nil {
		return t
	}
	return s
}

// cutQuery takes a parameter out of the target.
func cutQuery(h *fasthttp.RequestHeader, name string) {
	path, query, _ := strings.Cut(string(h.RequestURI()), "?")
	left := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool {
		key, _, _ := strings.Cut(pair, "=")
		return unescaped(key) == name
	})
	if query = strings.Join(left, "&"); query != "" {
		path += "?" + query
	}
	h.SetRequestURI(path)
}

func inCookie(h *fasthttp.RequestHeader, name string) (found, bool) {
	for _, line := range proxy.FieldValues(h, "cookie") {
		for pair := range strings.SplitSeq(line, ";") {
			key, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
			if ok && key == name && value != "" {
				return found{text: strings.Trim(value, `"`), remove: func(*fasthttp.RequestHeader) {}}, true
			}
		}
	}
	return found{}, false
}

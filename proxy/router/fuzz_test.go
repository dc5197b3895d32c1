package router_test

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy/router"
)

// FuzzMatch compares with the rules written down as plainly as can be.
func FuzzMatch(f *testing.F) {
	f.Add([]byte("GET /v1/x?a=1 HTTP/1.1\r\nHost: api.a.com:80\r\nX-Model: m\r\nx-model: n\r\n\r\n"), "api.a.com *.a.com api.* *", "/v1 /v1/x /", "m,n", uint16(0), false)
	f.Add([]byte("POST http://b.com?a#x HTTP/1.1\r\nHost: c\r\nX-MODEL:\r\n\r\n"), "b.com c *b.com", "/ /a", "", uint16(0xffff), true)
	f.Add([]byte("OPTIONS * HTTP/1.1\r\nHost: c\r\nx-mODEL: a\r\n\tb\r\nx-model: c\r\n\r\n"), "*", "* /", "a b,c", uint16(0x1234), true)
	f.Add([]byte("GET /"+strings.Repeat("A", 300)+" HTTP/1.1\r\nHost: "+strings.Repeat("A", 300)+".a.com\r\n\r\n"), "*.a.com *-x.a.com", "/aaa /AAA", "", uint16(0x0707), false)
	f.Add([]byte("GET /v1 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"), "[::1] [::1]:80", "/v1", "", uint16(2), true)
	f.Fuzz(func(t *testing.T, head []byte, domains, paths, text string, bits uint16, ignorePort bool) {
		if !utf8.ValidString(paths) {
			t.Skip("no regular expression")
		}
		h := &fasthttp.RequestHeader{}
		h.DisableNormalizing()
		if err := h.Read(bufio.NewReader(bytes.NewReader(head))); err != nil {
			t.Skip()
		}
		hosts := build(strings.Fields(domains), strings.Fields(paths), text, bits)
		var options []router.Option
		if ignorePort {
			options = append(options, router.IgnorePort())
		}
		table, err := router.NewTable(hosts, options...)
		if err != nil {
			t.Skip()
		}
		before := h.String()
		got, ok := table.Match(h)
		want := reference(hosts, h, ignorePort)
		require.Equal(t, want, got)
		require.Equal(t, want != "", ok)
		require.Equal(t, before, h.String(), "matching changes nothing")
	})
}

// build makes a host of each domain; the bits choose the kinds of matches and
// whether there are so many routes that they are indexed.
func build(domains, paths []string, text string, bits uint16) []router.VirtualHost[string] {
	var hosts []router.VirtualHost[string]
	for i, domain := range domains {
		host := router.VirtualHost[string]{Name: domain, Domains: []string{domain}}
		for k, p := range paths {
			var m router.Match
			switch kind := (bits >> (k % 8)) & 3; kind {
			case 0:
				m.Prefix = p
			case 1:
				m.Path = p
			case 2:
				m.Prefix, m.IgnoreCase = p, true
			case 3:
				m.Regex = regexp.MustCompile(regexp.QuoteMeta(p) + "|" + regexp.QuoteMeta(p) + ".*")
			}
			if bits>>(k%5)&4 != 0 {
				m.Headers = []router.HeaderMatch{{Name: "x-Model", Value: &router.StringMatch{Text: text}, Invert: bits&1 != 0, TreatMissingAsEmpty: bits&2 != 0}}
			}
			if bits>>(k%6)&8 != 0 {
				m.Query = []router.QueryMatch{{Name: "a", Present: bits&1 == 0}}
			}
			host.Routes = append(host.Routes, router.Entry[string]{Match: m, Value: fmt.Sprint(i, "/", k)})
		}
		if bits&0x100 != 0 {
			for k := range 20 {
				m := router.Match{Path: fmt.Sprint("/filler/", k)}
				host.Routes = slices.Insert(host.Routes, min(k, len(host.Routes)), router.Entry[string]{Match: m, Value: "filler"})
			}
		}
		hosts = append(hosts, host)
	}
	return hosts
}

// reference is the first route that takes the request, "" where none does.
func reference(hosts []router.VirtualHost[string], h *fasthttp.RequestHeader, ignorePort bool) string {
	authority, target := string(h.Host()), string(h.RequestURI())
	if m := regexp.MustCompile(`(?is)^https?://([^/?#]*)(.*)$`).FindStringSubmatch(target); m != nil {
		authority, target = m[1], m[2]
		if !strings.HasPrefix(target, "/") {
			target = "/" + target
		}
	}
	path, query, _ := strings.Cut(target, "?")
	path, _, _ = strings.Cut(path, "#")
	if ignorePort {
		authority = regexp.MustCompile(`(?s):[^:\]]*$`).ReplaceAllString(authority, "")
	}
	host := slices.MaxFunc(append(hosts, router.VirtualHost[string]{Domains: []string{""}}), func(a, b router.VirtualHost[string]) int {
		return cmp.Compare(fit(a.Domains[0], authority), fit(b.Domains[0], authority))
	})
	for _, r := range host.Routes {
		if takes(r.Match, h, path, query) {
			return r.Value
		}
	}
	return ""
}

// fit is the greater the better the domain fits; 0 is not at all.
func fit(domain, authority string) int {
	domain, authority = asciiLower(domain), asciiLower(authority)
	const suffix, prefix = 1 << 20, 1 << 10
	switch {
	case domain == "":
		return 1 // the host of nothing, that stands for none
	case domain == "*":
		return 2
	case strings.HasPrefix(domain, "*"):
		if strings.HasSuffix(authority, domain[1:]) && len(authority) >= len(domain) {
			return suffix + len(domain)
		}
	case strings.HasSuffix(domain, "*"):
		if strings.HasPrefix(authority, domain[:len(domain)-1]) && len(authority) >= len(domain) {
			return prefix + len(domain)
		}
	case domain == authority:
		return 1 << 30
	}
	return 0
}

func takes(m router.Match, h *fasthttp.RequestHeader, path, query string) bool {
	p, of := path, m.Prefix+m.Path
	if m.IgnoreCase {
		p, of = asciiLower(p), asciiLower(of)
	}
	switch {
	case m.Regex != nil:
		if !regexp.MustCompile(`^(?:` + m.Regex.String() + `)$`).MatchString(path) {
			return false
		}
	case m.Prefix != "" && !strings.HasPrefix(p, of), m.Path != "" && p != of:
		return false
	}
	for _, hm := range m.Headers {
		copied := &fasthttp.RequestHeader{} // going over all headers changes them
		copied.DisableNormalizing()
		h.CopyTo(copied)
		var values []string
		for k, v := range copied.AllInOrder() {
			if asciiLower(string(k)) == asciiLower(hm.Name) {
				values = append(values, string(v))
			}
		}
		if values == nil && !hm.TreatMissingAsEmpty || (slices.Contains(values, hm.Value.Text) || values == nil && hm.Value.Text == "") == hm.Invert {
			return false
		}
	}
	for _, qm := range m.Query {
		has := slices.ContainsFunc(strings.Split(query, "&"), func(p string) bool {
			name, _, _ := strings.Cut(p, "=")
			return name == qm.Name
		})
		if has != qm.Present {
			return false
		}
	}
	return true
}

// asciiLower works by byte, so that what is no UTF-8 stays what it is.
func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 32
		}
	}
	return string(b)
}

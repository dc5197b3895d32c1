package fidelity_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"strings"
)

// generator makes requests, the same ones for the same seed.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) *generator { return &generator{rand.New(rand.NewPCG(seed, 0xf1de))} }

// one of several.
func one[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

// percent is true so often.
func (g *generator) percent(n int) bool { return g.IntN(100) < n }

// space is white space that may stand between two tokens of JSON.
func (g *generator) space() string {
	if g.percent(92) {
		return ""
	}
	return one(g, " ", "\n", "\t ", "\r\n  ")
}

// words a text is made of, as they stand between the quotes.
var words = []string{
	"batch", "model", "queue", "zwölf", "日本語", `caf\u00e9`, `\ud83d\ude00`, `a\/b`, `say \"hi\"`, `tab\there`, `new\nline`, `back\\slash`,
	"naïve", "😀", `\u0000`, `]}`, `{\"a\":[`, "0", "null", "it's", "a,b;c:d", `\ud800`, "very-long-" + strings.Repeat("x", 90),
}

// text is a text in its quotes.
func (g *generator) text() string {
	n := 1 + g.IntN(5)
	if g.percent(3) {
		n = 120
	}
	list := make([]string, n)
	for i := range list {
		list[i] = one(g, words...)
	}
	switch {
	case g.percent(1):
		list[0] = one(g, "poison", "poison422", "poison500", "a poison")
	case g.percent(1):
		return `" "`
	case g.percent(1):
		return `""`
	}
	return fmt.Sprintf(`"%s %d"`, strings.Join(list, " "), g.IntN(1_000_000))
}

// number is the text of one, odd ones among them.
func (g *generator) number() string {
	switch {
	case g.percent(40):
		return fmt.Sprint(g.IntN(1000))
	case g.percent(40):
		return fmt.Sprintf("%.3f", g.Float64()*100-50)
	case g.IntN(300) == 0:
		return one(g, "-666", "-667")
	}
	return one(g, "9007199254740993", "-9007199254740993", "1.0", "1e3", "1E+3", "-0", "0.10", "1.5e-7", "123456789012345678901234567890",
		"0.30000000000000004", "-1.0e0", "18446744073709551615", "3.141592653589793238462643383279", "1e400")
}

// value is any JSON of limited depth.
func (g *generator) value(depth int) string {
	switch k := g.IntN(8); {
	case k < 2 || depth == 0:
		return one(g, `true`, `false`, `null`, `"x"`, g.number())
	case k < 4:
		return g.number()
	case k < 5:
		return g.text()
	case k < 6:
		return g.list(g.IntN(4), func() string { return g.value(depth - 1) })
	}
	var members []member
	for i := range g.IntN(4) {
		members = append(members, member{fmt.Sprintf("k%d", i), g.value(depth - 1)})
	}
	return g.object(members...)
}

// list is a JSON array of n elements.
func (g *generator) list(n int, element func() string) string {
	var b strings.Builder
	b.WriteString("[" + g.space())
	for i := range n {
		if i > 0 {
			b.WriteString(g.space() + "," + g.space())
		}
		b.WriteString(element())
	}
	return b.String() + g.space() + "]"
}

// member of an object.
type member struct{ name, value string }

// object is a JSON object of the members that have a value, sometimes in another
// order, rarely with one of them twice.
func (g *generator) object(members ...member) string {
	var present []member
	for _, m := range members {
		if m.value != "" {
			present = append(present, m)
		}
	}
	if g.percent(15) {
		g.Shuffle(len(present), func(i, j int) { present[i], present[j] = present[j], present[i] })
	}
	if len(present) > 0 && g.IntN(200) == 0 {
		present = append(present, present[0])
	}
	i := -1
	text := g.list(len(present), func() string {
		i++
		return `"` + present[i].name + `"` + g.space() + ":" + g.space() + present[i].value
	})
	return "{" + text[1:len(text)-1] + "}"
}

// sometimes is value in so many of a hundred cases; else the member is left out.
func (g *generator) sometimes(n int, value string) string {
	if g.percent(n) {
		return value
	}
	return ""
}

// unknown are members that no protocol knows.
func (g *generator) unknown() member {
	return member{one(g, "user", "x-trace", "unknown", "metadata_"), g.sometimes(4, one(g, `"u1"`, `{"deep":[1.0,{"e":null}]}`, `null`, `[]`, `1e3`))}
}

// model is a name in its quotes; mostly the same, so that requests meet.
func (g *generator) model(odd ...string) string { return `"` + g.name(odd...) + `"` }

func (g *generator) name(odd ...string) string {
	switch {
	case len(odd) > 0 && g.percent(5):
		return one(g, odd...)
	case g.percent(15):
		return one(g, "other", "bge-small", "third")
	}
	return "m"
}

// count is of items: mostly one.
func (g *generator) count() int {
	switch {
	case g.percent(60):
		return 1
	case g.percent(90):
		return 1 + g.IntN(5)
	case g.percent(80):
		return 6 + g.IntN(20)
	}
	return 33 + g.IntN(40) // more than a batch may hold
}

// disturb makes something else of a well formed request, in one of eight cases.
func (g *generator) disturb(r *request) *request {
	if g.percent(8) {
		r.header = append(r.header, one(g, "authorization: Bearer one", "authorization: Bearer two", "x-api-key: k", "openai-organization: o"))
	}
	if !g.percent(12) {
		return r
	}
	switch g.IntN(16) {
	case 0: // cut short
		r.body = r.body[:g.IntN(len(r.body)+1)]
	case 1:
		r.body = nil
	case 2: // compressed, and said so
		r.body = compressed(r.body)
		r.header = append(r.header, "content-encoding: gzip")
	case 3: // not compressed, though said so; or in an encoding that nobody knows
		r.header = append(r.header, one(g, "content-encoding: gzip", "content-encoding: br", "content-encoding: identity"))
	case 4: // an odd path
		r.uri = one(g, strings.Replace(r.uri, "/", "//", 1), r.uri+"/", strings.Replace(r.uri, "e", "%65", 1),
			strings.ToUpper(r.uri), "/v9"+r.uri, r.uri+"/../x", strings.Replace(r.uri, "/v", "/./v", 1), "/%2e%2e"+r.uri, r.uri+"%zz")
	case 5: // a query
		r.uri += one(g, "?api-version=2024-10-21", "?a=1&a=2&b=%2F", "?", "?x=%zz")
	case 6, 7:
		r.method = one(g, "GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")
		if r.method != "PUT" && r.method != "PATCH" {
			r.body = nil
		}
	case 8: // other types
		r.header[0] = one(g, "content-type: text/plain", "content-type: application/json; charset=utf-8", "content-type: application/JSON",
			"content-type: application/x-ndjson", "x-no-type: 1")
	case 9:
		r.header = append(r.header, one(g, "authorization: Bearer expired", "authorization: Bearer forbidden"))
	case 10:
		r.chunked = true
	case 11: // bytes that are no UTF-8, a byte order mark, trailing bytes
		r.body = one(g, bytes.Replace(r.body, []byte("a"), []byte{0xff}, 1), append([]byte("\xef\xbb\xbf"), r.body...),
			append(r.body, " x"...), append(r.body, r.body...), append(r.body, "\n\n"...))
	case 12:
		r.header = append(r.header, one(g, "accept-encoding: gzip", "accept: application/json", "accept: */*", "accept-encoding: identity"))
	case 13:
		r.body = []byte(g.value(3))
	case 14:
		r.header = append(r.header, one(g, "idempotency-key: 1", "x-request-id: r1", "cookie: a=1", "content-md5: Q2hlY2sgSW50ZWdyaXR5IQ==", "expect: 100-continue"))
		if r.header[len(r.header)-1] == "expect: 100-continue" {
			r.header = r.header[:len(r.header)-1] // this caller does not wait for the word
		}
	case 15:
		r.body = []byte(strings.Repeat("[", 3000) + strings.Repeat("]", 3000))
	}
	return r
}

func compressed(body []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(body) // a buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

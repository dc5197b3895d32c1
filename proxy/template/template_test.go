package template_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	std "text/template"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy/template"
)

func decode(tb testing.TB, text string, numbers bool) (v any) {
	tb.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	if numbers {
		d.UseNumber()
	}
	if err := d.Decode(&v); err != nil {
		tb.Skip(err)
	}
	return v
}

const data = `{"text": "a\"<b>&'é", "n": 3, "zero": 0, "half": 0.5, "yes": true, "no": false, "none": null,
	"list": ["x", "y", "z"], "empty": [], "deep": {"b": {"c": [1, [2, 3]]}, "a": 1}, "rows": [{"k": "v", "w": ""}, {"k": "w", "w": "1"}]}`

// languages are templates that use all there is of the language.
func languages() []string {
	return []string{
		`plain`, `{{.text}}`, `{{.deep.b.c}}`, `{{$.deep.a}}`, `{{.none}}`, `{{.}}`, `{{"q"}}{{1}}{{1.5}}{{0x1F}}{{'a'}}{{true}}{{1e3}}{{-7}}`,
		"a {{- .n -}} b", `{{/* said */}}x`, "{{`raw`}}", `{{print .n .half nil}}`, `{{println .text}}`, `{{printf "%v-%5.1f|%q" .text .half .list}}`,
		`{{.text | printf "%s!"}}`, `{{"x" | printf "%s%s" "y"}}`, `{{(index .rows 0).k}}`, `{{(index .deep "b").c}}`, `{{index .list 1}}`,
		`{{index .deep "nothing"}}`, `{{index .deep.b.c 1 0}}`, `{{index .text 0}}`, `{{slice .list 1}}{{slice .list 1 2}}{{slice .text 0 1}}`,
		`{{len .list}}{{len .text}}{{len .deep}}`, `{{html .text}}{{js .text}}{{urlquery .text}}`, `{{not .yes}}{{not .none}}`,
		`{{and .yes .text}}{{and .no .text}}{{or .none "x"}}{{or .text "x"}}{{or .no .zero}}`, `{{and .no .missing}}`, `{{.yes | and .no}}`,
		`{{eq .text "x" "a"}}{{eq .half 0.5}}{{eq .yes true}}{{ne .text ""}}{{eq .none nil}}{{eq .list nil}}`,
		`{{lt .half 1.5}}{{le .half 0.5}}{{gt "b" "a"}}{{ge 1 2}}{{lt 1 2}}`, `{{if .list}}a{{else}}b{{end}}{{if .empty}}a{{else if .zero}}b{{else}}c{{end}}`,
		`{{with .deep.b}}{{.c}}{{$.n}}{{else}}no{{end}}{{with .none}}a{{else with .half}}{{.}}{{end}}`,
		`{{range .list}}[{{.}}]{{end}}{{range .empty}}x{{else}}none{{end}}{{range .none}}x{{else}}none{{end}}`,
		`{{range $i, $x := .list}}{{$i}}={{$x}} {{end}}{{range $k, $v := .deep}}{{$k}}:{{$v}} {{end}}{{range $x := .list}}{{$x}}{{end}}`,
		`{{range 3}}{{.}}{{end}}{{range $i := 2}}{{$i}}{{end}}{{range $i, $x := 2}}{{end}}`, `{{range .list}}{{if eq . "y"}}{{continue}}{{end}}{{.}}{{end}}`,
		`{{range .list}}{{if eq . "y"}}{{break}}{{end}}{{.}}{{end}}`, `{{range .list}}{{range $.list}}{{break}}{{end}}{{.}}{{end}}`,
		`{{range .list}}{{range $.empty}}{{else}}{{break}}{{end}}{{.}}{{end}}`, `{{range .list}}{{range $.empty}}{{else}}{{continue}}{{end}}{{.}}{{end}}`,
		`{{$x := .n}}{{$x}}{{$x = "z"}}{{$x}}{{if true}}{{$x := 1}}{{$x = 2}}{{$x}}{{end}}{{$x}}`, `{{$x := 1}}{{range .list}}{{$x = .}}{{end}}{{$x}}`,
		`{{$x := ""}}{{range $x = .list}}{{$x}}{{end}}{{$x}}`, `{{define "t"}}<{{.}}{{$}}>{{end}}{{template "t" .n}}{{template "t"}}`,
		`{{block "b" .list}}{{range .}}{{.}}{{end}}{{end}}`, `{{define "r"}}{{with .}}{{len .}}{{template "r" slice . 1}}{{end}}{{end}}{{template "r" .list}}`,
		// What has to fail.
		`{{.missing}}`, `{{.text.x}}`, `{{.none.x}}`, `{{.n.x}}`, `{{nil}}`, `{{.text 1}}`, `{{1 | .text}}`, `{{"x" 1}}`, `{{index .list 3}}`, `{{index .list "a"}}`,
		`{{index nil 1}}`, `{{index .n 1}}`, `{{index .deep 1}}`, `{{slice .list 2 1}}`, `{{slice .n}}`, `{{len .n}}`, `{{len nil}}`, `{{eq 1}}`, `{{eq .list .list}}`,
		`{{eq .half 1}}`, `{{lt .yes .no}}`, `{{lt .text 1}}`, `{{range .text}}{{end}}`, `{{range .half}}{{end}}`, `{{printf 1}}`, `{{not}}`, `{{ne 1}}`, `{{and}}`,
		`{{printf "%d" .text}}`, `{{template "none"}}`, `{{unknown}}`, `{{`, `{{end}}`, `{{range}}`, `{{.x.}}`, `{{$y}}`, `{{break}}`, `{{99999999999999999999}}`,
	}
}

// compare has both packages write a template: what text/template writes, this one does too.
func compare(t *testing.T, text, input string) {
	t.Helper()
	v := decode(t, input, false)
	ours, err := template.Parse("t", text, template.Text, nil)
	var found []byte
	if err == nil {
		found, err = ours.Execute(v, template.Limits{Output: 1 << 16, Turns: 1000})
	}
	if long := new(template.TooLong); errors.As(err, &long) || err != nil && (strings.Contains(err.Error(), "loops turn more") || strings.Contains(err.Error(), "maximum template depth")) {
		return
	}
	theirs, stdErr := std.New("t").Option("missingkey=error").Parse(text)
	var want bytes.Buffer
	if stdErr == nil {
		stdErr = theirs.Execute(&want, v)
	}
	if err != nil && (strings.Contains(err.Error(), `function "call" not defined`) || strings.Contains(err.Error(), "complex number")) {
		return
	}
	if stdErr != nil {
		require.Error(t, err, "text/template: %v", stdErr)
		return
	}
	require.NoError(t, err)
	require.Equal(t, want.String(), string(found))
}

func TestSaysWhatTextTemplateSays(t *testing.T) {
	for _, text := range languages() {
		t.Run(text, func(t *testing.T) { compare(t, text, data) })
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range languages() {
		f.Add(text, data)
	}
	f.Fuzz(compare)
}

func TestWriters(t *testing.T) {
	v := decode(t, data, true)
	for text, want := range map[string][3]string{
		`{{.text}}`:                     {`a"<b>&'é`, `a&#34;&lt;b&gt;&amp;&#39;é`, `"a\"<b>&'é"`},
		`{{.none}}`:                     {`<no value>`, `&lt;no value&gt;`, `null`},
		`{{.list}}{{$x := .text}}`:      {`[x y z]`, `[x y z]`, `["x","y","z"]`},
		`{{.deep.b}}`:                   {`map[c:[1 [2 3]]]`, `map[c:[1 [2 3]]]`, `{"c":[1,[2,3]]}`},
		`<{{printf "%s" "<"}}{{"x"}}>`:  {`<<x>`, `<&lt;x>`, `<"<""x">`},
		`{{if .zero}}a{{else}}b{{end}}`: {`b`, `b`, `b`},
	} {
		for i, w := range []template.Writer{template.Text, template.HTML, template.JSON} {
			parsed, err := template.Parse("t", text, w, nil)
			require.NoError(t, err)
			found, err := parsed.Execute(v, template.Limits{})
			require.NoError(t, err)
			require.Equal(t, want[i], string(found), text)
		}
	}
}

func TestNumbersOfJSON(t *testing.T) {
	v := decode(t, `{"three": 3, "real": 3.0, "ten": 10, "long": 9007199254740993, "next": 9007199254740992, "huge": 1e999}`, true)
	for text, want := range map[string]string{
		`{{eq .three 3}}`: "true", `{{eq .three "3"}}`: "true", `{{eq "3" .three}}`: "true", `{{eq .real "3"}}`: "false", `{{eq .real .three}}`: "true",
		`{{eq .three 3.0}}`: "true", `{{lt .three .ten}}`: "true", `{{lt .ten 9.5}}`: "false", `{{lt 9.5 .ten}}`: "true", `{{lt .ten "9"}}`: "true",
		`{{eq .long .next}}`: "false", `{{gt .long .next}}`: "true", `{{gt .huge .long}}`: "true", `{{.long}}`: "9007199254740993",
	} {
		parsed, err := template.Parse("t", text, template.Text, nil)
		require.NoError(t, err)
		found, err := parsed.Execute(v, template.Limits{})
		require.NoError(t, err, text)
		require.Equal(t, want, string(found), text)
	}
}

type inner struct{ Name string }

type row struct {
	inner

	N      int
	Rate   float64
	Next   *row
	Labels []string
	hidden int //nolint:unused // it is looked for by its name
}

func TestStructs(t *testing.T) {
	rows := []*row{{inner{"a"}, 1, .5, &row{inner: inner{"b"}}, []string{"l"}, 7}, {N: 2}}
	double := func(args []any) (any, error) {
		if n, ok := args[0].(int); ok {
			return 2 * n, nil
		}
		return nil, errors.New("not a number")
	}
	say := func(text string) (string, error) {
		parsed, err := template.Parse("t", text, template.Text, map[string]template.Func{"double": double})
		require.NoError(t, err)
		out, err := parsed.Execute(map[string]any{"rows": rows}, template.Limits{})
		return string(out), err
	}
	out, err := say(`{{range .rows}}{{.Name}},{{double .N}},{{.Rate}},{{with .Next}}{{.Name}}{{else}}none{{end}},{{range .Labels}}{{.}}{{end}};{{end}}`)
	require.NoError(t, err)
	require.Equal(t, "a,2,0.5,b,l;,4,0,none,;", out)
	for text, want := range map[string]string{
		`{{(index .rows 0).hidden}}`:        "template: t:1:17: executing \"t\" at <(index .rows 0).hidden>: can't evaluate field hidden in type *template_test.row",
		`{{(index .rows 0).Other}}`:         "can't evaluate field Other",
		`{{(index .rows 1).Next.Name}}`:     `nil data; no entry for key "Name"`,
		`{{double "x"}}`:                    "error calling double: not a number",
		`{{range .rows}}{{.Name.X}}{{end}}`: "can't evaluate field X in type string",
	} {
		_, err := say(text)
		require.ErrorContains(t, err, want)
	}
}

func TestLimits(t *testing.T) {
	for text, want := range map[string]string{
		`{{range 1000}}{{range 1000}}{{end}}{{end}}`:            "loops turn more than 100 times",
		`{{range 100}}123456789012{{end}}`:                      "writes more than 1000 bytes",
		`{{$x := "aa"}}{{range 99}}{{$x = print $x $x}}{{end}}`: "writes more than 1000 bytes",
		`{{define "r"}}{{template "r"}}{{end}}{{template "r"}}`: "exceeded maximum template depth",
	} {
		parsed, err := template.Parse("t", text, template.Text, nil)
		require.NoError(t, err)
		_, err = parsed.Execute(nil, template.Limits{Output: 1000, Turns: 100})
		require.ErrorContains(t, err, want)
	}
}

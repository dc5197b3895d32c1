package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/fridaymesh/friday/filters/jobs/pipeline"
	jobsv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/jobs/v1"
)

func parse(t *testing.T, text string) (*pipeline.Pipeline, error) {
	t.Helper()
	m := new(jobsv1.Pipeline)
	require.NoError(t, prototext.Unmarshal([]byte(text), m))
	return pipeline.Parse(m)
}

// call is a step.
func call(name, body string) string {
	return fmt.Sprintf("steps {name: %q call {path: '/v1/x' body: %q}}\n", name, body)
}

func TestRefused(t *testing.T) {
	deep := `steps {name: "s0" call {path: "/x" body: "{}"}}`
	for i := range 10 {
		deep = fmt.Sprintf(`steps {name: "p%d" parallel {%s}}`, i, deep)
	}
	for text, want := range map[string]string{
		`name: "a b"`:        `name: "a b": must be a letter`,
		`name: "p"`:          `steps: missing`,
		`name: "p" steps {}`: `steps[0].name: "": must be a letter`,
		`name: "p" steps {name: "a-b" call {path: "/x" body: "{}"}}`:                                                                 `steps[0].name: "a-b": must be a letter`,
		`name: "p" steps {name: "a"}`:                                                                                                `steps[0]: missing: call, parallel or switch`,
		`name: "p" steps {name: "a" call {path: "x" body: "{}"}}`:                                                                    `steps[0].call.path: "x": must be a path`,
		`name: "p" steps {name: "a" call {path: "/pipelines/p" body: "{}"}}`:                                                         `must not be a pipeline`,
		`name: "p" steps {name: "a" call {path: "/x"}}`:                                                                              `steps[0].call.body: missing`,
		`name: "p" ` + call("a", "{}") + call("a", "{}"):                                                                             `steps[1].name: "a": stands twice`,
		`name: "p" ` + call("a", "{{.steps.b}}") + call("b", "{}"):                                                                   `steps.b: no step of that name comes before`,
		`name: "p" ` + call("a", "{{$.steps.a.x}}"):                                                                                  `steps.a: no step of that name comes before`,
		`name: "p" ` + call("a", "{{if .steps.z}}1{{end}}"):                                                                          `steps.z: no step of that name comes before`,
		`name: "p" ` + call("a", "{{"):                                                                                               `steps[0].call.body: template: template:1: unclosed action`,
		`name: "p" ` + call("a", "{{unknown 1}}"):                                                                                    `function "unknown" not defined`,
		`name: "p" ` + call("a", `{{define "x"}}1{{end}}{{template "x"}}`):                                                           `must not`,
		`name: "p" ` + call("a", `{{call .input}}`):                                                                                  `function "call" not defined`,
		`name: "p" ` + call("a", "{}") + `output: "{{.steps.c}}"`:                                                                    `output: template:1:8: steps.c: no step of that name comes before`,
		`name: "p" steps {name: "a" parallel {}}`:                                                                                    `steps[0].parallel.steps: missing`,
		`name: "p" steps {name: "a" switch {}}`:                                                                                      `steps[0].switch.on: missing`,
		`name: "p" steps {name: "a" parallel {` + call("b", "{}") + call("c", "{{.steps.b}}") + `}}`:                                 `steps.b: no step of that name comes before`,
		`name: "p" steps {name: "a" parallel {` + call("b", "{}") + `}}`:                                                             `output: missing: the last step, "a", is no call`,
		`name: "p" steps {name: "a" switch {on: "x" cases {key: "x" value {` + call("b", "{}") + `}}}} ` + call("c", "{{.steps.b}}"): `steps.b: no step of that name comes before`,
		`name: "p" ` + deep: `deeper than 8 steps in one another`,
		`name: "p" ` + func() (all string) {
			for i := range 33 {
				all += call(fmt.Sprintf("s%d", i), "{}")
			}
			return all
		}(): `more than 32 steps`,
	} {
		_, err := parse(t, text)
		require.ErrorContains(t, err, want, text)
	}
}

func TestAVersionIsOfAllThatIsSaid(t *testing.T) {
	one, err := parse(t, `name: "p" `+call("a", "{}"))
	require.NoError(t, err)
	same, err := parse(t, `name: "p" `+call("a", "{}"))
	require.NoError(t, err)
	other, err := parse(t, `name: "p" `+call("a", "{ }"))
	require.NoError(t, err)
	require.Equal(t, one.Version, same.Version)
	require.NotEqual(t, one.Version, other.Version)
}

// host answers what it was asked.
type host struct{ asked []string }

func (h *host) Call(_ context.Context, _ string, body []byte) (pipeline.Answer, error) {
	h.asked = append(h.asked, string(body))
	return pipeline.Answer{Status: 200, Body: body}, nil
}

func (h *host) Known(string) (pipeline.Answer, bool) { return pipeline.Answer{}, false }

func (h *host) Keep(context.Context, string, pipeline.Answer) error { return nil }

func TestWhatATemplateWritesIsBounded(t *testing.T) {
	p, err := parse(t, `name: "p" `+call("a", `[{{range .input}}"`+strings.Repeat("x", 20_000)+`",{{end}}1]`))
	require.NoError(t, err)
	input := "[" + strings.Repeat("1,", 999) + "1]"
	_, err = p.Run(t.Context(), []byte(input), new(host))
	var unfit *pipeline.Unfit
	require.ErrorAs(t, err, &unfit)
	require.ErrorContains(t, err, "pipeline p, step a: writes more than 16777216 bytes")
}

func TestLoopsAreBounded(t *testing.T) {
	p, err := parse(t, `name: "p" `+call("a", `[{{range .input}}{{range $.input}}{{range $.input}}{{if .}}{{end}}{{end}}{{end}}{{end}}1]`))
	require.NoError(t, err)
	_, err = p.Run(t.Context(), []byte("["+strings.Repeat("1,", 999)+"1]"), new(host))
	require.ErrorContains(t, err, "loops turn more than 100000 times")
	p, err = parse(t, `name: "p" `+call("a", `{{range 9000000000000}}{{end}}1`))
	require.NoError(t, err)
	_, err = p.Run(t.Context(), []byte("1"), new(host))
	require.ErrorContains(t, err, "loops turn more than")
}

func TestWhatIsNotJSON(t *testing.T) {
	p, err := parse(t, `name: "p" `+call("a", `{"x": {{if .input}}1{{end}}}`))
	require.NoError(t, err)
	_, err = p.Run(t.Context(), []byte("true"), new(host))
	require.NoError(t, err)
	_, err = p.Run(t.Context(), []byte("false"), new(host))
	require.ErrorContains(t, err, "pipeline p, step a: what the template writes is not JSON")
}

// Whatever the template and whatever is sent: what is asked is JSON, or nothing is asked.
func FuzzTemplates(f *testing.F) {
	for _, body := range []string{`{"a": {{.input}}}`, `{{printf "%s" .input.x}}`, `{{range .input}}{{.}}{{end}}`, `{{$x := .input}}{{$x}}`, `{{with .steps}}{{.}}{{end}}`, `{{/* c */}}1`} {
		f.Add(body, `{"x": "\"}"}`)
	}
	f.Fuzz(func(t *testing.T, body, input string) {
		m := &jobsv1.Pipeline{Name: "p", Steps: []*jobsv1.Step{{Name: "a", Kind: &jobsv1.Step_Call{Call: &jobsv1.Call{Path: "/x", Body: body}}}}}
		p, err := pipeline.Parse(m)
		if err != nil {
			return
		}
		h := new(host)
		a, err := p.Run(t.Context(), []byte(input), h)
		var unfit *pipeline.Unfit
		switch {
		case err == nil && len(h.asked) == 1 && string(a.Body) == h.asked[0]:
		case errors.As(err, &unfit) && len(h.asked) == 0:
		default:
			t.Fatalf("%v, asked %q", err, h.asked)
		}
	})
}

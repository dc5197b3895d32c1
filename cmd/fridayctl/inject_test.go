package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/fridaymesh/friday/cmd/internal/cli"
)

const manifests = `# What a team applies.
apiVersion: v1
kind: Service
metadata: {name: model}   # kept as it is
spec: {ports: [{port: 80, targetPort: http}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: model}
spec:
  template:
    metadata: {labels: {app: model}}
    spec:
      containers:
      - {name: model, image: "model:1", ports: [{name: http, containerPort: 8000}]}
---
# nothing here
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: {generateName: other-}
  spec: {containers: [{name: other, image: "other:1", ports: [{containerPort: 8000}]}]}
`

// ctl runs fridayctl's manifest commands.
func ctl(t *testing.T, in string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, notes bytes.Buffer
	f := func() *manifestFlags { return &manifestFlags{in: strings.NewReader(in), out: &out, notes: &notes} }
	list := []cli.Command{injectCommand(f()), uninjectCommand(f())}
	p := cli.Program{Name: "fridayctl", Commands: list, Getenv: func(string) string { return "" }, Stdout: &out, Stderr: &notes}
	code = p.Run(t.Context(), args)
	return code, out.String(), notes.String()
}

func documents(t *testing.T, text string) (list []any) {
	t.Helper()
	for doc := range strings.SplitSeq(text, "\n---\n") {
		var v any
		require.NoError(t, yaml.Unmarshal([]byte(doc), &v))
		if v != nil {
			list = append(list, v)
		}
	}
	return list
}

func TestInjectAndBack(t *testing.T) {
	code, out, notes := ctl(t, manifests, "inject", "-f", "-", "--image", "friday:test")
	require.Equal(t, cli.ExitDone, code, notes)
	require.True(t, strings.HasPrefix(out, "# What a team applies.\n"), out)
	require.Contains(t, out, "# kept as it is")
	require.Equal(t, 2, strings.Count(out, "image: friday:test"))
	require.Contains(t, notes, "-: service/model: unchanged: it has no pods\n")
	require.Contains(t, notes, "-: pod/other-: port 8000 has no name")

	code, again, notes := ctl(t, out, "inject", "-f", "-")
	require.Equal(t, cli.ExitDone, code)
	require.Contains(t, notes, "deployment/model: unchanged: it is injected already\n")
	require.Equal(t, documents(t, out), documents(t, again))

	code, back, notes := ctl(t, out, "uninject", "-f", "-")
	require.Equal(t, cli.ExitDone, code, notes)
	require.Equal(t, documents(t, manifests), documents(t, back))

	code, asJSON, _ := ctl(t, out, "uninject", "-f", "-", "-o", "json")
	require.Equal(t, cli.ExitDone, code)
	require.Equal(t, 3, strings.Count(asJSON, "\n}\n"))
}

func TestInjectRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pod.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`{apiVersion: v1, kind: Pod, metadata: {name: a, annotations: {friday.dev/mode: x, friday.dev/ports: y!}}, spec: {containers: [{name: b}]}}`), 0o600))
	begin := file + ": pod/a: friday.dev/"
	for name, c := range map[string]struct {
		in   string
		args []string
		code int
		says string
	}{
		"annotations": {"", []string{"inject", "-f", file}, cli.ExitFailed, begin + "mode: \"x\" is neither port nor redirect\n" + begin + "ports: \"y!\" is neither the number nor the name of a port\n"},
		"no file":     {"", []string{"inject"}, cli.ExitUsage, "-f is missing"},
		"not there":   {"", []string{"inject", "-f", file + ".gone"}, cli.ExitUsage, "no such file or directory"},
		"output":      {"", []string{"uninject", "-f", "-", "-o", "table"}, cli.ExitUsage, `"table" is neither yaml nor json`},
		"mode":        {"", []string{"inject", "-f", "-", "--mode", "tproxy"}, cli.ExitUsage, `"tproxy" is neither port nor redirect`},
		"not YAML":    {"a: [", []string{"inject", "-f", "-"}, cli.ExitFailed, "-: document 1: not YAML: "},
		"twice":       {"kind: Pod\nkind: Pod", []string{"inject", "-f", "-"}, cli.ExitFailed, "already"},
		"a list":      {"[1]", []string{"inject", "-f", "-"}, cli.ExitFailed, "-: document 1: not an object of Kubernetes"},
		"an item":     {"{kind: List, items: [1]}", []string{"inject", "-f", "-"}, cli.ExitFailed, "items[0]: not an object of Kubernetes"},
		"a record":    {`{apiVersion: v1, kind: Pod, metadata: {annotations: {friday.dev/status: '{"version":7}'}}}`, []string{"uninject", "-f", "-"}, cli.ExitFailed, "version 7: this program knows 1"},
		"no record":   {`{apiVersion: v1, kind: Pod, metadata: {annotations: {friday.dev/status: 'x'}}}`, []string{"uninject", "-f", "-"}, cli.ExitFailed, "not what an injection writes"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, notes := ctl(t, c.in, c.args...)
			require.Equal(t, c.code, code, notes)
			require.Contains(t, notes, c.says)
			require.Empty(t, out)
		})
	}
}

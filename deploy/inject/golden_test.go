package inject_test

import (
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/fridaymesh/friday/deploy/inject"
)

var update = flag.Bool("update", false, "write what comes out into testdata")

const becomes = "=====\n"

// golden is one file of testdata: settings in comments, a manifest, and what
// becomes of it: another manifest, or "unchanged: REASON", or "refused: ERROR".
type golden struct {
	settings inject.Settings
	at       inject.Place
	in       map[string]any
	head     string // all before the result
	want     string
}

func parse(t *testing.T, file string) golden {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	head, want, _ := strings.Cut(string(text), becomes)
	g := golden{settings: inject.Defaults("friday:test"), at: inject.Place{Selected: true}, head: head, want: want}
	g.settings.Namespaces = []string{"friday-system"}
	for line := range strings.Lines(head) {
		line, ok := strings.CutPrefix(strings.TrimSpace(line), "#! ")
		if !ok {
			continue
		}
		key, value, _ := strings.Cut(line, ": ")
		truth, _ := strconv.ParseBool(value)
		switch key {
		case "native":
			g.settings.Native = truth
		case "sleep":
			g.settings.Sleep = truth
		case "mode":
			g.settings.Mode = inject.Mode(value)
		case "otlp":
			g.settings.OTLP = value
		case "namespace":
			g.at.Namespace = value
		case "selected":
			g.at.Selected = truth
		default:
			require.Fail(t, "no such setting", key)
		}
	}
	g.in = object(t, head)
	return g
}

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	var out map[string]any
	require.NoError(t, json.Unmarshal(asJSON, &out))
	return out
}

// do is what Manifest does, at the golden's place.
func (g *golden) do(in map[string]any) (inject.Result, error) {
	return inject.Manifest(in, func(pod map[string]any, at inject.Place) (inject.Result, error) {
		if g.at.Namespace != "" {
			at.Namespace = g.at.Namespace
		}
		at.Selected = g.at.Selected
		return g.settings.Pod(pod, at)
	})
}

func result(t *testing.T, r inject.Result, err error) string {
	t.Helper()
	if err != nil {
		return "refused: " + err.Error() + "\n"
	}
	if r.Reason != "" {
		return "unchanged: " + r.Reason + "\n"
	}
	out := ""
	for _, w := range r.Warnings {
		out += "# warning: " + w + "\n"
	}
	text, err := yaml.Marshal(r.Pod)
	require.NoError(t, err)
	return out + string(text)
}

// Every manifest becomes what its file says; what has been injected is not injected
// again, and is as it was when Friday is taken out.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			g := parse(t, file)
			before := runtime.DeepCopyJSON(g.in)
			r, err := g.do(g.in)
			got := result(t, r, err)
			require.Equal(t, before, g.in, "the input is not touched")
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(g.head+becomes+got), 0o600))
			} else {
				require.Equal(t, g.want, got)
			}
			if err != nil || r.Reason != "" {
				return
			}
			again, err := g.do(r.Pod)
			require.NoError(t, err)
			require.Equal(t, "it is injected already", again.Reason)
			require.Equal(t, r.Pod, again.Pod)

			removed, err := inject.Manifest(r.Pod, func(pod map[string]any, _ inject.Place) (inject.Result, error) { return inject.Remove(pod) })
			require.NoError(t, err)
			require.Empty(t, removed.Reason)
			require.Equal(t, before, removed.Pod)
			same, err := g.do(removed.Pod)
			require.NoError(t, err)
			require.Equal(t, r.Pod, same.Pod, "the same again")
		})
	}
}

package inject_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/fridaymesh/friday/deploy/inject"
)

// Whatever is injected is what it was when Friday is taken out again, and is injected
// once only.
func FuzzPod(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	require.NoError(f, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		in, _, _ := strings.Cut(string(text), becomes)
		asJSON, err := yaml.YAMLToJSON([]byte(in))
		require.NoError(f, err)
		f.Add(asJSON)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var object map[string]any
		if json.Unmarshal(text, &object) != nil || object == nil {
			return
		}
		remove := func(pod map[string]any, _ inject.Place) (inject.Result, error) { return inject.Remove(pod) }
		_, _ = inject.Manifest(object, remove)
		for _, mode := range []inject.Mode{inject.ModePort, inject.ModeRedirect} {
			s := inject.Defaults("friday:test")
			s.Mode = mode
			before := runtime.DeepCopyJSON(object)
			r, err := inject.Manifest(object, s.Pod)
			require.Equal(t, before, object)
			if err != nil || r.Reason != "" {
				continue
			}
			again, err := inject.Manifest(r.Pod, s.Pod)
			require.NoError(t, err)
			require.Equal(t, "it is injected already", again.Reason)
			removed, err := inject.Manifest(r.Pod, remove)
			require.NoError(t, err)
			require.Empty(t, removed.Reason)
			require.Equal(t, plain(before), plain(removed.Pod))
		}
	})
}

// plain is a value without members that hold nothing: whether there is an empty list
// or none means the same.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			if value = plain(value); value != nil {
				out[key] = value
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case []any:
		if len(v) == 0 {
			return nil
		}
		out := make([]any, len(v))
		for i := range v {
			out[i] = plain(v[i])
		}
		return out
	}
	return v
}

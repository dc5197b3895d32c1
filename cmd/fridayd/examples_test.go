package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/standard"
	"github.com/fridaymesh/friday/xds/control"
	"github.com/fridaymesh/friday/xds/control/ca"
)

// The example policies are right, and go together.
func TestExamples(t *testing.T) {
	list, err := control.Check(control.NewCompiler(standard.Registry(), ca.DefaultDomain), filepath.Join("..", "..", "deploy", "policies"))
	require.NoError(t, err)
	require.NotEmpty(t, list)
}

// The policies in the documentation are right, each by itself.
func TestDocumentation(t *testing.T) {
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```")
	var found []string
	for _, page := range []string{"configuration.md", "kubernetes.md", "pipelines.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
		require.NoError(t, err)
		for _, m := range block.FindAllSubmatch(text, -1) {
			if strings.Contains(string(m[1]), "kind: InferencePolicy") { // the others are bootstraps
				found = append(found, string(m[1]))
			}
		}
	}
	require.Len(t, found, 5)
	for i, policy := range found {
		file := filepath.Join(t.TempDir(), strconv.Itoa(i)+".yaml")
		write(t, file, policy)
		list, err := control.Check(control.NewCompiler(standard.Registry(), ca.DefaultDomain), file)
		require.NoError(t, err)
		require.Len(t, list, 1)
	}
}

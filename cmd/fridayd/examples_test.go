package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/standard"
	"github.com/fridaymesh/friday/xds/control"
)

// The example policies are right, and go together.
func TestExamples(t *testing.T) {
	list, err := control.Check(control.NewCompiler(standard.Registry()), filepath.Join("..", "..", "deploy", "policies"))
	require.NoError(t, err)
	require.NotEmpty(t, list)
}

// The policies in the documentation are right, each by itself.
func TestDocumentation(t *testing.T) {
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```")
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	require.NoError(t, err)
	found := block.FindAllSubmatch(text, -1)
	require.Len(t, found, 2)
	for i, m := range found {
		file := filepath.Join(t.TempDir(), strconv.Itoa(i)+".yaml")
		write(t, file, string(m[1]))
		list, err := control.Check(control.NewCompiler(standard.Registry()), file)
		require.NoError(t, err)
		require.Len(t, list, 1)
	}
}

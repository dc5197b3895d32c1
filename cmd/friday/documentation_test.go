package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The bootstrap files in the documentation are right.
func TestDocumentation(t *testing.T) {
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```")
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	require.NoError(t, err)
	checked := 0
	for i, m := range block.FindAllSubmatch(text, -1) {
		if strings.Contains(string(m[1]), "kind: InferencePolicy") {
			continue
		}
		file := filepath.Join(t.TempDir(), strconv.Itoa(i)+".yaml")
		require.NoError(t, os.WriteFile(file, m[1], 0o600))
		require.NoError(t, check(file))
		checked++
	}
	require.Equal(t, 3, checked)
}

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
	var text []byte
	for _, page := range []string{"configuration.md", "capture.md"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
		require.NoError(t, err)
		text = append(text, b...)
	}
	checked := 0
	for i, m := range block.FindAllSubmatch(text, -1) {
		if !strings.Contains(string(m[1]), "node: {") { // a policy, or a part of a pod
			continue
		}
		file := filepath.Join(t.TempDir(), strconv.Itoa(i)+".yaml")
		require.NoError(t, os.WriteFile(file, m[1], 0o600))
		require.NoError(t, check(file))
		checked++
	}
	require.Equal(t, 4, checked)
}

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

// policyOf makes a policy of an example that shows a part of one; false where it shows none.
func policyOf(example string) (string, bool) {
	indent := func(by string) string { return regexp.MustCompile(`(?m)^`).ReplaceAllString(example, by) }
	const head = "apiVersion: friday.dev/v1alpha1\nkind: InferencePolicy\nmetadata: {name: example}\n"
	const server = "  server: {endpoints: [127.0.0.1:8000]}\n"
	switch first := strings.TrimSpace(strings.SplitN(example, "\n", 2)[0]); {
	case strings.Contains(example, "kind: InferencePolicy"):
		return example, true
	case strings.HasPrefix(first, "spec:") && strings.Contains(example, "server:"):
		return head + example, true
	case strings.HasPrefix(first, "spec:"):
		return head + strings.Replace(example, "spec:\n", "spec:\n"+server, 1), true
	case first == "filters:":
		return head + "spec:\n" + server + indent("  "), true
	case first == "cache:":
		return head + "spec:\n" + server + "  filters:\n" + example, true
	case first == "models:":
		return head + "spec:\n" + server + "  filters:\n    models:\n" + indent("      "), true
	}
	return "", false
}

// The policies in the documentation, and parts of policies, are taken.
func TestDocumentation(t *testing.T) {
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```")
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs", "*.md"))
	require.NoError(t, err)
	checked := 0
	for _, page := range append(pages, filepath.Join("..", "..", "README.md")) {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for i, m := range block.FindAllSubmatch(text, -1) {
			policy, ok := policyOf(string(m[1]))
			if !ok {
				continue
			}
			t.Run(filepath.Base(page)+" "+strconv.Itoa(i), func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "policy.yaml")
				write(t, file, policy)
				_, err := control.Check(control.NewCompiler(standard.Registry(), ca.DefaultDomain), file)
				require.NoError(t, err, policy)
			})
			checked++
		}
	}
	require.Equal(t, 16, checked)
}

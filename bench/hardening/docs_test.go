package hardening

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the tables of docs/hardening.md")

const (
	docsFile = "../../docs/hardening.md"
	mark     = "<!-- What follows is written by: go test ./bench/hardening -run TestDocs -update -->\n"
)

// TestDocs holds docs/hardening.md against the table; -update writes it.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile(docsFile)
	require.NoError(t, err)
	before, after, ok := strings.Cut(string(text), mark)
	require.True(t, ok, "no mark in %s", docsFile)
	if *update {
		require.NoError(t, os.WriteFile(docsFile, []byte(before+mark+tables()), 0o644)) // #nosec G306 -- a document
		return
	}
	if after != tables() { // whose difference would be a page long
		t.Error("docs/hardening.md is not current; run: go test ./bench/hardening -run TestDocs -update")
	}
}

func TestDifferencesAreOfCases(t *testing.T) {
	rest := differences()
	seen := map[string]bool{}
	for _, c := range Cases() {
		require.False(t, seen[c.Name], c.Name)
		seen[c.Name] = true
		if d, ok := rest[c.Name]; ok {
			require.NotEqual(t, c.Want, d.Envoy, c.Name)
			require.NotEmpty(t, d.Why, c.Name)
			delete(rest, c.Name)
		}
	}
	require.Empty(t, rest)
}

func tables() string {
	var b, why strings.Builder
	b.WriteString("\n| request | rule | Friday | Envoy 1.40 |\n|---|---|---|---|\n")
	notes := map[string]int{}
	for _, c := range Cases() {
		envoy := "the same"
		if d, ok := differences()[c.Name]; ok {
			n, known := notes[d.Why]
			if !known {
				n = len(notes) + 1
				notes[d.Why] = n
				fmt.Fprintf(&why, "%d. %s.\n", n, d.Why)
			}
			envoy = fmt.Sprintf("%s (%d)", outcome(d.Envoy), n)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", c.Name, c.Rule, outcome(c.Want), envoy)
	}
	return b.String() + "\n" + why.String()
}

// outcome is an answer in short.
func outcome(s string) string {
	var words []string
	for part := range strings.SplitSeq(s, " | ") {
		switch {
		case part == "END":
		case part == "MORE":
			words = append(words, "out of step")
		case part == "TIMEOUT":
			words = append(words, "waits")
		case part == "":
			words = append(words, "closes")
		case strings.Contains(part, "LEAKED"):
			words = append(words, "passed, with the field")
		case part[0] >= '1' && part[0] <= '9':
			words = append(words, part)
		default:
			words = append(words, "passed")
		}
	}
	return strings.Join(words, ", then ")
}

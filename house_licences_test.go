package friday_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// licence is one under which a module may be that is linked into what is shipped: each lets
// a program that holds it be given on under the house's own.
type licence struct {
	name string
	// words are in its text, whatever its line breaks.
	words []string
}

func licences() []licence {
	return []licence{
		{"Apache-2.0", []string{"apache license", "version 2.0"}},
		{"MIT", []string{"permission is hereby granted, free of charge", "without restriction"}},
		{"ISC", []string{"permission to use, copy, modify, and", "distribute this software for any purpose"}},
		{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "neither the name"}},
		{"BSD-2-Clause", []string{"redistribution and use in source and binary forms", "this list of conditions and the following disclaimer"}},
	}
}

var (
	licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying)([.-].*)?$`)
	blanks      = regexp.MustCompile(`[\s*#/;"]+`)
)

// licenceOf names the licence of a module's folder; empty: none that is known.
func licenceOf(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if e.IsDir() || !licenceFile.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		plain := strings.ToLower(blanks.ReplaceAllString(string(text), " "))
		for _, l := range licences() {
			if !slices.ContainsFunc(l.words, func(w string) bool { return !strings.Contains(plain, w) }) {
				return l.name, nil
			}
		}
	}
	return "", nil
}

// Whatever is linked into a program that is shipped is under a licence that lets it be.
func TestLicencesOfWhatIsLinked(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Dir}}{{end}}{{end}}", "./cmd/...").Output()
	require.NoError(t, err)
	var found []string
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		path, dir, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok || seen[path] {
			continue
		}
		seen[path] = true
		name, err := licenceOf(dir)
		require.NoError(t, err)
		if name == "" {
			found = append(found, fmt.Sprintf("%s: no licence that is known here: look at it, and add its words to licences if it will do", path))
		}
	}
	require.Greater(t, len(seen), 30)
	report(t, "licences of linked modules", found)
}

func TestLicencesAreToldApart(t *testing.T) {
	for text, want := range map[string]string{
		"Permission is hereby granted,\nfree of charge, … without restriction":                                      "MIT",
		"Apache License\n Version 2.0":                                                                              "Apache-2.0",
		"GNU GENERAL PUBLIC LICENSE":                                                                                "",
		"Redistribution and use in source and binary forms … * Neither the name of …":                               "BSD-3-Clause",
		"Redistribution and use in source\nand binary forms, this list of conditions and the\nfollowing disclaimer": "BSD-2-Clause",
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "LICENSE.md"), []byte(text), 0o600))
		got, err := licenceOf(dir)
		require.NoError(t, err)
		require.Equal(t, want, got, text)
	}
}

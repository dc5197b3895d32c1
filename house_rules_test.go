package friday_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// source is one file of the house, by its slashed path from the root.
type source struct {
	path, text string
}

func (s source) generated() bool {
	return strings.HasSuffix(s.path, ".pb.go") || strings.HasSuffix(s.path, "go.sum")
}

// sources reads every file of the house but what is built, fetched or downloaded.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	root := os.DirFS(".")
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", ".cache", "bin", "dist", "testdata", "__pycache__"}, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || filepath.Ext(p) == ".png" {
			return nil
		}
		text, err := fs.ReadFile(root, p)
		all = append(all, source{p, string(text)})
		return err
	})
	require.NoError(t, err)
	return all
}

// rule is a pattern that no line of some files may hold.
type rule struct {
	name    string
	pattern *regexp.Regexp
	// in says which files; nil: all.
	in func(source) bool
}

// rules are what a search can hold. The patterns are put together from pieces so
// that this file does not break them.
func rules() []rule {
	either := func(words ...string) string { return `(` + strings.Join(words, `|`) + `)` }
	written := func(s source) bool { return !s.generated() && s.path != "LICENSE" }
	return []rule{
		{
			"a path of one machine",
			regexp.MustCompile(`(^|[\s"'=:(` + "`" + `])/` + either("wo"+"rk", "ro"+"ot", "home/[a-z]+") + `/`), written,
		},
		{
			"a registry is the environment's to choose",
			regexp.MustCompile(either(
				`proxy\.`+`golang\.org`, `sum\.`+`golang\.org`, `py`+`pi\.org`, `python`+`hosted\.org`,
				`registry\.`+`npmjs`, `deb\.`+`debian\.org`, `GO`+`PROXY=`, `PIP_`+`INDEX_URL`, `--(extra-)?`+`index-url`,
			)), written,
		},
		{
			"unfinished work is done, or said in the docs",
			regexp.MustCompile(`\b` + either("TO"+"DO", "FIX"+"ME", "XX"+"X") + `\b`), written,
		},
	}
}

func TestSourcesKeepTheRules(t *testing.T) {
	files := sources(t)
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			var found []string
			for _, f := range files {
				if r.in != nil && !r.in(f) {
					continue
				}
				for i, line := range strings.Split(f.text, "\n") {
					if r.pattern.MatchString(line) {
						found = append(found, fmt.Sprintf("%s:%d: %s", f.path, i+1, strings.TrimSpace(line)))
					}
				}
			}
			report(t, r.name, found)
		})
	}
}

// vague are words that name nothing; docs/glossary.md has the better ones.
func vague() []string {
	return []string{"backend", "middleware", "plugin", "helper", "util"}
}

// vagueWord is the vague word in a name, compared word by word: "utilisation" is
// fine, "dateUtils" is not.
func vagueWord(name string) string {
	for _, w := range words(name) {
		for _, v := range vague() {
			if w == v || w == v+"s" {
				return v
			}
		}
	}
	return ""
}

// humps are the places inside a name where a word ends: "dateUtils", "HTTPBackend".
var humps = regexp.MustCompile(`([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])`)

// words cuts a name at its humps, underscores, dots and slashes.
func words(name string) []string {
	name = humps.ReplaceAllString(name, "$1$3 $2$4")
	return strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return !unicode.IsLetter(r) })
}

func TestVagueWords(t *testing.T) {
	for name, want := range map[string]string{
		"proxy/util": "util", "HTTPBackend": "backend", "str_utils.go": "util", "testHelpers": "helper",
		"utilization": "", "Unhelpful": "", "proxy/h1": "", "PluginConfig": "plugin",
	} {
		require.Equal(t, want, vagueWord(name), name)
	}
}

// goFile is what the syntax of one Go file is asked for.
func goFile(t *testing.T, f source) (*token.FileSet, *ast.File) {
	t.Helper()
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, f.path, f.text, parser.ParseComments|parser.SkipObjectResolution)
	require.NoError(t, err)
	return fset, parsed
}

func TestGoKeepsTheRules(t *testing.T) {
	var names, imports, calls, silenced []string
	for _, f := range sources(t) {
		if w := vagueWord(f.path); w != "" {
			names = append(names, f.path+": "+w)
		}
		if filepath.Ext(f.path) != ".go" || f.generated() {
			continue
		}
		fset, file := goFile(t, f)
		at := func(n ast.Node) string { return fset.Position(n.Pos()).String() }
		for _, i := range file.Imports {
			if i.Path.Value == `"unsafe"` || i.Path.Value == `"C"` {
				imports = append(imports, at(i)+": "+i.Path.Value)
			}
		}
		for _, group := range file.Comments {
			for _, c := range group.List {
				if strings.HasPrefix(c.Text, "//nolint:gosec") {
					silenced = append(silenced, at(c)+": write // #nosec G000 -- reason")
				}
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				if w := vagueWord(n.Name.Name); w != "" {
					names = append(names, at(n)+": type "+n.Name.Name+": "+w)
				}
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && n.Sel.Name == "After" {
					calls = append(calls, at(n)+": time.After")
				}
			}
			return true
		})
	}
	report(t, "names that say nothing (docs/glossary.md)", names)
	report(t, "the house does without unsafe and cgo", imports)
	report(t, "a timer that cannot be stopped", calls)
	report(t, "gosec does not read nolint", silenced)
}

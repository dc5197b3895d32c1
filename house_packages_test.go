package friday_test

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryPackageHasADocComment(t *testing.T) {
	var found []string
	for _, p := range packages(t) {
		if written := slices.ContainsFunc(p.GoFiles, func(f string) bool { return !source{path: f}.generated() }); written && p.Doc == "" {
			found = append(found, p.path())
		}
	}
	report(t, "a package says what it is for", found)
}

// TestEveryFilterHasADoc: a folder that declares a filter (a Factory) explains it
// in doc.go.
func TestEveryFilterHasADoc(t *testing.T) {
	var found []string
	for _, p := range packages(t) {
		if path.Dir(p.path()) != "filters" || testOnly(p.path()) {
			continue
		}
		if declares(t, p, "TypeURL") && !slices.Contains(p.GoFiles, "doc.go") {
			found = append(found, p.path())
		}
	}
	report(t, "a filter's folder has a doc.go", found)
}

// declares says whether the package has a method of that name.
func declares(t *testing.T, p *pkg, method string) bool {
	t.Helper()
	for _, decl := range functions(t, p, p.GoFiles) {
		if decl.Recv != nil && decl.Name.Name == method {
			return true
		}
	}
	return false
}

func functions(t *testing.T, p *pkg, files []string) []*ast.FuncDecl {
	t.Helper()
	var all []*ast.FuncDecl
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(p.Dir, name))
		require.NoError(t, err)
		_, file := goFile(t, source{name, string(text)})
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				all = append(all, f)
			}
		}
	}
	return all
}

// reader is the name of a function that takes apart, or puts together, bytes that
// somebody else wrote.
var reader = regexp.MustCompile(`^(Parse|Load|Merge|Split|Decode|Unmarshal|Join)([A-Z]|$)`)

// trusted are folders whose readers need no fuzz target, and why.
func trusted() map[string]string {
	return map[string]string{
		"bench": "reads only what its own programs and scripts write",
		"cmd":   "reads its own command line and files of whoever started it",
	}
}

// fuzzed are packages that read what others wrote by other names.
func fuzzed() []string {
	return []string{
		"filters/cache",
		"filters/inference",
		"filters/jobs",
		"filters/inference/jsonspan",
		"proxy/h1",
		"proxy/h2",
		"proxy/listener",
		"proxy/listener/takeover",
		"proxy/router",
		"proxy/upstream",
		"xds/bootstrap",
		"xds/client",
		"xds/control/policy",
		"xds/resource",
	}
}

// TestEveryParserIsFuzzed: a package with a reader has a native fuzz target.
func TestEveryParserIsFuzzed(t *testing.T) {
	var found []string
	for _, p := range packages(t) {
		top, _, _ := strings.Cut(p.path(), "/")
		if testOnly(p.path()) || trusted()[top] != "" {
			continue
		}
		needs := slices.Contains(fuzzed(), p.path()) || slices.ContainsFunc(functions(t, p, p.GoFiles), func(f *ast.FuncDecl) bool {
			return reader.MatchString(f.Name.Name)
		})
		has := slices.ContainsFunc(functions(t, p, slices.Concat(p.TestGoFiles, p.XTestGoFiles)), func(f *ast.FuncDecl) bool {
			return strings.HasPrefix(f.Name.Name, "Fuzz")
		})
		if needs && !has {
			found = append(found, p.path())
		}
	}
	report(t, "what reads others' bytes has a fuzz target", found)
}

// link is a relative link of a Markdown file, heading a title in one.
var (
	link    = regexp.MustCompile(`\]\(([^)#:\s]*)(?:#([^)\s]*))?\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
)

// anchors are the fragments that lead into a Markdown file, as forges make them of its headings.
func anchors(t *testing.T, path string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	out := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(string(text), -1) {
		title := regexp.MustCompile(`\]\([^)]*\)`).ReplaceAllString(strings.ToLower(m[1]), "]")
		title = regexp.MustCompile(`[^\p{L}\p{N}\s_-]`).ReplaceAllString(title, "")
		out[strings.ReplaceAll(title, " ", "-")] = true
	}
	return out
}

func TestLinksLeadSomewhere(t *testing.T) {
	var found []string
	for _, f := range sources(t) {
		if filepath.Ext(f.path) != ".md" {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(f.text, -1) {
			to := f.path
			if m[1] != "" {
				to = filepath.Join(filepath.Dir(f.path), filepath.FromSlash(m[1]))
			}
			if _, err := os.Stat(to); err != nil || m[2] != "" && filepath.Ext(to) == ".md" && !anchors(t, to)[m[2]] {
				found = append(found, f.path+": "+m[0])
			}
		}
	}
	report(t, "a link leads to a file, and a fragment to a heading", found)
}

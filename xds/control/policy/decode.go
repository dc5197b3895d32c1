package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	policyv1alpha1 "github.com/fridaymesh/friday/xds/api/friday/policy/v1alpha1"
)

// MaxFileBytes bounds a file.
const MaxFileBytes = 1 << 20

// maxAliased bounds how many values of a file may come through aliases. Aliases
// of aliases can make gigabytes of a page.
const maxAliased = 10_000

// Decode reads the documents of a file; the name is for the problems only. Empty
// documents count as none. The error, if any, is [Problems]: all of the file's,
// except that nothing is known of what follows a syntax error.
func Decode(file string, data []byte) ([]*Policy, error) {
	if len(data) > MaxFileBytes {
		return nil, Problems{{File: file, Text: fmt.Sprintf("%d bytes: must be at most %d", len(data), MaxFileBytes)}}
	}
	var (
		policies []*Policy
		problems Problems
		aliased  int
	)
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			problems = append(problems, syntax(file, err))
			break
		}
		if len(doc.Content) == 0 || doc.Content[0].ShortTag() == "!!null" {
			continue
		}
		d := &decoder{file: file, lines: map[string]int{}, failed: map[string]bool{}, aliased: aliased}
		if p := d.document(doc.Content[0]); p != nil {
			d.problems = append(d.problems, validate(p, d.failed)...)
			p.Text = documentText(data, doc.Content[0])
			policies = append(policies, p)
		}
		problems = append(problems, d.problems...)
		aliased = d.aliased
	}
	if len(problems) > 0 {
		return nil, problems.sorted()
	}
	return policies, nil
}

// document reads one document. It returns nil where the document is something
// else than a policy, of which nothing more is to be said.
func (d *decoder) document(root *yaml.Node) *Policy {
	if root.Kind != yaml.MappingNode {
		d.problem(root, "", "%s: must be a policy: a mapping with apiVersion, kind, metadata and spec", describe(root))
		return nil
	}
	if d.otherKind(root) {
		return nil
	}
	p := &Policy{File: d.file, Doc: &policyv1alpha1.InferencePolicy{}, lines: d.lines}
	d.lines[""] = root.Line
	d.message("", root, p.Doc.ProtoReflect())
	return p
}

// otherKind says of what the document is where that is no policy.
func (d *decoder) otherKind(root *yaml.Node) (other bool) {
	var version *yaml.Node
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		if value.ShortTag() != "!!str" {
			continue
		}
		switch {
		case key.Value == "kind" && value.Value != Kind:
			d.problem(value, "kind", "%s: must be %s", quote(value.Value), Kind)
			other = true
		case (key.Value == "apiVersion" || key.Value == "api_version") && value.Value != APIVersion:
			version = value
		}
	}
	if other && version != nil {
		d.problem(version, "apiVersion", "%s: must be %s", quote(version.Value), APIVersion)
	}
	return other
}

var yamlLine = regexp.MustCompile(`^line (\d+): `)

// syntax takes the line out of the words of a YAML error.
func syntax(file string, err error) *Problem {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	return &Problem{File: file, Line: line, Text: "not YAML: " + text}
}

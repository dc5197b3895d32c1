package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/template/parse"

	"github.com/fridaymesh/friday/proxy/template"
)

const (
	// MaxOutput bounds what a template writes, in bytes.
	MaxOutput = 16 << 20
	// MaxTurns bounds how often its loops turn, all together.
	MaxTurns = 100_000
)

// writer is a template that is checked.
type writer struct {
	t *template.Template
	// json says that every action writes JSON, and that all together is JSON.
	json bool
}

// newWriter reads a template. known are the steps that come before it.
func newWriter(text string, isJSON bool, known map[string]bool) (*writer, error) {
	how := template.Text
	if isJSON {
		how = template.JSON
	}
	t, err := template.Parse("template", text, how, nil)
	if err != nil {
		return nil, err
	}
	if t.Defines() > 1 {
		return nil, errors.New("must not define templates")
	}
	for n := range template.All(t.Root().Root) {
		why := ""
		switch n := n.(type) {
		case *parse.TemplateNode:
			why = "must not call templates"
		case *parse.FieldNode:
			why = unknownStep(n.Ident, known)
		case *parse.VariableNode: // $ is where a template begins
			if n.Ident[0] == "$" {
				why = unknownStep(n.Ident[1:], known)
			}
		}
		if why != "" {
			at, _ := t.Root().ErrorContext(n)
			return nil, fmt.Errorf("%s: %s", at, why)
		}
	}
	return &writer{t, isJSON}, nil
}

// unknownStep says what is wrong with a path, if it is that of a step that does not come before.
func unknownStep(path []string, known map[string]bool) string {
	if len(path) > 1 && path[0] == "steps" && !known[path[1]] {
		return fmt.Sprintf("steps.%s: no step of that name comes before", path[1])
	}
	return ""
}

// write writes it over data.
func (w *writer) write(data map[string]any) ([]byte, error) {
	out, err := w.t.Execute(data, template.Limits{Output: MaxOutput, Turns: MaxTurns})
	if err == nil && w.json && !json.Valid(out) {
		err = errors.New("what the template writes is not JSON")
	}
	return out, err
}

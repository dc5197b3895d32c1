package template

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"text/template/parse"
)

// Func is what a template calls by a name. An error ends the execution.
type Func func(args []any) (any, error)

// Writer makes what is written of the value that an action comes to.
type Writer func(v any) (string, error)

// Text writes values as fmt.Print does.
func Text(v any) (string, error) {
	if v == nil {
		return "<no value>", nil
	}
	return fmt.Sprint(v), nil
}

// HTML is Text, escaped so that it stays text between tags and in the quoted value of an
// attribute. It is not enough for a URL that comes from elsewhere, nor within script or style.
func HTML(v any) (string, error) {
	s, err := Text(v)
	return html.EscapeString(s), err
}

// JSON writes values as JSON.
func JSON(v any) (string, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return string(bytes.TrimSuffix(out.Bytes(), []byte{'\n'})), err
}

// Template is one or several templates that know each other. It is immutable.
type Template struct {
	trees map[string]*parse.Tree
	root  string
	funcs map[string]Func
	write Writer
}

// Parse reads a template of the name given, and others that it defines. Its actions are
// written by w; beside text/template's own functions it may call those of funcs.
func Parse(name, text string, w Writer, funcs map[string]Func) (*Template, error) {
	t := &Template{map[string]*parse.Tree{}, name, builtins(), w}
	names := map[string]any{}
	maps.Copy(t.funcs, funcs)
	for name := range t.funcs {
		names[name] = true
	}
	if _, err := parse.New(name).Parse(text, "", "", t.trees, names); err != nil {
		return nil, err
	}
	for _, tree := range t.trees {
		for n := range All(tree.Root) {
			if call, ok := n.(*parse.TemplateNode); ok && t.trees[call.Name] == nil {
				at, _ := tree.ErrorContext(n)
				return nil, fmt.Errorf("template: %s: template %q not defined", at, call.Name)
			}
		}
	}
	return t, nil
}

// Root is the tree of the template that Execute begins with. It must not be changed.
func (t *Template) Root() *parse.Tree { return t.trees[t.root] }

// Defines says how many templates there are.
func (t *Template) Defines() int { return len(t.trees) }

// Limits bound an execution. Zero is none.
type Limits struct {
	// Output is how many bytes are written; also the longest text that a function makes.
	Output int
	// Turns is how often loops turn, all together.
	Turns int
}

// TooLong is the error of output beyond its limit.
type TooLong struct {
	// Limit is in bytes.
	Limit int
}

func (e *TooLong) Error() string { return fmt.Sprintf("writes more than %d bytes", e.Limit) }

// Execute writes the template over data: nil, booleans, numbers, strings, and maps by string,
// slices and structs of these. It may run several times at once.
func (t *Template) Execute(data any, l Limits) ([]byte, error) {
	x := &execution{Template: t, limits: l, tree: t.trees[t.root], vars: []variable{{"$", data}}}
	if _, err := x.list(data, x.tree.Root); err != nil {
		return nil, err
	}
	return x.out.Bytes(), nil
}

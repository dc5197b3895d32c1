package template

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"text/template/parse"
)

// execution is one. Its vars are a stack: an inner block's stand behind an outer's.
type execution struct {
	*Template

	limits Limits
	turns  int
	out    bytes.Buffer
	tree   *parse.Tree // that n stands in, for errors
	vars   []variable
	depth  int
}

type variable struct {
	name  string
	value any
}

// none is what the first command of a pipeline gets from before it.
type none struct{}

// flow says what comes after a node.
type flow int

const (
	next flow = iota
	continued
	broken
)

// mostDeep bounds how deep templates call each other.
const mostDeep = 1000

func (x *execution) errorf(n parse.Node, format string, args ...any) error {
	at, what := x.tree.ErrorContext(n)
	return fmt.Errorf("template: %s: executing %q at <%s>: %w", at, x.tree.Name, what, fmt.Errorf(format, args...))
}

func (x *execution) list(dot any, l *parse.ListNode) (flow, error) {
	if l == nil {
		return next, nil
	}
	for _, n := range l.Nodes {
		if f, err := x.node(dot, n); f != next || err != nil {
			return f, err
		}
	}
	return next, nil
}

func (x *execution) node(dot any, n parse.Node) (flow, error) {
	switch n := n.(type) {
	case *parse.TextNode:
		return next, x.say(string(n.Text))
	case *parse.ActionNode:
		return next, x.action(dot, n)
	case *parse.IfNode:
		return x.branch(dot, &n.BranchNode, false)
	case *parse.WithNode:
		return x.branch(dot, &n.BranchNode, true)
	case *parse.RangeNode:
		return x.loop(dot, n)
	case *parse.TemplateNode:
		return next, x.call(dot, n)
	case *parse.BreakNode:
		return broken, nil
	case *parse.ContinueNode:
		return continued, nil
	case *parse.CommentNode:
		return next, nil
	default:
		return next, x.errorf(n, "unknown node: %s", n)
	}
}

func (x *execution) say(s string) error {
	if x.limits.Output > 0 && x.out.Len()+len(s) > x.limits.Output {
		return &TooLong{x.limits.Output}
	}
	x.out.WriteString(s)
	return nil
}

// action writes what it comes to, unless that goes into a variable.
func (x *execution) action(dot any, n *parse.ActionNode) error {
	v, err := x.pipe(dot, n.Pipe)
	if err != nil || len(n.Pipe.Decl) > 0 {
		return err
	}
	s, err := x.write(v)
	if err != nil {
		return x.errorf(n, "%w", err)
	}
	return x.say(s)
}

func (x *execution) branch(dot any, b *parse.BranchNode, with bool) (flow, error) {
	defer x.forget(len(x.vars))
	v, err := x.pipe(dot, b.Pipe)
	switch {
	case err != nil:
		return next, err
	case !truth(v):
		return x.list(dot, b.ElseList)
	case with:
		dot = v
	}
	return x.list(dot, b.List)
}

func (x *execution) forget(mark int) { x.vars = x.vars[:mark] }

func (x *execution) loop(dot any, r *parse.RangeNode) (flow, error) {
	defer x.forget(len(x.vars))
	over, err := x.pipe(dot, r.Pipe)
	if err != nil {
		return next, err
	}
	if _, ok := over.(int); ok && len(r.Pipe.Decl) > 1 {
		return next, x.errorf(r, "can't use %v to iterate over more than one variable", over)
	}
	elements, ok := each(over)
	if !ok {
		return next, x.errorf(r, "range can't iterate over %v", over)
	}
	mark, turned := len(x.vars), false
	for key, v := range elements {
		turned = true
		if x.turns++; x.limits.Turns > 0 && x.turns > x.limits.Turns {
			return next, x.errorf(r, "loops turn more than %d times", x.limits.Turns)
		}
		if err := x.turn(r.Pipe, key, v); err != nil {
			return next, err
		}
		f, err := x.list(v, r.List)
		if err != nil {
			return next, err
		}
		x.forget(mark)
		if f == broken {
			break
		}
	}
	if turned {
		return next, nil
	}
	f, err := x.list(dot, r.ElseList)
	if f == broken { // as text/template has it
		f = next
	}
	return f, err
}

// turn sets the variables that a loop has: the key and the value, or the value.
func (x *execution) turn(p *parse.PipeNode, key, v any) error {
	values := []any{key, v}[2-len(p.Decl):]
	for i, d := range p.Decl {
		if !p.IsAssign {
			x.vars[len(x.vars)-len(p.Decl)+i].value = values[i]
		} else if err := x.assign(d, values[i]); err != nil {
			return err
		}
	}
	return nil
}

func (x *execution) assign(d *parse.VariableNode, v any) error {
	at, err := x.variable(d)
	if err == nil {
		at.value = v
	}
	return err
}

// variable is the innermost of its name.
func (x *execution) variable(n *parse.VariableNode) (*variable, error) {
	for i := range slices.Backward(x.vars) {
		if x.vars[i].name == n.Ident[0] {
			return &x.vars[i], nil
		}
	}
	return nil, x.errorf(n, "undefined variable: %s", n.Ident[0])
}

// call writes another template, which sees no variables of this one.
func (x *execution) call(dot any, n *parse.TemplateNode) error {
	v, err := x.pipe(dot, n.Pipe)
	if err != nil {
		return err
	}
	if x.depth == mostDeep {
		return x.errorf(n, "exceeded maximum template depth (%d)", mostDeep)
	}
	tree, vars := x.tree, x.vars
	x.depth, x.tree, x.vars = x.depth+1, x.trees[n.Name], []variable{{"$", v}}
	_, err = x.list(v, x.tree.Root)
	x.depth, x.tree, x.vars = x.depth-1, tree, vars
	return err
}

// pipe is what a pipeline comes to. Variables that it declares stay until the block ends.
func (x *execution) pipe(dot any, p *parse.PipeNode) (v any, err error) {
	if p == nil {
		return nil, nil //nolint:nilnil // nil is a value
	}
	v = none{}
	for _, c := range p.Cmds {
		if v, err = x.command(dot, c, v); err != nil {
			return nil, err
		}
	}
	for _, d := range p.Decl {
		if !p.IsAssign {
			x.vars = append(x.vars, variable{d.Ident[0], v})
		} else if err := x.assign(d, v); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// command is a function and its arguments, to which comes what stood before it in the
// pipeline, or a value.
func (x *execution) command(dot any, c *parse.CommandNode, before any) (any, error) {
	first := c.Args[0]
	if f, ok := first.(*parse.IdentifierNode); ok {
		return x.function(dot, f, c.Args[1:], before)
	}
	if _, alone := before.(none); !alone || len(c.Args) > 1 {
		return nil, x.errorf(first, "can't give argument to non-function %s", first)
	}
	if first.Type() == parse.NodeNil {
		return nil, x.errorf(first, "nil is not a command")
	}
	return x.value(dot, first)
}

func (x *execution) function(dot any, f *parse.IdentifierNode, rest []parse.Node, before any) (any, error) {
	args := make([]any, 0, len(rest)+1)
	for _, n := range rest {
		v, err := x.value(dot, n)
		if err != nil {
			return nil, err
		}
		if (f.Ident == "and" || f.Ident == "or") && truth(v) == (f.Ident == "or") {
			return v, nil // those behind it are not looked at
		}
		args = append(args, v)
	}
	if _, alone := before.(none); !alone {
		args = append(args, before)
	}
	v, err := x.funcs[f.Ident](args)
	if err != nil {
		return nil, x.errorf(f, "error calling %s: %w", f.Ident, err)
	}
	if s, ok := v.(string); ok && x.limits.Output > 0 && len(s) > x.limits.Output {
		return nil, &TooLong{x.limits.Output}
	}
	return v, nil
}

// value is what an argument stands for.
func (x *execution) value(dot any, n parse.Node) (any, error) {
	switch n := n.(type) {
	case *parse.DotNode:
		return dot, nil
	case *parse.NilNode:
		return nil, nil //nolint:nilnil // nil is a value
	case *parse.BoolNode:
		return n.True, nil
	case *parse.StringNode:
		return n.Text, nil
	case *parse.NumberNode:
		return x.number(n)
	case *parse.FieldNode:
		return x.fields(n, dot, n.Ident)
	case *parse.VariableNode:
		at, err := x.variable(n)
		if err != nil {
			return nil, err
		}
		return x.fields(n, at.value, n.Ident[1:])
	case *parse.PipeNode:
		return x.pipe(dot, n)
	case *parse.IdentifierNode:
		return x.function(dot, n, nil, none{})
	case *parse.ChainNode:
		v, err := x.value(dot, n.Node)
		if err != nil {
			return nil, err
		}
		return x.fields(n, v, n.Field)
	default:
		return nil, x.errorf(n, "can't evaluate command %q", n)
	}
}

// number is an int, or a float64 where it is written as one.
func (x *execution) number(n *parse.NumberNode) (any, error) {
	hex := len(n.Text) > 2 && n.Text[0] == '0' && (n.Text[1] == 'x' || n.Text[1] == 'X') && !strings.ContainsAny(n.Text, "pP")
	switch {
	case n.IsFloat && !hex && n.Text[0] != '\'' && strings.ContainsAny(n.Text, ".eEpP"):
		return n.Float64, nil
	case n.IsInt && n.Int64 >= math.MinInt && n.Int64 <= math.MaxInt:
		return int(n.Int64), nil
	case n.IsInt || n.IsUint:
		return nil, x.errorf(n, "%s overflows int", n.Text)
	}
	return nil, x.errorf(n, "%s is a complex number", n.Text)
}

// fields follows names.
func (x *execution) fields(n parse.Node, v any, names []string) (any, error) {
	for _, name := range names {
		var err error
		if v, err = field(v, name); err != nil {
			return nil, x.errorf(n, "%w", err)
		}
	}
	return v, nil
}

func field(v any, name string) (any, error) {
	if v == nil {
		return nil, fmt.Errorf("nil data; no entry for key %q", name)
	}
	if m, ok := v.(map[string]any); ok {
		if v, ok := m[name]; ok {
			return v, nil
		}
		return nil, fmt.Errorf("map has no entry for key %q", name)
	}
	r := reflect.ValueOf(v)
	for r.Kind() == reflect.Pointer && !r.IsNil() {
		r = r.Elem()
	}
	if r.Kind() != reflect.Struct {
		return nil, fmt.Errorf("can't evaluate field %s in type %T", name, v)
	}
	of, ok := r.Type().FieldByName(name)
	if !ok || !of.IsExported() {
		return nil, fmt.Errorf("can't evaluate field %s in type %T", name, v)
	}
	r, err := r.FieldByIndexErr(of.Index)
	if err != nil {
		return nil, errors.New("nil pointer evaluating " + name)
	}
	return plain(r), nil
}

// plain is the value; a nil pointer or map is nil.
func plain(r reflect.Value) any {
	switch r.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map:
		if r.IsNil() {
			return nil
		}
	default:
	}
	return r.Interface()
}

package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"text/template"
	"text/template/parse"
)

const (
	// MaxOutput bounds what a template writes, in bytes.
	MaxOutput = 16 << 20
	// MaxTurns bounds how often its loops turn, all together.
	MaxTurns = 100_000
)

// data is what templates see, and counts the turns of their loops.
type data map[string]any

// Tick is called by every turn of a loop.
func (d data) Tick() (string, error) {
	left := d[turns].(*int) //nolint:forcetypeassert // this package's own
	if *left--; *left < 0 {
		return "", fmt.Errorf("loops turn more than %d times", MaxTurns)
	}
	return "", nil
}

// MarshalJSON leaves the count out.
func (d data) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"input": d["input"], "steps": d["steps"]})
}

// turns is where it counts; no template can name it.
const turns = "\x00turns"

// tick is {{$.Tick}}.
//
//nolint:gochecknoglobals // a constant
var tick = template.Must(template.New("tick").Parse("{{$.Tick}}")).Root.Nodes[0]

// writer is a template that is checked.
type writer struct {
	t *template.Template
	// json says that every action writes JSON, and that all together is JSON.
	json bool
}

var errTooLong = fmt.Errorf("writes more than %d bytes", MaxOutput)

// asJSON is what every action of a body ends in.
const asJSON = "json"

// newWriter reads a template. known are the steps that come before it.
func newWriter(text string, isJSON bool, known map[string]bool) (*writer, error) {
	t, err := template.New("template").Option("missingkey=error").Funcs(template.FuncMap{asJSON: marshal}).Parse(text)
	if err != nil {
		return nil, err
	}
	if len(t.Templates()) > 1 || t.Tree == nil {
		return nil, errors.New("must not define templates")
	}
	c := &checker{tree: t.Tree, known: known, json: isJSON}
	if c.list(t.Root); c.err != nil {
		return nil, c.err
	}
	return &writer{t, isJSON}, nil
}

func marshal(v any) (string, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return string(bytes.TrimSuffix(out.Bytes(), []byte{'\n'})), err
}

// write writes it over data.
func (w *writer) write(d data) ([]byte, error) {
	out := &bounded{}
	left := MaxTurns
	d[turns] = &left
	if err := w.t.Execute(out, d); err != nil {
		if errors.Is(err, errTooLong) {
			return nil, errTooLong
		}
		return nil, err
	}
	if w.json && !json.Valid(out.Bytes()) {
		return nil, errors.New("what the template writes is not JSON")
	}
	return out.Bytes(), nil
}

// bounded takes MaxOutput bytes.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > MaxOutput {
		return 0, errTooLong
	}
	return b.Buffer.Write(p)
}

// checker goes over a template: it calls no other, refers to steps that are there, and
// writes JSON where it has to.
type checker struct {
	tree  *parse.Tree
	known map[string]bool
	json  bool
	err   error
}

func (c *checker) list(l *parse.ListNode) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		c.node(n)
	}
}

func (c *checker) node(n parse.Node) {
	switch n := n.(type) {
	case *parse.ActionNode:
		c.pipe(n.Pipe)
		if c.json && len(n.Pipe.Decl) == 0 {
			name := parse.NewIdentifier(asJSON).SetTree(c.tree).SetPos(n.Pos)
			n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Pos: n.Pos, Args: []parse.Node{name}})
		}
	case *parse.IfNode:
		c.branch(&n.BranchNode)
	case *parse.RangeNode:
		c.branch(&n.BranchNode)
		n.List.Nodes = append([]parse.Node{tick}, n.List.Nodes...)
	case *parse.WithNode:
		c.branch(&n.BranchNode)
	case *parse.TemplateNode:
		c.refuse(n, "must not call templates")
	default:
	}
}

func (c *checker) branch(b *parse.BranchNode) {
	c.pipe(b.Pipe)
	c.list(b.List)
	c.list(b.ElseList)
}

func (c *checker) pipe(p *parse.PipeNode) {
	if p == nil {
		return
	}
	for _, command := range p.Cmds {
		for _, arg := range command.Args {
			c.argument(arg)
		}
	}
}

func (c *checker) argument(n parse.Node) {
	switch n := n.(type) {
	case *parse.FieldNode:
		c.step(n, n.Ident)
	case *parse.VariableNode: // $ is where a template begins
		if n.Ident[0] == "$" {
			c.step(n, n.Ident[1:])
		}
	case *parse.ChainNode:
		c.argument(n.Node)
	case *parse.PipeNode:
		c.pipe(n)
	case *parse.IdentifierNode:
		if n.Ident == "call" {
			c.refuse(n, "must not use call")
		}
	default:
	}
}

func (c *checker) step(n parse.Node, path []string) {
	if len(path) > 1 && path[0] == "steps" && !c.known[path[1]] {
		c.refuse(n, fmt.Sprintf("steps.%s: no step of that name comes before", path[1]))
	}
}

func (c *checker) refuse(n parse.Node, why string) {
	if c.err == nil {
		at, _ := c.tree.ErrorContext(n)
		c.err = fmt.Errorf("%s: %s", at, why)
	}
}

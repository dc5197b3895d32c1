package template

import (
	"iter"
	"reflect"
	"text/template/parse"
)

// All goes over n and all nodes below it, each before those below.
func All(n parse.Node) iter.Seq[parse.Node] {
	return func(yield func(parse.Node) bool) { below(n, yield) }
}

func below(n parse.Node, yield func(parse.Node) bool) bool {
	if n == nil || reflect.ValueOf(n).IsNil() { // a branch without else has a nil of its type
		return true
	}
	if !yield(n) {
		return false
	}
	for _, part := range parts(n) {
		if !below(part, yield) {
			return false
		}
	}
	return true
}

func parts(n parse.Node) []parse.Node {
	switch n := n.(type) {
	case *parse.ListNode:
		return n.Nodes
	case *parse.ActionNode:
		return []parse.Node{n.Pipe}
	case *parse.IfNode:
		return []parse.Node{n.Pipe, n.List, n.ElseList}
	case *parse.RangeNode:
		return []parse.Node{n.Pipe, n.List, n.ElseList}
	case *parse.WithNode:
		return []parse.Node{n.Pipe, n.List, n.ElseList}
	case *parse.TemplateNode:
		return []parse.Node{n.Pipe}
	case *parse.ChainNode:
		return []parse.Node{n.Node}
	case *parse.CommandNode:
		return n.Args
	case *parse.PipeNode:
		all := make([]parse.Node, 0, len(n.Cmds))
		for _, c := range n.Cmds {
			all = append(all, c)
		}
		return all
	default:
		return nil
	}
}

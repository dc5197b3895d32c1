package policy

import (
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"

	policyv1alpha1 "github.com/fridaymesh/friday/xds/api/friday/policy/v1alpha1"
)

// decoder walks a document along the descriptor of its message, so that every
// problem knows its line and path. The descriptor bounds the depth; aliased
// bounds the breadth.
type decoder struct {
	file     string
	problems Problems
	lines    map[string]int
	failed   map[string]bool // the paths that have a problem

	inAlias int // how many aliases stand above the value that is being read
	aliased int // how many values were read through aliases
}

func (d *decoder) problem(n *yaml.Node, path, format string, args ...any) {
	d.problems = append(d.problems, &Problem{File: d.file, Line: n.Line, Path: path, Text: fmt.Sprintf(format, args...)})
	d.failed[path] = true
}

// follow resolves an alias. Where it returns ok, leave must be called after the
// value has been read.
func (d *decoder) follow(n *yaml.Node, path string) (target *yaml.Node, leave func(), ok bool) {
	leave = func() {}
	if n.Kind == yaml.AliasNode {
		d.inAlias++
		leave = func() { d.inAlias-- }
		n = n.Alias
	}
	if d.inAlias > 0 {
		d.aliased++
		if d.aliased > maxAliased {
			if d.aliased == maxAliased+1 {
				d.problem(n, path, "more than %d values come through aliases", maxAliased)
			}
			leave()
			return n, leave, false
		}
	}
	return n, leave, true
}

// message reads a mapping into m.
func (d *decoder) message(path string, n *yaml.Node, m protoreflect.Message) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, path, "a mapping of fields", "write {} for the defaults, or leave the field out")
		return
	}
	fields := m.Descriptor().Fields()
	first := map[protoreflect.FieldNumber]int{}
	unknown := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !d.key(path, key) {
			continue
		}
		fd := fields.ByTextName(key.Value)
		if fd == nil {
			fd = fields.ByJSONName(key.Value)
		}
		if fd == nil {
			if line, twice := unknown[key.Value]; twice {
				d.problem(key, join(path, key.Value), "set twice, first on line %d", line)
				continue
			}
			unknown[key.Value] = key.Line
			d.unknownField(path, key, fields)
			continue
		}
		fieldPath := join(path, display(fd))
		if line, twice := first[fd.Number()]; twice {
			d.problem(key, fieldPath, "set twice, first on line %d", line)
			continue
		}
		first[fd.Number()] = key.Line
		d.lines[fieldPath] = key.Line
		d.field(fieldPath, value, m, fd)
	}
}

// key refuses what cannot be a field's name.
func (d *decoder) key(path string, key *yaml.Node) bool {
	switch {
	case key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge":
		d.problem(key, join(path, key.Value), "merge keys are not supported: write the fields out, or alias a whole value")
	case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str":
		d.problem(key, path, "%s: a field's name must be text", describe(key))
	default:
		return true
	}
	return false
}

func (d *decoder) unknownField(path string, key *yaml.Node, fields protoreflect.FieldDescriptors) {
	names := make([]string, fields.Len())
	for i := range names {
		names[i] = display(fields.Get(i))
	}
	hint := ""
	if name, ok := nearest(key.Value, names); ok {
		hint = ", did you mean " + name + "?"
	}
	shown := key.Value
	if len(shown) > maxShown {
		shown = quote(shown)
	}
	d.problem(key, join(path, shown), "unknown field%s", hint)
}

// field reads one field's value, of whatever cardinality.
func (d *decoder) field(path string, n *yaml.Node, m protoreflect.Message, fd protoreflect.FieldDescriptor) {
	n, leave, ok := d.follow(n, path)
	if !ok {
		return
	}
	defer leave()
	switch {
	case fd.IsMap():
		d.mapping(path, n, m.Mutable(fd).Map(), fd)
	case fd.IsList():
		if n.Kind != yaml.SequenceNode {
			d.wrongType(n, path, "a list", listHint(n, fd))
			return
		}
		list := m.Mutable(fd).List()
		for i, item := range n.Content {
			itemPath := path + "[" + strconv.Itoa(i) + "]"
			d.lines[itemPath] = item.Line
			item, leave, ok := d.follow(item, itemPath)
			if !ok {
				return
			}
			v, ok := d.value(itemPath, item, fd, list.NewElement)
			if !ok {
				v = list.NewElement() // what follows keeps its index
			}
			list.Append(v)
			leave()
		}
	default:
		if v, ok := d.value(path, n, fd, func() protoreflect.Value { return m.NewField(fd) }); ok {
			m.Set(fd, v)
		}
	}
}

// listHint is what to write where one value stands in place of a list. Text has
// no hint where there is none, since a list of text may be one that must not be
// empty.
func listHint(n *yaml.Node, fd protoreflect.FieldDescriptor) string {
	switch {
	case n.Kind == yaml.ScalarNode && n.Value != "" && fd.Message() == nil:
		return "write [" + shown(n) + "]"
	case fd.Kind() == protoreflect.StringKind:
		return ""
	}
	return "write [] or leave the field out"
}

// mapping reads a map whose keys are text.
func (d *decoder) mapping(path string, n *yaml.Node, to protoreflect.Map, fd protoreflect.FieldDescriptor) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, path, "a mapping", "write {} or leave the field out")
		return
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !d.key(path, key) {
			continue
		}
		entry := path + "[" + quote(key.Value) + "]"
		if line, twice := first[key.Value]; twice {
			d.problem(key, entry, "set twice, first on line %d", line)
			continue
		}
		first[key.Value] = key.Line
		d.lines[entry] = key.Line
		value, leave, ok := d.follow(value, entry)
		if !ok {
			return
		}
		if v, ok := d.value(entry, value, fd.MapValue(), to.NewValue); ok {
			to.Set(protoreflect.ValueOfString(key.Value).MapKey(), v)
		}
		leave()
	}
}

// join adds a field's name to a path.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// display is a field's name as the documents write it: the proto's, but for the
// fields at the top, which Kubernetes has made known in the other form.
func display(fd protoreflect.FieldDescriptor) string {
	if fd.ContainingMessage().FullName() == (*policyv1alpha1.InferencePolicy)(nil).ProtoReflect().Descriptor().FullName() {
		return fd.JSONName()
	}
	return fd.TextName()
}

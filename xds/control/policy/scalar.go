package policy

import (
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	durationName  = "google.protobuf.Duration"
	wrapperSuffix = "Value"
	wellKnown     = "google.protobuf."
)

// value reads one value of a field's type. fresh makes an empty message.
func (d *decoder) value(path string, n *yaml.Node, fd protoreflect.FieldDescriptor, fresh func() protoreflect.Value) (protoreflect.Value, bool) {
	if fd.Kind() != protoreflect.MessageKind {
		return d.scalar(path, n, fd)
	}
	md := fd.Message()
	if md.FullName() == durationName {
		t, ok := d.duration(path, n)
		return protoreflect.ValueOfMessage(durationpb.New(t).ProtoReflect()), ok
	}
	v := fresh()
	if name := string(md.FullName()); strings.HasPrefix(name, wellKnown) && strings.HasSuffix(name, wrapperSuffix) {
		inner := md.Fields().ByName("value")
		scalar, ok := d.scalar(path, n, inner)
		if ok {
			v.Message().Set(inner, scalar)
		}
		return v, ok
	}
	d.message(path, n, v.Message())
	return v, true
}

// scalar reads a plain value. Types that no policy field has are refused, rather
// than guessed at.
func (d *decoder) scalar(path string, n *yaml.Node, fd protoreflect.FieldDescriptor) (protoreflect.Value, bool) {
	switch kind := fd.Kind(); kind {
	case protoreflect.StringKind:
		if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
			return protoreflect.ValueOfString(n.Value), true
		}
		hint := ""
		if n.Kind == yaml.ScalarNode && n.Value != "" {
			hint = "put it in quotes"
		}
		d.wrongType(n, path, "text", hint)
	case protoreflect.BoolKind:
		if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" {
			return protoreflect.ValueOfBool(strings.EqualFold(n.Value, "true")), true
		}
		d.wrongType(n, path, "true or false", "")
	case protoreflect.EnumKind:
		return d.enum(path, n, fd.Enum())
	case protoreflect.Uint32Kind:
		v, ok := d.unsigned(path, n, math.MaxUint32)
		return protoreflect.ValueOfUint32(uint32(v)), ok // #nosec G115 -- bounded by unsigned
	case protoreflect.Uint64Kind:
		v, ok := d.unsigned(path, n, math.MaxUint64)
		return protoreflect.ValueOfUint64(v), ok
	default:
		d.problem(n, path, "a field of type %s cannot be written in a policy", kind)
	}
	return protoreflect.Value{}, false
}

func (d *decoder) unsigned(path string, n *yaml.Node, most uint64) (uint64, bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" {
		d.wrongType(n, path, "a whole number", "")
		return 0, false
	}
	v, err := strconv.ParseUint(n.Value, 0, 64)
	if err != nil || v > most {
		d.problem(n, path, "%s: must be a whole number from 0 to %d", shown(n), most)
		return 0, false
	}
	return v, true
}

// duration reads Go's form. A bare 0 needs no unit.
func (d *decoder) duration(path string, n *yaml.Node) (time.Duration, bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		d.wrongType(n, path, "a duration as 5ms, 2s or 1h30m", "")
		return 0, false
	}
	t, err := time.ParseDuration(n.Value)
	switch {
	case err == nil && t < 0:
		d.problem(n, path, "%s: must not be negative", shown(n))
	case err != nil && (n.ShortTag() == "!!int" || n.ShortTag() == "!!float"):
		d.problem(n, path, "%s: the unit is missing: write %sms or %ss", shown(n), shown(n), shown(n))
	case err != nil:
		d.problem(n, path, "%s: must be a duration as 5ms, 2s or 1h30m", shown(n))
	default:
		return t, true
	}
	return 0, false
}

func (d *decoder) enum(path string, n *yaml.Node, ed protoreflect.EnumDescriptor) (protoreflect.Value, bool) {
	values := ed.Values()
	var allowed []string
	for i := range values.Len() {
		// The zero value of an enum that is only ever listed stands for nothing.
		if name := string(values.Get(i).Name()); !strings.HasSuffix(name, "_UNSPECIFIED") {
			allowed = append(allowed, name)
			if n.Kind == yaml.ScalarNode && n.Value == name {
				return protoreflect.ValueOfEnum(values.Get(i).Number()), true
			}
		}
	}
	hint := ""
	if name, ok := nearest(n.Value, allowed); ok {
		hint = ", did you mean " + name + "?"
	}
	d.problem(n, path, "%s: must be one of %s%s", shown(n), strings.Join(allowed, ", "), hint)
	return protoreflect.Value{}, false
}

func (d *decoder) wrongType(n *yaml.Node, path, want, hint string) {
	if hint != "" {
		hint = ": " + hint
	}
	d.problem(n, path, "%s: must be %s%s", shown(n), want, hint)
}

// shown is a value as a problem repeats it: numbers and the like as they are,
// text in quotes.
func shown(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		return describe(n)
	}
	switch n.ShortTag() {
	case "!!null":
		return "no value"
	case "!!int", "!!float", "!!bool", "!!timestamp":
		if len(n.Value) <= maxShown {
			return n.Value
		}
	}
	return quote(n.Value)
}

// describe says what kind of value stands there.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a mapping"
	case yaml.AliasNode:
		return "an alias"
	default:
		return shown(n)
	}
}

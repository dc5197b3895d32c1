package resource

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Check holds m against the table and against the rules that Envoy generates its
// checks from. The error joins a [*FieldError] for each field; kind and name say
// in it what m is. The parsers of this package call it; bootstrap does for what
// is no resource.
func Check(kind, name string, m proto.Message) error {
	p := newProblems(kind, name)
	p.check("", m.ProtoReflect())
	return p.err()
}

// check walks m at path and then validates it.
func (p *problems) check(path string, m protoreflect.Message) {
	rules, ok := table[m.Descriptor().FullName()]
	if !ok {
		p.refuse(path, string(m.Descriptor().FullName()), "not supported")
		return
	}
	p.message(path, m, rules)
	p.validate(path, m)
}

// message holds what is set in m against its rules.
func (p *problems) message(path string, m protoreflect.Message, rules rules) {
	md := m.Descriptor()
	for b := m.GetUnknown(); len(b) > 0; {
		num, _, n := protowire.ConsumeField(b)
		if n <= 0 {
			break
		}
		p.addf(path, "field number %d: unknown field of %s", num, md.FullName())
		b = b[n:]
	}
	// In the order of the descriptor, so that the words are always the same.
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		if m.Has(fd) {
			p.field(dot(path, string(fd.Name())), fd, m.Get(fd), rules)
		}
	}
}

func (p *problems) field(path string, fd protoreflect.FieldDescriptor, v protoreflect.Value, rules rules) {
	r, ok := rules[fd.Name()]
	switch {
	case !ok:
		p.refuse(path, text(fd, v), "not supported")
	case r.ignored != "" || r.opaque:
	case len(r.only) > 0:
		if s := text(fd, v); !slices.Contains(r.only, s) {
			p.refuse(path, s, "not supported yet, only "+strings.Join(r.only, ", "))
		}
	case fd.IsMap():
		for _, key := range sortedKeys(v.Map()) {
			p.value(fmt.Sprintf("%s[%q]", path, key.String()), fd.MapValue(), v.Map().Get(key), r)
		}
	case fd.IsList():
		for i := range v.List().Len() {
			p.value(path+"["+strconv.Itoa(i)+"]", fd, v.List().Get(i), r)
		}
	default:
		p.value(path, fd, v, r)
	}
}

// value looks at one value of an honoured field.
func (p *problems) value(path string, fd protoreflect.FieldDescriptor, v protoreflect.Value, r rule) {
	switch md := fd.Message(); {
	case fd.Enum() != nil:
		if fd.Enum().Values().ByNumber(v.Enum()) == nil {
			p.refuse(path, text(fd, v), "not defined")
		}
	case md == nil:
	case md.FullName() == "google.protobuf.Any":
		p.unpack(path, v.Message())
	case md.FullName().Parent() == "google.protobuf":
		p.wellKnown(path, v.Message())
	case r.within != nil:
		p.message(path, v.Message(), r.within)
	default:
		rules, ok := table[md.FullName()]
		if !ok {
			p.refuse(path, "", "not supported")
			return
		}
		p.message(path, v.Message(), rules)
	}
}

// wellKnown checks a duration's range, which the generated checks leave to the
// one that reads it.
func (p *problems) wellKnown(path string, m protoreflect.Message) {
	d, ok := m.Interface().(*durationpb.Duration)
	if !ok {
		return
	}
	if err := d.CheckValid(); err != nil {
		p.refuse(path, "", "not a duration")
		return
	}
	if d.AsDuration() < 0 {
		p.refuse(path, d.AsDuration().String(), "must not be negative")
	}
}

// unpack checks what an Any holds.
func (p *problems) unpack(path string, m protoreflect.Message) {
	a, ok := m.Interface().(*anypb.Any)
	if !ok {
		p.refuse(path, "", "not supported")
		return
	}
	inner, err := a.UnmarshalNew()
	switch {
	case a.GetTypeUrl() == "":
		p.refuse(path, "", "missing")
	case table[a.MessageName()] == nil:
		p.refuse(path, strconv.Quote(a.GetTypeUrl()), "not supported")
	case err != nil:
		p.refuse(path, strconv.Quote(a.GetTypeUrl()), "cannot be decoded: "+err.Error())
	default:
		p.check(path, inner.ProtoReflect())
	}
}

// text writes a value for an error; empty for messages that are no plain value.
func text(fd protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch {
	case fd.IsList() || fd.IsMap():
		return ""
	case fd.Enum() != nil:
		if e := fd.Enum().Values().ByNumber(v.Enum()); e != nil {
			return string(e.Name())
		}
		return strconv.Itoa(int(v.Enum()))
	case fd.Kind() == protoreflect.BytesKind:
		return fmt.Sprintf("%d bytes", len(v.Bytes()))
	case fd.Message() == nil:
		return cut(v.String())
	}
	switch m := v.Message(); {
	case fd.Message().FullName() == "google.protobuf.Duration":
		if d, ok := m.Interface().(*durationpb.Duration); ok && d.IsValid() {
			return d.AsDuration().String()
		}
	case strings.HasSuffix(string(fd.Message().Name()), "Value") && fd.Message().FullName().Parent() == "google.protobuf":
		if inner := m.Descriptor().Fields().ByName("value"); inner != nil {
			return text(inner, m.Get(inner))
		}
	}
	return ""
}

func cut(s string) string {
	const most = 100
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

func sortedKeys(m protoreflect.Map) []protoreflect.MapKey {
	keys := make([]protoreflect.MapKey, 0, m.Len())
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, k)
		return true
	})
	slices.SortFunc(keys, func(a, b protoreflect.MapKey) int { return strings.Compare(a.String(), b.String()) })
	return keys
}

func dot(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func index(name string, i int) string { return name + "[" + strconv.Itoa(i) + "]" }

func quote(s string) string { return strconv.Quote(cut(s)) }

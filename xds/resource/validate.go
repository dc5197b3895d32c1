package resource

import (
	"errors"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// violation is an error of the checks that protoc-gen-validate makes
// (https://github.com/bufbuild/protoc-gen-validate). Envoy refuses by the same
// rules.
type violation interface {
	error
	// Field is the field's Go name, with an index where it is repeated:
	// FilterChains[0].
	Field() string
	Reason() string
	Cause() error
}

// validate applies the generated checks to m, but not under what was refused
// already.
func (p *problems) validate(path string, m proto.Message) {
	if v, ok := m.(interface{ ValidateAll() error }); ok {
		p.violations(path, m.ProtoReflect(), v.ValidateAll())
	}
}

func (p *problems) violations(path string, m protoreflect.Message, err error) {
	if err == nil {
		return
	}
	if all, ok := err.(interface{ AllErrors() []error }); ok {
		for _, e := range all.AllErrors() {
			p.violations(path, m, e)
		}
		return
	}
	v, ok := errors.AsType[violation](err)
	if !ok {
		p.add(path, "", err.Error())
		return
	}
	name, index, _ := strings.Cut(v.Field(), "[")
	at, fd := dot(path, protoName(m, name)), fieldOf(m, name)
	if index != "" {
		at += "[" + index
	}
	if p.under(at) || fd != nil && table[m.Descriptor().FullName()][fd.Name()].opaque {
		return
	}
	if cause := v.Cause(); cause != nil {
		if inner, ok := element(m, fd, strings.TrimSuffix(index, "]")); ok {
			p.violations(at, inner, cause)
			return
		}
		p.add(at, "", cause.Error())
		return
	}
	value := ""
	if fd != nil && m.IsValid() && index == "" && m.Has(fd) {
		value = text(fd, m.Get(fd))
	}
	p.add(at, value, v.Reason())
}

// element finds the message that a violation's cause speaks of.
func element(m protoreflect.Message, fd protoreflect.FieldDescriptor, index string) (protoreflect.Message, bool) {
	if fd == nil || fd.Message() == nil || fd.IsMap() || !m.IsValid() {
		return nil, false
	}
	if !fd.IsList() {
		return m.Get(fd).Message(), true
	}
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= m.Get(fd).List().Len() {
		return nil, false
	}
	return m.Get(fd).List().Get(i).Message(), true
}

// protoName is the proto's name of what Go calls name: a field or a oneof.
func protoName(m protoreflect.Message, name string) string {
	if fd := fieldOf(m, name); fd != nil {
		return string(fd.Name())
	}
	oneofs := m.Descriptor().Oneofs()
	for i := range oneofs.Len() {
		o := oneofs.Get(i)
		if plain(string(o.Name())) != plain(name) {
			continue
		}
		var names []string
		for j := range o.Fields().Len() {
			if f := o.Fields().Get(j); table[m.Descriptor().FullName()] == nil || known(m, f) {
				names = append(names, string(f.Name()))
			}
		}
		return strings.Join(names, "|")
	}
	return name
}

func known(m protoreflect.Message, f protoreflect.FieldDescriptor) bool {
	_, ok := table[m.Descriptor().FullName()][f.Name()]
	return ok
}

func fieldOf(m protoreflect.Message, name string) protoreflect.FieldDescriptor {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		if plain(string(fields.Get(i).Name())) == plain(name) {
			return fields.Get(i)
		}
	}
	return nil
}

func plain(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

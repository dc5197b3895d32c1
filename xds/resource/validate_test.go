package resource

import (
	"cmp"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/envoyproxy/protoc-gen-validate/validate"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// envoys are the messages that have rules: all that are linked here.
func envoys(yield func(protoreflect.MessageType) bool) {
	protoregistry.GlobalTypes.RangeMessages(func(t protoreflect.MessageType) bool {
		of, _, _ := strings.Cut(string(t.Descriptor().FullName()), ".")
		return !slices.Contains([]string{"envoy", "xds", "udpa", "friday"}, of) || t.Descriptor().IsMapEntry() || yield(t)
	})
}

// A rule that is new in Envoy's messages is to be noticed, and not passed over.
func TestRulesOfOtherKindsAreNotInUse(t *testing.T) {
	known := map[string][]string{
		"bool": {"const"}, "bytes": {"min_len", "max_len"}, "double": {"lt", "lte", "gt", "gte"}, "uint32": {"lt", "lte", "gt", "gte"},
		"uint64": {"lt", "lte", "gt", "gte"}, "duration": {"required", "lt", "lte", "gt", "gte"}, "enum": {"defined_only", "not_in"},
		"any": {"required"}, "message": {"required", "skip"}, "repeated": {"min_items", "max_items", "unique", "items"}, "map": {"min_pairs", "keys"},
		"string": {"ignore_empty", "in", "min_len", "min_bytes", "max_bytes", "pattern", "prefix", "suffix", "well_known_regex", "strict"},
	}
	check := func(*validate.FieldRules, protoreflect.FullName) {}
	check = func(r *validate.FieldRules, of protoreflect.FullName) {
		r.ProtoReflect().Range(func(kind protoreflect.FieldDescriptor, rules protoreflect.Value) bool {
			rules.Message().Range(func(rule protoreflect.FieldDescriptor, v protoreflect.Value) bool {
				require.Contains(t, known[string(kind.Name())], string(rule.Name()), "%s: %s", of, kind.Name())
				if inner, ok := v.Interface().(protoreflect.Message); ok {
					if r, ok := inner.Interface().(*validate.FieldRules); ok {
						check(r, of)
					}
				}
				return true
			})
			return true
		})
	}
	n := 0
	for m := range envoys {
		d := m.Descriptor()
		for _, off := range []protoreflect.ExtensionType{validate.E_Disabled, validate.E_Ignored} {
			require.False(t, proto.HasExtension(d.Options(), off), "%s", d.FullName())
		}
		for i := range d.Fields().Len() {
			if r, _ := proto.GetExtension(d.Fields().Get(i).Options(), validate.E_Rules).(*validate.FieldRules); r != nil {
				check(r, d.Fields().Get(i).FullName())
				n++
			}
		}
	}
	require.Greater(t, n, 400)
}

// generated are the violations that the generated code finds, as the table's paths say where.
func generated(path string, m protoreflect.Message, err error) (out []FieldError) {
	if err == nil {
		return nil
	}
	if all, ok := err.(interface{ AllErrors() []error }); ok {
		for _, e := range all.AllErrors() {
			out = append(out, generated(path, m, e)...)
		}
		return out
	}
	v, ok := err.(interface {
		Field() string
		Reason() string
		Cause() error
	})
	if !ok {
		return []FieldError{{Path: path, Reason: err.Error()}}
	}
	plain := func(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }
	name, index, _ := strings.Cut(v.Field(), "[")
	d := m.Descriptor()
	var fd protoreflect.FieldDescriptor
	for i := range d.Fields().Len() {
		if f := d.Fields().Get(i); plain(string(f.Name())) == plain(name) {
			fd = f
		}
	}
	if fd == nil {
		for i := range d.Oneofs().Len() {
			if o := d.Oneofs().Get(i); plain(string(o.Name())) == plain(name) {
				return []FieldError{{Path: dot(path, choices(m, o)), Reason: v.Reason()}}
			}
		}
	}
	if table[d.FullName()][fd.Name()].opaque {
		return nil
	}
	at := dot(path, string(fd.Name()))
	if index != "" {
		at += "[" + index
	}
	switch cause, isOf := v.Cause(), fd.Message(); {
	case cause != nil && fd.IsMap():
		for _, key := range sortedKeys(m.Get(fd).Map()) {
			if key.String()+"]" == index {
				return generated(at, m.Get(fd).Map().Get(key).Message(), cause)
			}
		}
	case cause != nil && fd.IsList():
		i, _ := strconv.Atoi(strings.TrimSuffix(index, "]"))
		return generated(at, m.Get(fd).List().Get(i).Message(), cause)
	case cause != nil && isOf != nil:
		return generated(at, m.Get(fd).Message(), cause)
	}
	value := ""
	if index == "" && m.Has(fd) {
		value = text(fd, m.Get(fd))
	}
	// Where a rule names 0 as the least, the generated code says so.
	reason := regexp.MustCompile(`between 0 and (\d+) (\w+), inclusive`).ReplaceAllString(v.Reason(), "at most $1 $2")
	return []FieldError{{Path: at, Value: value, Reason: reason}}
}

// filler makes up messages, of values that rules speak of.
type filler struct{ *rand.Rand }

func (f filler) fill(m protoreflect.Message, deep int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if f.IntN(3) == 0 || fd.Message() != nil && deep == 0 {
			continue
		}
		switch {
		case fd.IsList():
			list := m.Mutable(fd).List()
			for range f.IntN(4) {
				list.Append(f.value(fd, list.NewElement, deep))
			}
		case fd.IsMap():
			of := m.Mutable(fd).Map()
			for range f.IntN(3) {
				key := f.value(fd.MapKey(), nil, deep)
				of.Set(key.MapKey(), f.value(fd.MapValue(), of.NewValue, deep))
			}
		default:
			m.Set(fd, f.value(fd, func() protoreflect.Value { return m.NewField(fd) }, deep))
		}
	}
}

func (f filler) value(fd protoreflect.FieldDescriptor, message func() protoreflect.Value, deep int) protoreflect.Value {
	n := []int64{0, 0, 1, 2, 3, 50, 100, 101, 255, 256, 65535, 65536, 1000, 86400, 1 << 30, 1<<31 - 1, -1, -5}[f.IntN(18)]
	if max(n, 3) == 3 && f.IntN(2) == 0 {
		n = f.Int64N(1000)
	}
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n%2 == 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(f.IntN(8)))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(n)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(n))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(n) / 100)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(n) / 100)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(f.text()))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(f.text())
	default:
		v := message()
		f.fill(v.Message(), deep-1)
		return v
	}
}

func (f filler) text() string {
	return []string{
		"", "a", "/path", "x-header", ":path", "a b", "line\nbreak", "nul\x00", "é", "a,b", "http", "https", "internal", "UH", "/x?y#z", "a.mmdb",
		strings.Repeat("é", 200), strings.Repeat("x", 17000),
	}[f.IntN(18)]
}

// What is found by reading the rules is what the code that is generated from them finds, in words
// and in place.
func TestFindsWhatGeneratedChecksFind(t *testing.T) {
	order := func(a, b FieldError) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Value, b.Value))
	}
	types, compared, reasons := 0, 0, map[string]bool{}
	for mt := range envoys {
		if _, ok := mt.New().Interface().(interface{ ValidateAll() error }); !ok {
			require.True(t, strings.HasPrefix(string(mt.Descriptor().FullName()), "friday."), "%s", mt.Descriptor().FullName())
			continue
		}
		types++
		f := filler{rand.New(rand.NewPCG(1, uint64(types)))}
		for i := range 40 {
			m := mt.New()
			f.fill(m, i%4)
			p := newProblems("test", "")
			if p.validate("", m); p.more > 0 {
				continue // more than it keeps
			}
			var found []FieldError
			for _, err := range p.errs {
				e := *err.(*FieldError) //nolint:errorlint // as problems keeps them
				found = append(found, FieldError{Path: e.Path, Value: e.Value, Reason: e.Reason})
				reasons[e.Reason] = true
			}
			want := generated("", m, m.Interface().(interface{ ValidateAll() error }).ValidateAll())
			slices.SortFunc(found, order)
			slices.SortFunc(want, order)
			require.Equal(t, want, found, "%s, the %dth", mt.Descriptor().FullName(), i)
			compared += len(want)
		}
	}
	t.Logf("%d types, %d violations of %d kinds", types, compared, len(reasons))
	require.Greater(t, types, 500)
	require.Greater(t, compared, 5000)
}

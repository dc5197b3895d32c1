package resource

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/envoyproxy/protoc-gen-validate/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// validate holds m against the rules that stand in its descriptors
// (https://github.com/bufbuild/protoc-gen-validate), by which Envoy refuses, but not under
// what was refused already.
//
// It reads the rules where they are, in the words of the Go code that can be generated from
// them: that code is a tenth of the program, and does not know where in a resource it is.
// Of the rules there are, those are known that Envoy's messages use (validate_test.go).
func (p *problems) validate(path string, m protoreflect.Message) {
	d := m.Descriptor()
	for i := range d.Fields().Len() {
		if fd := d.Fields().Get(i); fd.ContainingOneof() == nil {
			p.validateField(path, m, fd)
		}
	}
	for i := range d.Oneofs().Len() {
		oneof := d.Oneofs().Get(i)
		if fd := m.WhichOneof(oneof); fd != nil {
			p.validateField(path, m, fd)
		} else if required, _ := proto.GetExtension(oneof.Options(), validate.E_Required).(bool); required {
			p.violation(dot(path, choices(m, oneof)), "", "value is required")
		}
	}
}

// violation adds a reason, if nothing above it has been refused.
func (p *problems) violation(path, value, reason string) {
	if !p.under(path) {
		p.add(path, value, reason)
	}
}

// choices are the names of a oneof's fields of which one can be set here.
func choices(m protoreflect.Message, oneof protoreflect.OneofDescriptor) string {
	rules := table[m.Descriptor().FullName()]
	var names []string
	for i := range oneof.Fields().Len() {
		name := oneof.Fields().Get(i).Name()
		if _, known := rules[name]; known || rules == nil {
			names = append(names, string(name))
		}
	}
	return strings.Join(names, "|")
}

func (p *problems) validateField(path string, m protoreflect.Message, fd protoreflect.FieldDescriptor) {
	path = dot(path, string(fd.Name()))
	if table[m.Descriptor().FullName()][fd.Name()].opaque {
		return
	}
	r, _ := proto.GetExtension(fd.Options(), validate.E_Rules).(*validate.FieldRules)
	switch {
	case fd.IsList():
		p.validateList(path, m.Get(fd).List(), fd, r)
	case fd.IsMap():
		p.validateMap(path, m.Get(fd).Map(), fd, r.GetMap())
	default:
		value := ""
		if m.Has(fd) {
			value = text(fd, m.Get(fd))
		}
		p.validateValue(path, value, fd, m.Get(fd), r)
	}
}

func (p *problems) validateList(path string, list protoreflect.List, fd protoreflect.FieldDescriptor, r *validate.FieldRules) {
	rules := r.GetRepeated()
	if reason := counted("item").beyond(list.Len(), rules.GetMinItems(), rules.GetMaxItems()); reason != "" {
		p.violation(path, "", reason)
	}
	seen := map[any]bool{}
	for i := range list.Len() {
		at := path + "[" + strconv.Itoa(i) + "]"
		if rules.GetUnique() {
			if v := list.Get(i).Interface(); seen[v] {
				p.violation(at, "", "repeated value must contain unique items")
			} else {
				seen[v] = true
			}
		}
		p.validateValue(at, "", fd, list.Get(i), rules.GetItems())
	}
}

func (p *problems) validateMap(path string, m protoreflect.Map, fd protoreflect.FieldDescriptor, rules *validate.MapRules) {
	if reason := counted("pair").beyond(m.Len(), rules.GetMinPairs(), rules.GetMaxPairs()); reason != "" {
		p.violation(path, "", reason)
	}
	for _, key := range sortedKeys(m) {
		at := fmt.Sprintf("%s[%v]", path, key.String())
		p.validateValue(at, "", fd.MapKey(), key.Value(), rules.GetKeys())
		p.validateValue(at, "", fd.MapValue(), m.Get(key), rules.GetValues())
	}
}

// amounts are the words for a number that is not what it has to be: just so many, between two,
// at least, at most.
type amounts [4]string

func counted(what string) amounts {
	const must = "value must contain "
	return amounts{must + "exactly %d " + what + "(s)", must + "between %d and %d " + what + "s, inclusive", must + "at least %d " + what + "(s)", must + "no more than %d " + what + "(s)"}
}

func long(unit string) amounts {
	const must = "value length must be "
	return amounts{must + "%d " + unit, must + "between %d and %d " + unit + ", inclusive", must + "at least %d " + unit, must + "at most %d " + unit}
}

// beyond says what is wrong with a number; 0 is no bound.
func (a amounts) beyond(n int, least, most uint64) string {
	switch has := uint64(n); { // #nosec G115 -- a length
	case has >= least && (most == 0 || has <= most):
		return ""
	case least > 0 && least == most:
		return fmt.Sprintf(a[0], least)
	case least > 0 && most > 0:
		return fmt.Sprintf(a[1], least, most)
	case least > 0:
		return fmt.Sprintf(a[2], least)
	default:
		return fmt.Sprintf(a[3], most)
	}
}

// validateValue holds one value against its rules; value is what it is called in an error.
func (p *problems) validateValue(path, value string, fd protoreflect.FieldDescriptor, v protoreflect.Value, r *validate.FieldRules) {
	if fd.Message() == nil {
		for _, reason := range violated(fd, v, r) {
			p.violation(path, value, reason)
		}
		return
	}
	set := v.Message().IsValid()
	switch required := r.GetMessage().GetRequired(); rules := r.GetType().(type) {
	case *validate.FieldRules_Any:
		if rules.Any.GetRequired() && !set {
			p.violation(path, "", "value is required")
		}
	case *validate.FieldRules_Duration:
		p.validateDuration(path, value, v.Message(), rules.Duration)
	case nil:
		if required && !set {
			p.violation(path, "", "value is required")
		}
		if set && !r.GetMessage().GetSkip() {
			p.validate(path, v.Message())
		}
	default: // a wrapper: the rules are of what is in it
		if set {
			inner := fd.Message().Fields().ByName("value")
			p.validateValue(path, value, inner, v.Message().Get(inner), r)
		} else if required {
			p.violation(path, "", "value is required and must not be nil.")
		}
	}
}

func (p *problems) validateDuration(path, value string, m protoreflect.Message, r *validate.DurationRules) {
	d, _ := m.Interface().(*durationpb.Duration)
	switch err := d.CheckValid(); {
	case !m.IsValid():
		if r.GetRequired() {
			p.violation(path, "", "value is required")
		}
	case err != nil:
		p.violation(path, "", err.Error())
	default:
		bound := func(d *durationpb.Duration) *time.Duration {
			if d == nil {
				return nil
			}
			return new(d.AsDuration())
		}
		if reason := beyond(d.AsDuration(), bound(r.GetLt()), bound(r.GetLte()), bound(r.GetGt()), bound(r.GetGte())); reason != "" {
			p.violation(path, value, reason)
		}
	}
}

// violated says what is wrong with a value that is no message.
func violated(fd protoreflect.FieldDescriptor, v protoreflect.Value, r *validate.FieldRules) []string {
	reason := ""
	switch rules := r.GetType().(type) {
	case *validate.FieldRules_String_:
		return violatedText(v.String(), rules.String_)
	case *validate.FieldRules_Bytes:
		reason = long("bytes").beyond(len(v.Bytes()), rules.Bytes.GetMinLen(), rules.Bytes.GetMaxLen())
	case *validate.FieldRules_Bool:
		if is := rules.Bool.Const; is != nil && v.Bool() != *is {
			reason = fmt.Sprintf("value must equal %t", *is)
		}
	case *validate.FieldRules_Enum:
		return violatedEnum(fd.Enum().Values(), v.Enum(), rules.Enum)
	case *validate.FieldRules_Double:
		d := rules.Double
		reason = beyond(v.Float(), d.Lt, d.Lte, d.Gt, d.Gte)
	case *validate.FieldRules_Uint32:
		u := rules.Uint32
		reason = beyond(uint32(v.Uint()), u.Lt, u.Lte, u.Gt, u.Gte) // #nosec G115 -- the field is one
	case *validate.FieldRules_Uint64:
		u := rules.Uint64
		reason = beyond(v.Uint(), u.Lt, u.Lte, u.Gt, u.Gte)
	}
	if reason == "" {
		return nil
	}
	return []string{reason}
}

// beyond says which bounds v does not keep. Where the upper bound is not above the lower one,
// what is between them is what is not allowed.
func beyond[T cmp.Ordered](v T, lt, lte, gt, gte *T) string {
	low, high := cmp.Or(gt, gte), cmp.Or(lt, lte)
	above := low == nil || v > *low || gt == nil && v == *low
	below := high == nil || v < *high || lt == nil && v == *high
	switch {
	case above && below:
		return ""
	case low == nil && lt != nil:
		return fmt.Sprintf("value must be less than %v", *lt)
	case low == nil:
		return fmt.Sprintf("value must be less than or equal to %v", *lte)
	case high == nil && gt != nil:
		return fmt.Sprintf("value must be greater than %v", *gt)
	case high == nil:
		return fmt.Sprintf("value must be greater than or equal to %v", *gte)
	case *high > *low:
		return fmt.Sprintf("value must be inside range %s%v, %v%s", either(gt != nil, "(", "["), *low, *high, either(lt != nil, ")", "]"))
	case above || below:
		return ""
	default:
		return fmt.Sprintf("value must be outside range %s%v, %v%s", either(lt != nil, "[", "("), *high, *low, either(gt != nil, "]", ")"))
	}
}

func either(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

func violatedEnum(values protoreflect.EnumValueDescriptors, n protoreflect.EnumNumber, r *validate.EnumRules) (reasons []string) {
	if slices.Contains(r.GetNotIn(), int32(n)) {
		names := make([]string, 0, len(r.GetNotIn()))
		for _, not := range r.GetNotIn() {
			names = append(names, string(values.ByNumber(protoreflect.EnumNumber(not)).Name()))
		}
		reasons = append(reasons, fmt.Sprintf("value must not be in list %v", names))
	}
	if r.GetDefinedOnly() && values.ByNumber(n) == nil {
		reasons = append(reasons, "value must be one of the defined enum values")
	}
	return reasons
}

func violatedText(s string, r *validate.StringRules) (reasons []string) {
	if r.GetIgnoreEmpty() && s == "" {
		return nil
	}
	say := func(wrong bool, format string, args ...any) {
		if wrong {
			reasons = append(reasons, fmt.Sprintf(format, args...))
		}
	}
	say(len(r.GetIn()) > 0 && !slices.Contains(r.GetIn(), s), "value must be in list %v", r.GetIn())
	for _, reason := range []string{
		long("runes").beyond(utf8.RuneCountInString(s), r.GetMinLen(), r.GetMaxLen()), long("bytes").beyond(len(s), r.GetMinBytes(), r.GetMaxBytes()),
	} {
		say(reason != "", "%s", reason)
	}
	say(!strings.HasPrefix(s, r.GetPrefix()), "value does not have prefix %q", r.GetPrefix())
	say(!strings.HasSuffix(s, r.GetSuffix()), "value does not have suffix %q", r.GetSuffix())
	if pattern := patternOf(r); pattern != "" {
		say(!compiled(pattern).MatchString(s), "value does not match regex pattern %q", pattern)
	}
	return reasons
}

// patternOf is the pattern that a text is to match, also where the rules only name it.
func patternOf(r *validate.StringRules) string {
	switch named := r.GetWellKnownRegex(); {
	case named == validate.KnownRegex_UNKNOWN:
		return r.GetPattern()
	case !r.GetStrict():
		return "^[^\x00\n\r]*$"
	case named == validate.KnownRegex_HTTP_HEADER_NAME:
		return "^:?[0-9a-zA-Z!#$%&'*+-.^_|~`]+$"
	default:
		return "^[^\x00-\x08\n-\x1f\x7f]*$"
	}
}

// patterns are those that have been compiled, of which there are a few in the descriptors.
//
//nolint:gochecknoglobals // what is in it depends on the descriptors alone
var patterns sync.Map

func compiled(pattern string) *regexp.Regexp {
	if re, ok := patterns.Load(pattern); ok {
		return re.(*regexp.Regexp) //nolint:forcetypeassert // of this function
	}
	re := regexp.MustCompile(pattern)
	patterns.Store(pattern, re)
	return re
}

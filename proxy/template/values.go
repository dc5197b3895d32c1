package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"text/template"
)

// truth says that a value is not the empty one of its kind.
func truth(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case json.Number:
		_, n := sorted(v)
		return !reflect.ValueOf(n).IsZero()
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Map, reflect.Slice, reflect.String:
		return r.Len() > 0
	case reflect.Struct:
		return true
	default:
		return !r.IsZero()
	}
}

// each goes over what a loop can: keys and values of a map in the order of the keys, the
// elements of a slice, the numbers below one. Nothing has no elements.
func each(v any) (iter.Seq2[any, any], bool) {
	switch v := v.(type) {
	case nil:
		return func(func(any, any) bool) {}, true
	case int:
		return func(yield func(any, any) bool) {
			for i := range v {
				if !yield(nil, i) {
					return
				}
			}
		}, true
	case map[string]any:
		return func(yield func(any, any) bool) {
			for _, key := range slices.Sorted(maps.Keys(v)) {
				if !yield(key, v[key]) {
					return
				}
			}
		}, true
	}
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Slice {
		return nil, false
	}
	return func(yield func(any, any) bool) {
		for i := range r.Len() {
			if !yield(i, plain(r.Index(i))) {
				return
			}
		}
	}, true
}

// builtins are text/template's functions.
func builtins() map[string]Func {
	return map[string]Func{
		"and": some(last), "or": some(last), // function ends at the one that decides
		"not":   one(func(v any) (any, error) { return !truth(v), nil }),
		"len":   one(length),
		"index": some(index), "slice": some(slice),
		"print":    func(args []any) (any, error) { return fmt.Sprint(args...), nil },
		"println":  func(args []any) (any, error) { return fmt.Sprintln(args...), nil },
		"printf":   some(printf),
		"html":     func(args []any) (any, error) { return template.HTMLEscaper(args...), nil },
		"js":       func(args []any) (any, error) { return template.JSEscaper(args...), nil },
		"urlquery": func(args []any) (any, error) { return template.URLQueryEscaper(args...), nil },
		"eq":       some(equal),
		"ne":       two(func(a, b any) (bool, error) { same, err := same(a, b); return !same, err }),
		"lt":       two(less),
		"gt":       two(func(a, b any) (bool, error) { return less(b, a) }),
		"le":       two(lessOrSame),
		"ge":       two(func(a, b any) (bool, error) { return lessOrSame(b, a) }),
	}
}

func some(f Func) Func {
	return func(args []any) (any, error) {
		if len(args) == 0 {
			return nil, errors.New("wrong number of args: want at least 1 got 0")
		}
		return f(args)
	}
}

func one(f func(any) (any, error)) Func {
	return func(args []any) (any, error) {
		if len(args) != 1 {
			return nil, fmt.Errorf("wrong number of args: want 1 got %d", len(args))
		}
		return f(args[0])
	}
}

func two(f func(a, b any) (bool, error)) Func {
	return func(args []any) (any, error) {
		if len(args) != 2 {
			return nil, fmt.Errorf("wrong number of args: want 2 got %d", len(args))
		}
		return f(args[0], args[1])
	}
}

func last(args []any) (any, error) {
	return args[len(args)-1], nil
}

func printf(args []any) (any, error) {
	format, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("wrong type for value; expected string; got %T", args[0])
	}
	return fmt.Sprintf(format, args[1:]...), nil
}

func length(v any) (any, error) {
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Map, reflect.Slice, reflect.String:
		return r.Len(), nil
	default:
		return nil, fmt.Errorf("len of type %T", v)
	}
}

func index(args []any) (any, error) {
	v := args[0]
	if v == nil {
		return nil, errors.New("index of untyped nil")
	}
	for _, at := range args[1:] {
		r := reflect.ValueOf(v)
		switch r.Kind() {
		case reflect.Map:
			key, ok := at.(string)
			if !ok || r.Type().Key().Kind() != reflect.String {
				return nil, fmt.Errorf("value has type %T; should be %s", at, r.Type().Key())
			}
			if v = nil; r.MapIndex(reflect.ValueOf(key)).IsValid() {
				v = plain(r.MapIndex(reflect.ValueOf(key)))
			}
		case reflect.Slice, reflect.String:
			i, err := place(at, r.Len()-1)
			if err != nil {
				return nil, err
			}
			v = plain(r.Index(i))
		case reflect.Invalid:
			return nil, errors.New("index of nil pointer")
		default:
			return nil, fmt.Errorf("can't index item of type %T", v)
		}
	}
	return v, nil
}

func slice(args []any) (any, error) {
	r := reflect.ValueOf(args[0])
	switch {
	case args[0] == nil:
		return nil, errors.New("slice of untyped nil")
	case r.Kind() != reflect.Slice && r.Kind() != reflect.String:
		return nil, fmt.Errorf("can't slice item of type %T", args[0])
	case len(args) > 3:
		return nil, fmt.Errorf("too many slice indexes: %d", len(args)-1)
	}
	ends := []int{0, r.Len()}
	for i, at := range args[1:] {
		var err error
		if ends[i], err = place(at, r.Len()); err != nil {
			return nil, err
		}
	}
	if ends[0] > ends[1] {
		return nil, fmt.Errorf("invalid slice index: %d > %d", ends[0], ends[1])
	}
	return r.Slice(ends[0], ends[1]).Interface(), nil
}

// place is an index of at most most.
func place(v any, most int) (int, error) {
	if v == nil {
		return 0, errors.New("cannot index slice/array with nil")
	}
	r := reflect.ValueOf(v)
	switch {
	case r.CanInt() && r.Int() >= 0 && r.Int() <= int64(most):
		return int(r.Int()), nil
	case r.CanUint() && r.Uint() <= uint64(max(most, 0)) && most >= 0:
		return int(r.Uint()), nil // #nosec G115 -- not above most
	case r.CanInt() || r.CanUint():
		return 0, fmt.Errorf("index out of range: %v", v)
	}
	return 0, fmt.Errorf("cannot index slice/array with type %T", v)
}

// sort is what values are compared as.
type sort int

const (
	other sort = iota
	truths
	texts
	wholes // int64
	reals  // float64
)

// sorted is a value as the sort that it is compared as.
func sorted(v any) (sort, any) {
	if n, ok := v.(json.Number); ok {
		if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
			return wholes, i
		}
		f, _ := strconv.ParseFloat(string(n), 64) // infinity where it is too large
		return reals, f
	}
	r := reflect.ValueOf(v)
	switch {
	case r.Kind() == reflect.Bool:
		return truths, r.Bool()
	case r.Kind() == reflect.String:
		return texts, r.String()
	case r.CanInt():
		return wholes, r.Int()
	case r.CanUint() && int64(r.Uint()) >= 0: // #nosec G115 -- what overflows is below 0
		return wholes, int64(r.Uint()) // #nosec G115 -- as above
	case r.CanFloat():
		return reals, r.Float()
	}
	return other, v
}

// pair are two values as one sort. A json.Number is a number beside numbers, a text beside texts.
func pair(a, b any) (sort, any, any) {
	ka, va := sorted(a)
	kb, vb := sorted(b)
	na, aIsJSON := a.(json.Number)
	nb, bIsJSON := b.(json.Number)
	switch {
	case ka == kb:
		return ka, va, vb
	case ka == texts && bIsJSON:
		return texts, va, string(nb)
	case aIsJSON && kb == texts:
		return texts, string(na), vb
	case ka == wholes && kb == reals && (aIsJSON || bIsJSON):
		return reals, float64(va.(int64)), vb //nolint:forcetypeassert // sorted's
	case ka == reals && kb == wholes && (aIsJSON || bIsJSON):
		return reals, va, float64(vb.(int64)) //nolint:forcetypeassert // sorted's
	}
	return other, va, vb
}

func unlike(a, b any) error {
	return fmt.Errorf("incompatible types for comparison: %T and %T", a, b)
}

// equal says that the first is one of the others.
func equal(args []any) (any, error) {
	if len(args) == 1 {
		return nil, errors.New("missing argument for comparison")
	}
	for _, v := range args[1:] {
		if same, err := same(args[0], v); same || err != nil {
			return same, err
		}
	}
	return false, nil
}

func same(a, b any) (bool, error) {
	if a == nil || b == nil {
		return a == nil && b == nil, nil
	}
	s, va, vb := pair(a, b)
	if s == other {
		return false, unlike(a, b)
	}
	return va == vb, nil
}

func less(a, b any) (bool, error) {
	switch s, va, vb := pair(a, b); s {
	case texts:
		return va.(string) < vb.(string), nil //nolint:forcetypeassert // pair's
	case wholes:
		return va.(int64) < vb.(int64), nil //nolint:forcetypeassert // pair's
	case reals:
		return va.(float64) < vb.(float64), nil //nolint:forcetypeassert // pair's
	default:
		return false, unlike(a, b)
	}
}

func lessOrSame(a, b any) (bool, error) {
	if is, err := less(a, b); is || err != nil {
		return is, err
	}
	return same(a, b)
}

package openinference

import (
	"strconv"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// tensor is one input or output.
type tensor struct {
	options        wire.Options
	name, datatype []byte // raw JSON
	count          jsonspan.Span
	rows, row      int // shape[0] and the product of the rest of the shape
	dims           []byte
	inside         jsonspan.Span // what stands between the brackets of data
	items          []jsonspan.Span
	nested         bool
	size           jsonspan.Span // the value of binary_data_size, where it has one
	bytes          int64
}

// binary says that the data stands behind the JSON.
func (t *tensor) binary() bool { return t.size.Start > 0 }

// read reads the tensor that s is at, of at most so many rows. It is false where
// it is not of the protocol's shape, its data is neither in the text nor behind it,
// or shape and data do not say the same. What is behind is not looked at.
func (t *tensor) read(text []byte, s *jsonspan.Scanner, most int) bool {
	if !s.Object() {
		return false
	}
	unread := -1
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		switch name := span.Of(text); string(name) {
		case "shape":
			t.options.Note(name)
			if t.count.Len() > 0 || !t.readShape(text, s, most) {
				return false
			}
		case "data":
			t.options.Note(name)
			if t.inside.Start > 0 || unread >= 0 {
				return false
			}
			if t.count.Len() == 0 {
				// The shape, which tells a row's length, is still to come.
				unread = s.Pos()
				s.Value()
			} else if !t.readData(s) {
				return false
			}
		case "parameters":
			value, ok := t.readParameters(text, s)
			if !ok {
				return false
			}
			t.options.Add(name, value)
		default:
			value := s.Value().Of(text)
			switch string(name) {
			case "name":
				t.name = value
			case "datatype":
				t.datatype = value
			}
			t.options.Add(name, value)
		}
	}
	if unread >= 0 && t.count.Len() > 0 {
		again := jsonspan.At(text, unread)
		if !t.readData(&again) {
			return false
		}
	}
	here := t.inside.Start > 0 || unread >= 0
	return here != t.binary() && t.count.Len() > 0 && isString(t.name) && isString(t.datatype)
}

// requestKey appends what has to be equal of an input.
func (t *tensor) requestKey(dst []byte) ([]byte, bool) {
	dst, ok := t.options.AppendKey(dst)
	return t.form(dst), ok
}

// form appends the shape of a row and how rows are written.
func (t *tensor) form(dst []byte) []byte {
	dst = append(dst, t.dims...)
	switch {
	case t.binary():
		return append(dst, 'b')
	case t.nested:
		return append(dst, 'n')
	}
	return append(dst, 'f')
}

func isString(raw []byte) bool { return len(raw) >= 2 && raw[0] == '"' }

// maxElements is the greatest product of dimensions that is believed.
const maxElements = 1 << 40

// readShape reads [rows, …]. A dimension of zero is nothing to tell items apart by.
func (t *tensor) readShape(text []byte, s *jsonspan.Scanner, most int) bool {
	if !s.Array() || !s.Element() {
		return false
	}
	t.count = s.Value()
	rows, ok := jsonspan.Int(t.count.Of(text))
	if !ok || rows < 1 || rows > int64(most) {
		return false
	}
	t.rows = int(rows)
	product := int64(1)
	for s.Element() {
		dim, ok := jsonspan.Int(s.Value().Of(text))
		if !ok || dim < 1 || dim > maxElements/product {
			return false
		}
		product *= dim
		t.dims = append(strconv.AppendInt(t.dims, dim, 10), ',')
	}
	t.row = int(product)
	return true
}

// readData reads the rows, which stand flat, all elements in one array, or nested,
// an array for each. Every row must have all of its elements and no more: what one
// caller leaves out, the server would fill with the next caller's.
func (t *tensor) readData(s *jsonspan.Scanner) bool {
	t.inside.Start = s.Pos() + 1
	if !s.Array() || !s.Element() {
		return false
	}
	t.nested = s.Kind() == '['
	t.items = make([]jsonspan.Span, 0, min(t.rows, 32)) // not more than the text may be long
	if t.nested {
		for more := true; more; more = s.Element() {
			start := s.Pos()
			if n, ok := elements(s); !ok || n != t.row || len(t.items) == t.rows {
				return false
			}
			t.items = append(t.items, jsonspan.Span{Start: start, End: s.Pos()})
		}
	} else if !t.readFlat(s) {
		return false
	}
	t.inside.End = s.Pos() - 1
	return len(t.items) == t.rows
}

func (t *tensor) readFlat(s *jsonspan.Scanner) bool {
	var run jsonspan.Span
	n := 0
	for more := true; more; more = s.Element() {
		if c := s.Kind(); c == '[' || c == '{' || len(t.items) == t.rows {
			return false
		}
		value := s.Value()
		if n == 0 {
			run.Start = value.Start
		}
		if n++; n == t.row {
			run.End = value.End
			t.items = append(t.items, run)
			n = 0
		}
	}
	return n == 0
}

// elements counts the scalars in the array that s is at; false where there is an
// object in it. It goes as deep as the scanner lets it.
func elements(s *jsonspan.Scanner) (n int, ok bool) {
	if !s.Array() {
		return 0, false
	}
	for s.Element() {
		switch s.Kind() {
		case '{':
			return 0, false
		case '[':
			inner, ok := elements(s)
			if !ok {
				return 0, false
			}
			n += inner
		default:
			s.Value()
			n++
		}
	}
	return n, true
}

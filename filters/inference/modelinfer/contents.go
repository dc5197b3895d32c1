package modelinfer

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
)

// typed is what an InferTensorContents holds: exactly one of its lists.
type typed struct {
	number protowire.Number
	packed field // the list, where it holds numbers
	items  []jsonspan.Span
}

// The lists: 1 to 5 are of varints, then
const (
	fieldFloats  = 6
	fieldDoubles = 7
	fieldBytes   = 8
)

// read reads the rows of contents, so many of row elements each; false where it does
// not hold exactly those.
func (t *typed) read(r *fields, contents field, rows, row int) bool {
	in := r.inside(contents)
	f, ok := in.next()
	if !ok || f.kind != protowire.BytesType {
		return false
	}
	t.number = f.number
	switch {
	case f.number == fieldBytes:
		ok = t.readBytes(&in, f, rows, row)
	case f.number == fieldFloats:
		t.packed = f
		ok = t.readFixed(f, 4, rows, row)
	case f.number == fieldDoubles:
		t.packed = f
		ok = t.readFixed(f, 8, rows, row)
	case f.number < fieldFloats:
		t.packed = f
		ok = t.readVarints(&in, f, rows, row)
	default:
		return false
	}
	return ok && !in.bad && in.pos == in.end
}

// readBytes reads one field for each element, one behind the other.
func (t *typed) readBytes(in *fields, f field, rows, row int) bool {
	if (in.end-f.record.Start)/2/rows < row {
		return false // each takes two bytes at least
	}
	t.items = make([]jsonspan.Span, rows)
	for i := range t.items {
		t.items[i].Start = f.record.Start
		for range row {
			if f.number != fieldBytes || f.kind != protowire.BytesType {
				return false
			}
			t.items[i].End = f.record.End
			f, _ = in.next()
		}
	}
	return f.number == 0 // none is left
}

// readFixed reads elements of size bytes.
func (t *typed) readFixed(f field, size, rows, row int) bool {
	if n := f.value.Len(); n%size != 0 || n/size%rows != 0 || n/size/rows != row {
		return false
	}
	t.items = make([]jsonspan.Span, rows)
	for i := range t.items {
		t.items[i].Start = f.value.Start + i*size*row
		t.items[i].End = t.items[i].Start + size*row
	}
	return true
}

// readVarints reads each, so that a faulty one does not spoil a neighbour's message.
func (t *typed) readVarints(in *fields, f field, rows, row int) bool {
	if f.value.Len()/rows < row {
		return false
	}
	t.items = make([]jsonspan.Span, rows)
	at := f.value.Start
	for i := range t.items {
		t.items[i].Start = at
		for range row {
			_, n := protowire.ConsumeVarint(in.text[at:f.value.End])
			if n < 0 {
				return false
			}
			at += n
		}
		t.items[i].End = at
	}
	return at == f.value.End
}

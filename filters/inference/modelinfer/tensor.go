package modelinfer

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/rawtensor"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// tensor is one InferInputTensor or InferOutputTensor; their fields agree.
type tensor struct {
	record     field
	name       []byte
	datatype   []byte
	shape      field
	count      jsonspan.Span // the first dimension
	rows, row  int           // it, and the product of the others
	dims       []byte        // the others, as they stand
	parameters parameters
	unknown    key
	contents   field
	typed      typed
}

const (
	// maxTensors and maxRows bound what the tensors of one message, and their rows
	// in all, cost beside the text.
	maxTensors = 1024
	maxRows    = 4 * wire.MaxItems
	// maxElements is the greatest product of dimensions that is believed.
	maxElements = 1 << 40
)

// read reads the tensor that f is, of at most so many rows. It is false where it is
// not of the protocol's shape, or its contents are not as many as its shape says.
func (t *tensor) read(r *fields, f field, most int) bool {
	if f.kind != protowire.BytesType {
		return false
	}
	t.record = f
	var seen uint32
	in := r.inside(f)
	for f, ok := in.next(); ok; f, ok = in.next() {
		good := true
		switch f.number {
		case 1:
			good = once(&seen, f)
			t.name = in.of(f)
		case 2:
			good = once(&seen, f)
			t.datatype = in.of(f)
		case 3:
			good = once(&seen, f) && t.readShape(&in, f, most)
		case 4:
			good = f.kind == protowire.BytesType && t.parameters.add(&in, f)
		case 5:
			good = once(&seen, f)
			t.contents = f
		default:
			t.unknown.add(f.number, f.record.Of(in.text))
		}
		if !good {
			return false
		}
	}
	if in.bad || t.rows == 0 {
		return false
	}
	return t.contents.value.Len() == 0 || t.typed.read(&in, t.contents, t.rows, t.row)
}

// readShape reads packed dimensions, the first of which counts the rows. One of zero
// is nothing to tell items apart by.
func (t *tensor) readShape(r *fields, f field, most int) bool {
	t.shape = f
	rest := r.of(f)
	rows, n := protowire.ConsumeVarint(rest)
	if n < 0 || rows < 1 || rows > uint64(most) { // #nosec G115 -- not negative
		return false
	}
	t.rows, t.row = int(rows), 1 // #nosec G115 -- at most most
	t.count = jsonspan.Span{Start: f.value.Start, End: f.value.Start + n}
	t.dims = rest[n:]
	for rest = t.dims; len(rest) > 0; rest = rest[n:] {
		var dim uint64
		if dim, n = protowire.ConsumeVarint(rest); n < 0 || dim < 1 || dim > maxElements/uint64(t.row) { // #nosec G115 -- positive
			return false
		}
		t.row *= int(dim) // #nosec G115 -- at most maxElements
	}
	return true
}

// addTo adds what has to be equal of an input.
func (t *tensor) addTo(k *key) bool {
	own := t.form()
	ok := t.parameters.addTo(&own, 4)
	own.add(6, t.unknown.raw)
	k.add(fieldTensors, own.raw)
	return ok
}

// form is what the outputs of the slices of one request agree in.
func (t *tensor) form() key {
	var own key
	own.add(1, t.name)
	own.add(2, t.datatype)
	own.add(3, t.dims)
	own.add(5, []byte{byte(t.typed.number)}) // #nosec G115 -- up to 8
	return own
}

// fill puts the tensors, and where the data is raw its fields, into m. It is an
// error where they have not all the same number of rows, or not all their data in
// one of the two ways.
func fill(m *wire.Message, tensors []tensor, raws []field) error {
	if len(raws) > 0 && len(raws) != len(tensors) {
		return fmt.Errorf("%d tensors have %d raw contents", len(tensors), len(raws))
	}
	for i := range tensors {
		t := &tensors[i]
		if t.rows != tensors[0].rows || t.rows*len(tensors) > maxRows {
			return fmt.Errorf("tensor %d has %d rows, the first %d", i, t.rows, tensors[0].rows)
		}
		m.Holes = append(m.Holes, counted(t.record), counted(t.shape), wire.Hole{Span: t.count, Kind: wire.Varint})
		var items []jsonspan.Span
		var run jsonspan.Span
		if len(raws) > 0 {
			var ok bool
			run = raws[i].value
			if items, ok = rawtensor.Rows(m.Text, run, string(t.datatype), t.rows, t.row); !ok || t.typed.items != nil {
				return fmt.Errorf("raw contents %d are not what shape and datatype say", i)
			}
			m.Holes = append(m.Holes, counted(raws[i]))
		} else {
			if items = t.typed.items; items == nil {
				return errors.New("a tensor has no contents")
			}
			run = jsonspan.Span{Start: items[0].Start, End: items[t.rows-1].End}
			m.Holes = append(m.Holes, counted(t.contents))
			if t.typed.packed.length.Len() > 0 {
				m.Holes = append(m.Holes, counted(t.typed.packed))
			}
		}
		m.Holes = append(m.Holes, wire.Hole{Span: run, Kind: wire.Inside, N: i})
		m.Lists = append(m.Lists, wire.List{Items: items, Raw: true})
		m.Items = t.rows
	}
	if m.Items == 0 {
		return errors.New("there is no tensor")
	}
	sortHoles(m)
	return nil
}

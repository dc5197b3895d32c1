package modelinfer

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// fields walks over the fields of one message in text.
type fields struct {
	text     []byte
	pos, end int
	bad      bool
}

// field is one of them.
type field struct {
	number protowire.Number
	kind   protowire.Type
	// record is the whole of it, length the varint of one that has a length, and
	// value what is behind.
	record, length, value jsonspan.Span
}

// next steps to the next field; false at the end, or where there is a fault, which
// bad tells. Groups, which proto3 has not, are one.
func (r *fields) next() (f field, ok bool) {
	if r.bad || r.pos == r.end {
		return f, false
	}
	start := r.pos
	number, kind, n := protowire.ConsumeTag(r.text[r.pos:r.end])
	if n < 0 || kind == protowire.StartGroupType || kind == protowire.EndGroupType {
		r.bad = true
		return f, false
	}
	r.pos += n
	f = field{number: number, kind: kind, value: jsonspan.Span{Start: r.pos}}
	if kind == protowire.BytesType {
		_, n = protowire.ConsumeVarint(r.text[r.pos:r.end])
		if n < 0 {
			r.bad = true
			return f, false
		}
		f.length = jsonspan.Span{Start: r.pos, End: r.pos + n}
		f.value.Start = f.length.End
	}
	if n = protowire.ConsumeFieldValue(number, kind, r.text[r.pos:r.end]); n < 0 {
		r.bad = true
		return f, false
	}
	r.pos += n
	f.value.End = r.pos
	f.record = jsonspan.Span{Start: start, End: r.pos}
	return f, true
}

// inside are the fields of f, a message.
func (r *fields) inside(f field) fields {
	return fields{text: r.text, pos: f.value.Start, end: f.value.End}
}

// of is the value's bytes.
func (r *fields) of(f field) []byte { return f.value.Of(r.text) }

// counted is the hole of the length of f.
func counted(f field) wire.Hole {
	return wire.Hole{Span: f.length, Kind: wire.Length, N: f.value.End}
}

// once notes that a field that stands at most once, in a message's tag order or
// not, is there; false where it was before, or is not of the kind that has a length.
// A decoder takes the last, or melts messages together.
func once(seen *uint32, f field) bool {
	bit := uint32(1) << f.number
	again := *seen&bit != 0
	*seen |= bit
	return !again && f.kind == protowire.BytesType
}

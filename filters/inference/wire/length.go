package wire

import "google.golang.org/protobuf/encoding/protowire"

// bytes is how long the pieces' values of a raw list are together.
func (f *Fill) bytes(list int) int {
	n := 0
	for _, p := range f.Pieces {
		items := p.Message.Lists[list].Items
		n += items[p.To-1].End - items[p.From].Start
	}
	return n
}

// lengths are, by hole, what each Length and Frame has to say; nil where there are
// none.
//
// How many bytes a Length takes depends on what it says, and that on the holes
// inside of it. They stand behind it in the text, so that one pass from the last
// hole to the first knows each before it is asked for: grown[i] is by how much the
// holes from i on are longer than what they take the place of, and the holes from
// i+1 up to k are inside of hole i where k is the first that begins behind its end.
func (m *Message) lengths(fill Fill) []uint64 {
	if !m.counted() {
		return nil
	}
	lengths := make([]uint64, len(m.Holes))
	grown := make([]int, len(m.Holes)+1)
	for i := len(m.Holes) - 1; i >= 0; i-- {
		hole := m.Holes[i]
		n := hole.Span.Len()
		switch hole.Kind {
		case Inside:
			n = fill.bytes(hole.N)
		case Varint:
			n = protowire.SizeVarint(uint64(fill.items())) // #nosec G115 -- not negative
		case Drop:
			n = 0
		case ID:
			if fill.ID != nil {
				n = len(fill.ID)
			}
		case Length, Frame:
			k := i + 1
			for k < len(m.Holes) && m.Holes[k].Span.Start < hole.N {
				k++
			}
			lengths[i] = uint64(hole.N - hole.Span.End + grown[i+1] - grown[k]) // #nosec G115 -- a length
			if hole.Kind == Length {
				n = protowire.SizeVarint(lengths[i])
			}
		case Whole, Count, Usage, NewID, Size, Outer: // JSON's
		}
		grown[i] = grown[i+1] + n - hole.Span.Len()
	}
	return lengths
}

// counted says whether there is a Length or Frame.
func (m *Message) counted() bool {
	for _, hole := range m.Holes {
		if hole.Kind == Length || hole.Kind == Frame {
			return true
		}
	}
	return false
}

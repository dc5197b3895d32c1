package wire

import (
	"encoding/binary"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
)

// Fill is what goes into a message's holes.
type Fill struct {
	// Pieces are the items, in order, of messages whose Key equals the message's.
	Pieces []Piece
	// Single: the only item stands without the brackets of a list (Outer).
	Single bool
	// ID is what an ID of the messages' form is; nil: the message's own, if any, stays.
	ID []byte
	// Usage are the token counts, as many as the message has; nil: its own stay.
	Usage []int64
}

// Render returns the message's text with its holes filled. Everything outside of
// the holes, and the items, are copied as they are.
func (m *Message) Render(fill Fill) []byte {
	dst := make([]byte, 0, m.size(fill))
	last := 0
	lengths := m.lengths(fill)
	for i, hole := range m.Holes {
		dst = append(dst, m.Text[last:hole.Span.Start]...)
		last = hole.Span.End
		switch hole.Kind {
		case Inside:
			dst = appendItems(dst, hole.N, fill.Pieces)
		case Outer, Whole:
			if hole.Kind == Outer && fill.Single {
				dst = appendItems(dst, hole.N, fill.Pieces)
				break
			}
			dst = append(dst, '[')
			dst = appendItems(dst, hole.N, fill.Pieces)
			dst = append(dst, ']')
		case Count:
			dst = strconv.AppendInt(dst, int64(fill.items()), 10)
		case Drop:
		case Usage:
			if fill.Usage == nil {
				last = hole.Span.Start
				break
			}
			dst = strconv.AppendInt(dst, fill.Usage[hole.N], 10)
		case ID:
			if fill.ID == nil {
				last = hole.Span.Start
				break
			}
			dst = append(dst, fill.ID...)
		case NewID:
			if fill.ID != nil {
				dst = append(dst, `"id":`...)
				dst = append(dst, fill.ID...)
				dst = append(dst, ',')
			}
		case Size:
			dst = strconv.AppendInt(dst, int64(fill.bytes(hole.N)), 10)
		case Varint:
			dst = protowire.AppendVarint(dst, uint64(fill.items())) // #nosec G115 -- not negative
		case Length:
			dst = protowire.AppendVarint(dst, lengths[i])
		case Frame:
			dst = binary.BigEndian.AppendUint32(dst, uint32(lengths[i])) // #nosec G115 -- whoever merges bounds it far below
		}
	}
	return append(dst, m.Text[last:]...)
}

func (f *Fill) items() int {
	n := 0
	for _, p := range f.Pieces {
		n += p.Len()
	}
	return n
}

// digits is room for a number in place of another.
const digits = 20

// size is about, and hardly ever less than, the length of what Render makes.
func (m *Message) size(fill Fill) int {
	n := len(m.Text) + len(m.Holes)*digits + len(fill.ID)
	for _, hole := range m.Holes {
		n -= hole.Span.Len()
		if hole.Kind != Inside && hole.Kind != Whole && hole.Kind != Outer {
			n += hole.Span.Len()
			continue
		}
		for _, p := range fill.Pieces {
			list := &p.Message.Lists[hole.N]
			from, to := list.at(p.From), list.at(p.To)
			if list.Index == nil {
				n += list.Items[to-1].End - list.Items[from].Start + len("[],")
				continue
			}
			for _, item := range list.Items[from:to] {
				n += item.Len() + 2
			}
		}
	}
	return n
}

// appendItems writes the pieces' values of one list, separated by commas where it
// is not raw.
func appendItems(dst []byte, list int, pieces []Piece) []byte {
	if pieces[0].Message.Lists[list].Rank != nil {
		return appendRanked(dst, list, pieces)
	}
	position := 0
	for n, p := range pieces {
		l := &p.Message.Lists[list]
		from, to := l.at(p.From), l.at(p.To)
		if n > 0 && !l.Raw {
			dst = append(dst, ',')
		}
		if l.Index != nil {
			for i := from; i < to; i++ {
				if i > from {
					dst = append(dst, ',')
				}
				dst = l.appendIndexed(dst, p.Message.Text, i, position)
				position++
			}
			continue
		}
		// In the order of the text: one copy, with what stands between the values.
		run := jsonspan.Span{Start: l.Items[from].Start, End: l.Items[to-1].End}
		if l.Bare {
			dst = append(dst, '[')
		}
		dst = append(dst, run.Of(p.Message.Text)...)
		if l.Bare {
			dst = append(dst, ']')
		}
	}
	return dst
}

// appendIndexed writes a value with its index made anew.
func (l *List) appendIndexed(dst, text []byte, i, position int) []byte {
	item, index := l.Items[i], l.Index[i]
	dst = append(dst, text[item.Start:index.Start]...)
	dst = strconv.AppendInt(dst, int64(position), 10)
	return append(dst, text[index.End:item.End]...)
}

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
		case Whole:
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
		if hole.Kind != Inside && hole.Kind != Whole {
			n += hole.Span.Len()
			continue
		}
		for _, p := range fill.Pieces {
			list := p.Message.Lists[hole.N]
			if list.Index == nil {
				n += list.Items[p.To-1].End - list.Items[p.From].Start + 1
				continue
			}
			for _, item := range list.Items[p.From:p.To] {
				n += item.Len() + 2
			}
		}
	}
	return n
}

// appendItems writes the pieces' values of one list, separated by commas where it
// is not raw.
func appendItems(dst []byte, list int, pieces []Piece) []byte {
	position := 0
	start := len(dst)
	for _, p := range pieces {
		l := p.Message.Lists[list]
		if l.Index != nil {
			for i := p.From; i < p.To; i++ {
				if len(dst) > start {
					dst = append(dst, ',')
				}
				item, index := l.Items[i], l.Index[i]
				dst = append(dst, p.Message.Text[item.Start:index.Start]...)
				dst = strconv.AppendInt(dst, int64(position), 10)
				dst = append(dst, p.Message.Text[index.End:item.End]...)
				position++
			}
			continue
		}
		// In the order of the text: one copy, with what stands between the values.
		run := jsonspan.Span{Start: l.Items[p.From].Start, End: l.Items[p.To-1].End}
		if len(dst) > start && !l.Raw {
			dst = append(dst, ',')
		}
		dst = append(dst, run.Of(p.Message.Text)...)
	}
	return dst
}

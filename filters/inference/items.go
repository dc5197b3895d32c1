package inference

import (
	"encoding/binary"
	"fmt"

	"github.com/fridaymesh/friday/filters/inference/wire"
)

// AppendItem writes what tells item i from the other items of calls with equal Keys:
// where it is the same for two of them, so is the answer to a call of that item alone,
// but for an id that the request brings. It is a prefix of nothing else that is written
// for calls of that Key.
func (c *Call) AppendItem(dst []byte, i int) []byte {
	form := byte(0)
	if c.message.Single {
		form |= 1
	}
	if c.message.ID != nil {
		form |= 2
	}
	dst = append(dst, form)
	for l := range c.message.Lists {
		value := c.message.Lists[l].Value(c.message.Text, c.from+i)
		dst = binary.AppendUvarint(dst, uint64(len(value)))
		dst = append(dst, value...)
	}
	return dst
}

// Select is the body of a request for some of the items, in that order, without the id.
//
// REQUIRES: at least one item.
func (c *Call) Select(items []int) []byte {
	pieces := make([]wire.Piece, len(items))
	for n, i := range items {
		pieces[n] = wire.Piece{Message: c.message, From: c.from + i, To: c.from + i + 1}
	}
	return c.message.Render(wire.Fill{Pieces: pieces})
}

// SplitItems cuts the answer to c, the body of a 200, into one for each of its items, as
// Split does for calls of one item each. As Split, it does not read the call's body.
func SplitItems(c *Call, answer []byte) ([][]byte, error) {
	calls := make([]*Call, c.Items)
	all := make([]Call, c.Items)
	for i := range calls {
		all[i] = *c
		all[i].from, all[i].to, all[i].Items = c.from+i, c.from+i+1, 1
		calls[i] = &all[i]
	}
	answers, _, err := split(calls, answer, nil)
	return answers, err
}

// Part is the answer to one item, read so far that it can be joined with others. It is
// immutable, and refers to the answer's bytes.
type Part struct{ message *wire.Message }

// ReadPart reads the answer to an item of c. It is good for every call with c's protocol,
// operation and Key.
func ReadPart(c *Call, answer []byte) (*Part, error) {
	m, err := c.answer(1, answer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	m.Counts, m.Weights = nil, nil // for cutting
	return &Part{m}, nil
}

// Size is about how many bytes it takes beside the answer.
func (p *Part) Size() int {
	const message, list, hole, span = 256, 192, 40, 16
	n := message + len(p.message.Holes)*hole + len(p.message.Usage)*8 + len(p.message.Key)
	for i := range p.message.Lists {
		l := &p.message.Lists[i]
		n += list + (len(l.Items)+len(l.Index))*span + (len(l.Rank)+len(l.Score))*8
	}
	return n
}

// JoinParts makes one answer, to c, of the answers to its items, as Join does.
func JoinParts(c *Call, parts []*Part) ([]byte, error) {
	if len(parts) != c.Items || len(parts) == 0 {
		return nil, fmt.Errorf("%w: %d answers to %d items", ErrMismatch, len(parts), c.Items)
	}
	j := c.joiner(len(parts))
	for _, part := range parts {
		if err := j.add(part.message, 1); err != nil {
			return nil, err
		}
	}
	return j.render(), nil
}

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

// JoinItems makes one answer, to c, of the answers to its items, as Join does.
func JoinItems(c *Call, answers [][]byte) ([]byte, error) {
	if len(answers) != c.Items {
		return nil, fmt.Errorf("%w: %d answers to %d items", ErrMismatch, len(answers), c.Items)
	}
	one := &Call{Items: 1}
	parts := make([]*Call, len(answers))
	for i := range parts {
		parts[i] = one
	}
	return Join(c, parts, answers)
}

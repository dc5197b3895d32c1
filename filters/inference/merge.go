package inference

import (
	"errors"
	"fmt"

	"github.com/fridaymesh/friday/filters/inference/wire"
)

// ErrMismatch: an answer does not hold exactly one result for each item, or is not
// of the protocol's shape. Whoever merged has to ask again, for each call alone.
var ErrMismatch = errors.New("the answer does not fit the items")

func (c *Call) piece() wire.Piece {
	return wire.Piece{Message: c.message, From: c.from, To: c.to}
}

// Merge makes one body of calls with equal Keys: the items of all, in order, in
// what else the first body holds. Of a single call that is its own Body.
//
// REQUIRES: at least one call.
func Merge(calls []*Call) []byte {
	if len(calls) == 1 {
		return calls[0].Body
	}
	pieces := make([]wire.Piece, len(calls))
	for i, c := range calls {
		pieces[i] = c.piece()
	}
	return calls[0].message.Render(wire.Fill{Pieces: pieces})
}

// Split cuts the answer to a merged call, the body of a 200, into one answer for
// each call, in order. Results are numbered from 0 in each, everybody's own id is
// put back, token counts are shared out so that they sum to what the server said,
// and every other member goes to everybody as it is. The answer to a single call
// is looked at, not changed. An error wraps ErrMismatch and says why.
//
// It does not read the calls' bodies: a caller may have gone, and its memory with
// it, since they were merged.
//
// REQUIRES: the calls that Merge got.
func Split(calls []*Call, answer []byte) ([][]byte, error) {
	answers, _, err := split(calls, answer, nil)
	return answers, err
}

// answer reads the answer to so many items of a request like c.
func (c *Call) answer(items int, body []byte) (*wire.Message, error) {
	message, err := c.protocol.Answer(items, body)
	if err != nil {
		return nil, err
	}
	if message.Each != c.message.Each {
		return nil, fmt.Errorf("%d results for each item, %d were asked for", message.Each, c.message.Each)
	}
	return message, nil
}

// split is Split with the calls' exact token counts, where they are known; it says
// whether they were used.
func split(calls []*Call, answer []byte, tokens []int) (answers [][]byte, exact bool, err error) {
	items := 0
	for _, c := range calls {
		items += c.Items
	}
	message, err := calls[0].answer(items, answer)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	if len(calls) == 1 {
		return [][]byte{answer}, true, nil
	}
	usage, exact := shareUsage(message, calls, tokens)
	answers = make([][]byte, len(calls))
	from := 0
	for i, c := range calls {
		fill := wire.Fill{
			Pieces: []wire.Piece{{Message: message, From: from, To: from + c.Items}},
			ID:     c.message.ID,
			Single: c.message.Single,
		}
		if usage != nil {
			fill.Usage = usage[i]
		}
		answers[i] = message.Render(fill)
		from += c.Items
	}
	return answers, exact, nil
}

// Slice makes a Call of the items from up to, not including, to, for a request
// that is larger than a batch may be. Its Body is a request of its own, without
// the id.
//
// REQUIRES: 0 ≤ from < to ≤ c.Items.
func (c *Call) Slice(from, to int) *Call {
	if from == 0 && to == c.Items {
		return c
	}
	part := *c
	part.from, part.to = c.from+from, c.from+to
	part.Items = to - from
	part.Body = c.message.Render(wire.Fill{Pieces: []wire.Piece{part.piece()}})
	return &part
}

// Repeated is how many bytes of Body each Slice of it would hold besides its items.
func (c *Call) Repeated() int {
	n := len(c.message.Text)
	for _, hole := range c.message.Holes {
		switch hole.Kind {
		case wire.Inside, wire.Whole, wire.Drop:
			n -= hole.Span.Len()
		case wire.Count, wire.Usage, wire.ID, wire.NewID, wire.Outer, wire.Size, wire.Varint, wire.Length, wire.Frame:
		}
	}
	return n
}

// Join makes one answer, to c, of the answers to its parts, which are consecutive
// slices of c that together are c. Results are numbered through, token counts
// summed, c's id put back; every other member is the first answer's. An error
// wraps ErrMismatch and says why. As Split, it does not read the calls' bodies; of
// the parts it reads Items alone, so that they need not be kept.
func Join(c *Call, parts []*Call, answers [][]byte) ([]byte, error) {
	if len(parts) == 0 || len(parts) != len(answers) {
		return nil, fmt.Errorf("%w: %d answers to %d parts", ErrMismatch, len(answers), len(parts))
	}
	j := c.joiner(len(parts))
	items := 0
	for i, part := range parts {
		message, err := c.answer(part.Items, answers[i])
		if err != nil {
			return nil, fmt.Errorf("%w: part %d: %w", ErrMismatch, i, err)
		}
		items += part.Items
		if err := j.add(message, part.Items); err != nil {
			return nil, err
		}
	}
	if items != c.Items {
		return nil, fmt.Errorf("%w: the parts hold %d of %d items", ErrMismatch, items, c.Items)
	}
	return j.render(), nil
}

// joiner joins answers that have been read.
type joiner struct {
	call *Call
	fill wire.Fill
}

func (c *Call) joiner(parts int) *joiner {
	return &joiner{c, wire.Fill{Pieces: make([]wire.Piece, 0, parts), ID: c.message.ID, Single: c.message.Single}}
}

func (j *joiner) add(m *wire.Message, items int) error {
	n := len(j.fill.Pieces)
	if m.Each != j.call.message.Each {
		return fmt.Errorf("%w: part %d has %d results for each item, %d were asked for", ErrMismatch, n, m.Each, j.call.message.Each)
	}
	j.fill.Pieces = append(j.fill.Pieces, wire.Piece{Message: m, To: items})
	if m.Key != j.fill.Pieces[0].Message.Key {
		return fmt.Errorf("%w: part %d is of another form than part 0", ErrMismatch, n)
	}
	if n == 0 {
		j.fill.Usage = make([]int64, len(m.Usage))
	}
	for i, count := range m.Usage {
		j.fill.Usage[i] += count
	}
	return nil
}

func (j *joiner) render() []byte { return j.fill.Pieces[0].Message.Render(j.fill) }

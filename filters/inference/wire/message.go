package wire

import "github.com/fridaymesh/friday/filters/inference/jsonspan"

// Message is a body, request or answer, that holds Items items: a JSON text, one
// with raw tensors behind it, or a message in Protocol Buffers' form. It is
// immutable once it is read.
type Message struct {
	Text  []byte
	Items int
	// Model is the model's name where the body gives it.
	Model string
	// Key is equal for messages whose items may stand in one text: for requests,
	// everything that is not an item, an id or a count of items; for answers, what
	// the lists are. Opaque, and never much longer than maxKey bytes.
	Key string
	// Lists are the lists that run over the items, each of length Items, in an
	// order that equal Keys make equal.
	Lists []List
	// Holes are what depends on which items the text holds, in the order of the
	// text; they do not overlap.
	Holes []Hole
	// ID is the request's own id, as it stands in the text (raw JSON; a whole
	// field) and a copy; nil where it has none.
	ID []byte
	// Each is how many results there are for each item, where a request may ask for
	// several: what a request asks for, what an answer holds. 0: one.
	Each int
	// Single: the request's only item stands where an array of items may stand, and
	// its result stands so in the answer (a hole of kind Outer).
	Single bool
	// Usage holds an answer's token counts, one for each hole of kind Usage.
	Usage []int64
	// Counts say how the Usage is shared out, one for each; nil: all by Weights.
	Counts []Tally
	// Weights are the items' shares of the usage; nil: their lengths in bytes.
	Weights []int
}

// List is one value for each item, or Each of them.
type List struct {
	// Items are the values, by item: one element of a JSON array each, or a run of
	// them. Where they have no Index they stand in the text in this order.
	Items []jsonspan.Span
	// Raw: the values follow each other without anything between.
	Raw bool
	// Index, where not nil, is by item the number, inside its value, that says
	// which item of the answer it is.
	Index []jsonspan.Span
	// Each is how many values there are for each item, next to each other in Items
	// and Index. 0: one.
	Each int
	// Rank, where not nil, is by item the place at which its value stands in the
	// text, in an order that the server chose and that is kept.
	Rank []int
	// Score is by item what the text is ordered by, the greatest first; nil where it
	// is not so ordered.
	Score []float64
	// Bare: the values lack the brackets that they have in an array of items.
	Bare bool
}

// at is where the values of an item begin.
func (l *List) at(item int) int { return item * max(1, l.Each) }

// Value is what stands for an item of a request, as it stands in text.
func (l *List) Value(text []byte, item int) []byte {
	from, to := l.at(item), l.at(item+1)
	return text[l.Items[from].Start:l.Items[to-1].End]
}

// Hole is a run of bytes that is written anew.
type Hole struct {
	Span jsonspan.Span
	Kind Kind
	// N is the number of the list (Inside, Whole, Size), of the usage count (Usage),
	// or the offset where ends what is counted (Length, Frame).
	N int
}

// Kind is what goes into a hole.
type Kind uint8

// The kinds.
const (
	// Inside is what stands between the brackets of an array of items.
	Inside Kind = iota
	// Whole is a single item that stands where an array of items may stand; an
	// array takes its place.
	Whole
	// Count is the number of items.
	Count
	// Drop is left out.
	Drop
	// Usage is a token count.
	Usage
	// ID is the id's value; it stays where there is none to put in its place.
	ID
	// Outer is an array of results, brackets included; a Single request's only result
	// stands there without them.
	Outer
	// NewID is the empty place, before the first of an object's members, for an id
	// where the text has none.
	NewID
	// Size is the length in bytes of a list that is raw.
	Size
	// Varint is the number of items as a base 128 varint
	// (https://protobuf.dev/programming-guides/encoding/#varints).
	Varint
	// Length is a varint that counts the bytes from behind it up to N, with what the
	// holes between will hold. All lists of a message with such a hole are raw.
	Length
	// Frame is Length as four bytes, the most significant first: as gRPC writes it
	// before a message (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
	Frame
)

// Weight is the usage share of the items from up to, not including, to. It does
// not look at the text.
func (m *Message) Weight(from, to int) int {
	n := 0
	if m.Weights != nil {
		for _, weight := range m.Weights[from:to] {
			n += weight
		}
		return n
	}
	for _, list := range m.Lists {
		for _, span := range list.Items[list.at(from):list.at(to)] {
			n += span.Len()
		}
	}
	return n
}

// Piece is the items of a message from From up to, not including, To.
type Piece struct {
	Message  *Message
	From, To int
}

// Len is how many items the piece has.
func (p Piece) Len() int { return p.To - p.From }

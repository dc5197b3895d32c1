// Package jsonspan reads JSON texts (RFC 8259) without decoding them: it checks
// every byte and says where things stand, as [Span]s. What is not looked at is
// neither copied nor changed, so number text, the order of members, white space
// and unknown members survive whoever cuts and splices a text by its spans.
//
// It is strict: no NaN, no trailing comma, no comment, no raw control character in
// a string, nothing behind the value, no nesting past [MaxDepth]. As encoding/json
// does, it does not ask for valid UTF-8 or for paired surrogates, nor for member
// names to differ; who relies on either checks for it.
//
// Nothing in it allocates, errors and [Unquote] apart.
package jsonspan

// MaxDepth is how deep arrays and objects may stand in each other.
const MaxDepth = 512

// Span is a run of bytes of a text: from Start up to, not including, End.
type Span struct{ Start, End int }

// Of is the span's bytes.
func (s Span) Of(text []byte) []byte { return text[s.Start:s.End] }

// Len is its length in bytes.
func (s Span) Len() int { return s.End - s.Start }

// Valid says whether text is one JSON text, by the rules of this package.
func Valid(text []byte) bool {
	s := New(text)
	s.Value()
	return s.End() == nil
}

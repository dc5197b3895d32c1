package stream

import "bytes"

// TailSize is how much of a stream's end a [Tail] has at least.
const TailSize = 2 << 10

// Tail remembers the last [TailSize] bytes of what passes, or all where it is less. A
// piece costs a copy, however many there are: that is less than looking for anything
// in each. The zero value has seen nothing.
type Tail struct {
	n   int
	buf [2 * TailSize]byte
}

// Add takes note of a piece.
func (t *Tail) Add(piece []byte) {
	if len(piece) >= TailSize {
		t.n = copy(t.buf[:], piece[len(piece)-TailSize:])
		return
	}
	if t.n+len(piece) > len(t.buf) {
		t.n = copy(t.buf[:], t.buf[t.n-TailSize:t.n])
	}
	t.n += copy(t.buf[t.n:], piece)
}

// Bytes is what is remembered. It is valid until the next Add.
func (t *Tail) Bytes() []byte { return t.buf[:t.n] }

// Reset forgets.
func (t *Tail) Reset() { t.n = 0 }

// BetweenEvents says whether a stream of server-sent events may be added to: nothing
// has passed, or what has ends with an empty line.
func (t *Tail) BetweenEvents() bool {
	b := t.Bytes()
	return len(b) == 0 || bytes.HasSuffix(b, []byte("\n\n")) || bytes.HasSuffix(b, []byte("\n\r\n"))
}

// BetweenLines says the same of NDJSON.
func (t *Tail) BetweenLines() bool { return t.n == 0 || t.buf[t.n-1] == '\n' }

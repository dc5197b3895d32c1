package jsonspan

import (
	"errors"
	"fmt"
)

// ErrSyntax is wrapped by every error of a Scanner.
var ErrSyntax = errors.New("not valid JSON")

// Scanner walks over one text, once, forwards. The caller steers: it enters the
// objects and arrays that it wants to see into and takes everything else whole.
//
//	s := jsonspan.New(text)
//	if s.Object() {
//		for name, ok := s.Member(); ok; name, ok = s.Member() {
//			value := s.Value()
//			…
//		}
//	}
//	err := s.End()
//
// After Member or Element returned true, exactly one of Value, Object, Array takes
// the value that follows; an object or array that was entered is walked until its
// Member or Element returns false. A fault makes everything return false or the
// empty Span from then on; End tells it.
type Scanner struct {
	text  []byte
	pos   int
	depth int
	// fresh: an object or array was just entered, so that what follows is its end
	// or its first child, without a comma.
	fresh bool
	bad   bool
}

// New returns a Scanner at the start of text.
func New(text []byte) Scanner { return At(text, 0) }

// At returns a Scanner whose first value begins at an offset of text, which has
// been walked over before; the depth is counted from there.
func At(text []byte, offset int) Scanner {
	return Scanner{text: text, pos: space(text, offset)}
}

// Pos is the offset of the next byte: where a value begins after Member or Element,
// behind it after Value or the end of what was entered.
func (s *Scanner) Pos() int { return s.pos }

// Kind is the first byte of the value that comes next, which tells what it is: one
// of { [ " - 0…9 t f n, or anything else where there is a fault.
func (s *Scanner) Kind() byte {
	if s.bad || s.pos >= len(s.text) {
		return 0
	}
	return s.text[s.pos]
}

// Object enters an object. It is false, and nothing has moved, where the value is
// something else.
func (s *Scanner) Object() bool { return s.enter('{') }

// Array enters an array. It is false, and nothing has moved, where the value is
// something else.
func (s *Scanner) Array() bool { return s.enter('[') }

func (s *Scanner) enter(open byte) bool {
	if s.Kind() != open {
		return false
	}
	if s.depth++; s.depth > MaxDepth {
		s.fail()
		return false
	}
	s.pos++
	s.fresh = true
	return true
}

// Member steps to the next member of the object and returns its name as it stands
// between the quotes, escapes and all; false at the object's end.
func (s *Scanner) Member() (name Span, ok bool) {
	if !s.next('}') {
		return Span{}, false
	}
	if s.pos >= len(s.text) || s.text[s.pos] != '"' {
		s.fail()
		return Span{}, false
	}
	name.Start = s.pos + 1
	end := str(s.text, s.pos)
	if end < 0 {
		s.fail()
		return Span{}, false
	}
	name.End = end - 1
	s.pos = space(s.text, end)
	if s.pos >= len(s.text) || s.text[s.pos] != ':' {
		s.fail()
		return Span{}, false
	}
	s.pos = space(s.text, s.pos+1)
	return name, true
}

// Element steps to the next element of the array; false at the array's end.
func (s *Scanner) Element() bool { return s.next(']') }

// next steps over a comma to what follows it, or over the closing bracket.
func (s *Scanner) next(closing byte) bool {
	if s.bad {
		return false
	}
	s.pos = space(s.text, s.pos)
	if s.pos >= len(s.text) {
		s.fail()
		return false
	}
	switch c := s.text[s.pos]; {
	case c == closing:
		s.pos++
		s.depth--
		s.fresh = false
		return false
	case s.fresh:
		s.fresh = false
		return true
	case c == ',':
		s.pos = space(s.text, s.pos+1)
		return true
	}
	s.fail()
	return false
}

// Value takes the next value whole, whatever it is.
func (s *Scanner) Value() Span {
	if s.bad {
		return Span{}
	}
	end := value(s.text, s.pos, MaxDepth-s.depth)
	if end < 0 {
		s.fail()
		return Span{}
	}
	span := Span{s.pos, end}
	s.pos = end
	s.fresh = false
	return span
}

func (s *Scanner) fail() { s.bad = true }

// Ended says that the value that the text begins with was valid and has been walked
// to its end, which Pos is the offset of. What stands behind it is not looked at.
func (s *Scanner) Ended() bool { return !s.bad && s.depth == 0 }

// End is nil where the text was valid and nothing but white space is left of it.
// The error wraps ErrSyntax and says where, roughly, the fault is.
func (s *Scanner) End() error {
	if !s.bad && s.depth == 0 {
		s.pos = space(s.text, s.pos)
		if s.pos == len(s.text) {
			return nil
		}
	}
	return fmt.Errorf("%w near byte %d of %d", ErrSyntax, s.pos, len(s.text))
}

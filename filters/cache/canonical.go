package cache

import (
	"bytes"
	"slices"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
)

// maxMembers bounds what one object costs.
const maxMembers = 256

// appendCanonical writes the value that s is at in one form: without white space, the
// members of objects by name. Numbers and strings keep their text, so that two texts of
// one form mean the same to every reader: 9007199254740993 is not 9007199254740992, and
// 1.0 is not 1.
//
// It is false where there is no such form: a name stands twice, or with an escape, so
// that which member a server takes is its own affair; or an object has very many.
func appendCanonical(dst, text []byte, s *jsonspan.Scanner) ([]byte, bool) {
	switch s.Kind() {
	case '{':
		return appendObject(dst, text, s)
	case '[':
		s.Array()
		dst = append(dst, '[')
		for s.Element() {
			var ok bool
			if dst, ok = appendCanonical(dst, text, s); !ok {
				return dst, false
			}
			dst = append(dst, ',')
		}
		return append(dst, ']'), true
	}
	return append(dst, s.Value().Of(text)...), true
}

// written is a member as it stands in what was written: the value, from up to to.
type written struct {
	name     []byte
	from, to int
}

func appendObject(dst, text []byte, s *jsonspan.Scanner) ([]byte, bool) {
	start := len(dst)
	var some [16]written
	members := some[:0]
	s.Object()
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		name := span.Of(text)
		if len(members) == maxMembers || jsonspan.Escaped(name) {
			return dst, false
		}
		from := len(dst)
		if dst, ok = appendCanonical(dst, text, s); !ok {
			return dst, false
		}
		members = append(members, written{name, from, len(dst)})
	}
	slices.SortFunc(members, func(a, b written) int { return bytes.Compare(a.name, b.name) })
	values := slices.Clone(dst[start:])
	dst = append(dst[:start], '{')
	for i, m := range members {
		if i > 0 && bytes.Equal(members[i-1].name, m.name) {
			return dst, false
		}
		dst = append(append(append(dst, '"'), m.name...), '"', ':')
		dst = append(append(dst, values[m.from-start:m.to-start]...), ',')
	}
	return append(dst, '}'), true
}

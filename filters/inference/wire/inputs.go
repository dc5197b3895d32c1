package wire

import "github.com/fridaymesh/friday/filters/inference/jsonspan"

// ReadInputs reads the value that s is at as the items of a request, in any of the
// forms that embedding and completion servers share: one text, a list of texts, the
// token ids of one text, or a list of such lists. So [101, 2000] is one item, and
// ["a", "b"] is two. Of token ids the Weights are exact.
//
// It is false where there are no items, more than [MaxItems] or one of them is
// empty: the server refuses that, for all in one request.
func (m *Message) ReadInputs(s *jsonspan.Scanner) bool {
	if m.Items > 0 {
		return false // a second input
	}
	start := s.Pos()
	if s.Kind() == '"' {
		span := s.Value()
		m.Alone(span)
		return span.Len() > len(`""`)
	}
	if !s.Array() || !s.Element() {
		return false
	}
	switch first := s.Kind(); first {
	case '"', '[':
		items, inside := make([]jsonspan.Span, 0, 4), jsonspan.Span{Start: start + 1}
		for more := true; more; more = s.Element() {
			at := s.Pos()
			if s.Kind() != first || len(items) == MaxItems {
				return false
			}
			if first == '[' {
				ids, ok := readTokens(s)
				if !ok {
					return false
				}
				m.Weights = append(m.Weights, ids)
			} else if s.Value().Len() <= len(`""`) {
				return false
			}
			items = append(items, jsonspan.Span{Start: at, End: s.Pos()})
		}
		inside.End = s.Pos() - 1
		m.Items = len(items)
		m.Lists = []List{{Items: items}}
		m.Holes = append(m.Holes, Hole{Span: inside, Kind: Inside})
		return true
	}
	ids, ok := readIDs(s)
	m.Alone(jsonspan.Span{Start: start, End: s.Pos()})
	m.Weights = []int{ids}
	return ok
}

// Alone makes the value at span m's single item, in the place of a list.
func (m *Message) Alone(span jsonspan.Span) {
	m.Items = 1
	m.Lists = []List{{Items: []jsonspan.Span{span}}}
	m.Holes = append(m.Holes, Hole{Span: span, Kind: Whole})
}

// ReadList reads the array that s is at as a list over the items, of at most so
// many elements, each of which must begin with one of kinds (any, where it is
// empty); a string among them must not be empty. It is false where it is no such
// array.
func (m *Message) ReadList(s *jsonspan.Scanner, most int, kinds string) bool {
	inside := jsonspan.Span{Start: s.Pos() + 1}
	if m.Lists != nil || !s.Array() {
		return false
	}
	items := make([]jsonspan.Span, 0, min(most, 32))
	for s.Element() {
		if len(items) == most || !oneOf(s.Kind(), kinds) {
			return false
		}
		quoted := s.Kind() == '"'
		value := s.Value()
		if kinds != "" && quoted && value.Len() <= len(`""`) {
			return false
		}
		items = append(items, value)
	}
	inside.End = s.Pos() - 1
	m.Items = len(items)
	m.Lists = []List{{Items: items}}
	m.Holes = append(m.Holes, Hole{Span: inside, Kind: Inside})
	return true
}

func oneOf(c byte, kinds string) bool {
	for i := range len(kinds) {
		if kinds[i] == c {
			return true
		}
	}
	return kinds == ""
}

// readTokens reads a list of at least one token id and returns how many they are,
// which is exactly what the item counts for in the usage.
func readTokens(s *jsonspan.Scanner) (n int, ok bool) {
	if !s.Array() || !s.Element() {
		return 0, false
	}
	return readIDs(s)
}

// readIDs reads token ids up to the end of their list; s is at the first.
func readIDs(s *jsonspan.Scanner) (n int, ok bool) {
	for more := true; more; more = s.Element() {
		if c := s.Kind(); c != '-' && (c < '0' || c > '9') {
			return 0, false
		}
		s.Value()
		n++
	}
	return n, true
}

package wire

import (
	"bytes"
	"slices"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
)

// Tally says how one count of a usage is shared out.
type Tally struct {
	// Name is the usage's member in which the count stands, itself or deeper.
	Name []byte
	// Deep: it stands deeper.
	Deep bool
	// Weights are the items' shares; nil: those that the requests give.
	Weights []int
	// Sum are the counts (by their place in Usage) whose sum this one is: so it is
	// in each share, too. None: it is shared out by itself.
	Sum []int
}

// maxUsage is how many counts a usage may have.
const maxUsage = 64

// ReadUsage reads the object of counts that s is at, or null: whole numbers, also
// in objects inside it, are counts to share out; all else in it is everybody's. It
// appends the names of the counts to key and is false where two are alike or there
// are more than 64.
func (m *Message) ReadUsage(s *jsonspan.Scanner, key []byte) ([]byte, bool) {
	return m.readUsage(s, key, nil)
}

func (m *Message) readUsage(s *jsonspan.Scanner, key, top []byte) ([]byte, bool) {
	if !s.Object() {
		return key, s.Value().Len() > 0 // null, as some servers write
	}
	var names [][]byte
	key = append(key, '{')
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		name := span.Of(m.Text)
		if len(names) == maxUsage || len(m.Usage) == maxUsage || jsonspan.Escaped(name) ||
			slices.ContainsFunc(names, func(n []byte) bool { return bytes.Equal(n, name) }) {
			return key, false
		}
		names = append(names, name)
		in := top
		if in == nil {
			in = name
		}
		if s.Kind() == '{' {
			key = append(append(key, name...), ':')
			if key, ok = m.readUsage(s, key, in); !ok {
				return key, false
			}
			continue
		}
		value := s.Value()
		if n, ok := jsonspan.Int(value.Of(m.Text)); ok {
			key = append(append(key, name...), ',')
			m.Holes = append(m.Holes, Hole{Span: value, Kind: Usage, N: len(m.Usage)})
			m.Usage = append(m.Usage, n)
			m.Counts = append(m.Counts, Tally{Name: in, Deep: top != nil})
		}
	}
	return append(key, '}'), true
}

// ShareUsage shares an answer's counts out to calls, which have so many items each,
// in order, and weigh so much. Each count's shares sum to it. It is nil where the
// answer has none.
func (m *Message) ShareUsage(items, weights []int) [][]int64 {
	if len(m.Usage) == 0 {
		return nil
	}
	shares := make([][]int64, len(items))
	numbers := make([]int64, len(items)*len(m.Usage))
	for i := range shares {
		shares[i], numbers = numbers[:len(m.Usage)], numbers[len(m.Usage):]
	}
	for n, total := range m.Usage {
		by := weights
		if m.Counts != nil && m.Counts[n].Weights != nil {
			by = perCall(items, m.Counts[n].Weights)
		}
		for i, share := range Share(total, by) {
			shares[i][n] = share
		}
	}
	for n, count := range m.Counts {
		if len(count.Sum) == 0 {
			continue
		}
		for _, share := range shares {
			share[n] = 0
			for _, part := range count.Sum {
				share[n] += share[part]
			}
		}
	}
	return shares
}

// perCall sums the items' weights for each call.
func perCall(items, weights []int) []int {
	sums := make([]int, len(items))
	for i, n := range items {
		for _, w := range weights[:n] {
			sums[i] += w
		}
		weights = weights[n:]
	}
	return sums
}

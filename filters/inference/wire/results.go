package wire

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
)

// Results says how an answer's array of results is to be read, each of them an
// object with the number "index" that says whose it is.
type Results struct {
	// Name is the name of the member that is the array; Or, where it is given, is
	// another that it may have.
	Name, Or string
	// Bills is the member whose objects billed_units and tokens hold counts as a
	// usage does.
	Bills string
	// Several: each item has as many results as every other, one after another; how
	// many is told by their number.
	Several bool
	// Score is the member by which results are ordered. Where it is given, the order
	// in which they stand is kept; else they are put into the order of their index.
	Score string
	// Text is the member, a string, whose length weighs a result.
	Text string
}

// maxEach is how many results one item may have.
const maxEach = 128

// result is one element: all of it, its index, and its member of interest.
type result struct{ item, index, value jsonspan.Span }

// ReadResults reads the array of results that s is at into m's one list; m.Items has
// to be known. It returns the items' weights where how asks for them. The error says
// why there is not exactly one result, or the same number of them, for each item.
func (m *Message) ReadResults(s *jsonspan.Scanner, how Results) (weights []int, err error) {
	inside := jsonspan.Span{Start: s.Pos() + 1}
	if m.Lists != nil || !s.Array() {
		return nil, fmt.Errorf("%s is not one array", how.Name)
	}
	most := m.Items
	if how.Several {
		most *= maxEach
	}
	member := how.Score + how.Text // one of them, or none
	found := make([]result, 0, m.Items)
	for n := 0; s.Element(); n++ {
		r, err := readResult(m.Text, s, member)
		if err == nil {
			_, err = r.place(m.Text, most)
		}
		if err == nil && n == most {
			err = fmt.Errorf("more results than %d items have", m.Items)
		}
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", how.Name, n, err)
		}
		found = append(found, r)
	}
	inside.End = s.Pos() - 1
	each := 1
	if how.Several && m.Items > 0 {
		each = max(1, len(found)/m.Items)
		m.Each = each
	}
	if len(found) != m.Items*each {
		return nil, fmt.Errorf("%s has %d results for %d items", how.Name, len(found), m.Items)
	}
	list := List{
		Items: make([]jsonspan.Span, len(found)),
		Index: make([]jsonspan.Span, len(found)),
		Each:  each,
	}
	if how.Text != "" {
		weights = make([]int, m.Items)
	}
	if how.Score != "" {
		list.Rank = make([]int, len(found))
	}
	for n, r := range found {
		at, err := r.place(m.Text, len(found))
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", how.Name, n, err)
		}
		if list.Items[at].Len() > 0 {
			return nil, fmt.Errorf("%s[%d].index: %d stands twice", how.Name, n, at)
		}
		list.Items[at], list.Index[at] = r.item, r.index
		if weights != nil {
			weights[at/each] += max(0, r.value.Len()-len(`""`))
		}
		if list.Rank != nil {
			list.Rank[at] = n
		}
	}
	if how.Score != "" {
		list.Score = scores(m.Text, found)
	}
	m.Lists = []List{list}
	m.Holes = append(m.Holes, Hole{Span: inside, Kind: Inside})
	return weights, nil
}

// place is the result's index, which must be below a number.
func (r *result) place(text []byte, below int) (int, error) {
	raw := r.index.Of(text)
	at, ok := jsonspan.Int(raw)
	if !ok || at >= int64(below) {
		return 0, fmt.Errorf("index: %.32q is not below %d, the number of results", raw, below)
	}
	return int(at), nil
}

// scores are the results' scores by index; nil where one has none or a greater one
// comes after it.
func scores(text []byte, found []result) []float64 {
	all := make([]float64, len(found))
	last := 0.0
	for n, r := range found {
		score, err := strconv.ParseFloat(string(r.value.Of(text)), 64)
		if err != nil || n > 0 && score > last {
			return nil
		}
		at, err := r.place(text, len(found))
		if err != nil {
			return nil
		}
		all[at], last = score, score
	}
	return all
}

func readResult(text []byte, s *jsonspan.Scanner, member string) (r result, err error) {
	r.item.Start = s.Pos()
	if !s.Object() {
		return r, errors.New("not an object")
	}
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		value := s.Value()
		switch raw := name.Of(text); {
		case jsonspan.Escaped(raw):
			return r, errors.New("a member's name is written with an escape")
		case string(raw) == "index" && r.index.Len() > 0:
			return r, errors.New("index stands twice")
		case string(raw) == "index":
			r.index = value
		case member != "" && string(raw) == member:
			r.value = value
		}
	}
	r.item.End = s.Pos()
	return r, nil
}

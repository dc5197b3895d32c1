package openai

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// Answer reads {"data": [{"index": 0, "embedding": …}, …], "usage": {…}, …}. The
// results may stand in any order; index says whose they are. Of the usage, whole
// numbers, also in objects inside it, are counts to share out; all else in it is
// everybody's, like the other members.
func (Protocol) Answer(items int, body []byte) (*wire.Message, error) {
	m := &wire.Message{Text: body, Items: items}
	var options wire.Options
	s := jsonspan.New(body)
	if !s.Object() {
		return nil, errors.New("the answer is not an object")
	}
	var key []byte
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		name := span.Of(body)
		options.Note(name)
		switch string(name) {
		case "data":
			if err := readData(m, &s); err != nil {
				return nil, err
			}
		case "usage":
			if key, ok = readUsage(m, &s, append(key, "usage"...)); !ok {
				return nil, errors.New("usage: not an object of at most 64 counts under different names")
			}
		default:
			s.Value()
		}
	}
	if err := s.End(); err != nil {
		return nil, err
	}
	if !options.Unique() {
		return nil, errors.New("a member's name stands twice")
	}
	if m.Lists == nil {
		return nil, errors.New("the answer has no data")
	}
	m.Key = wire.Key(key)
	return m, nil
}

// readData reads the results into m's list, by index.
func readData(m *wire.Message, s *jsonspan.Scanner) error {
	inside := jsonspan.Span{Start: s.Pos() + 1}
	if m.Lists != nil || !s.Array() {
		return errors.New("data is not one array")
	}
	list := wire.List{
		Items: make([]jsonspan.Span, m.Items),
		Index: make([]jsonspan.Span, m.Items),
	}
	n := 0
	for ; s.Element(); n++ {
		item, index, err := readResult(m.Text, s)
		if err != nil {
			return fmt.Errorf("data[%d]: %w", n, err)
		}
		raw := index.Of(m.Text)
		at, ok := jsonspan.Int(raw)
		if !ok || at >= int64(m.Items) {
			return fmt.Errorf("data[%d].index: %.32q is not below %d, the number of items", n, raw, m.Items)
		}
		if list.Items[at].Len() > 0 {
			return fmt.Errorf("data[%d].index: %d stands twice", n, at)
		}
		list.Items[at], list.Index[at] = item, index
	}
	if n != m.Items {
		return fmt.Errorf("data has %d results for %d items", n, m.Items)
	}
	inside.End = s.Pos() - 1
	m.Lists = []wire.List{list}
	m.Holes = append(m.Holes, wire.Hole{Span: inside, Kind: wire.Inside})
	return nil
}

func readResult(text []byte, s *jsonspan.Scanner) (item, index jsonspan.Span, err error) {
	item.Start = s.Pos()
	if !s.Object() {
		return item, index, errors.New("not an object")
	}
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		value := s.Value()
		switch raw := name.Of(text); {
		case jsonspan.Escaped(raw):
			return item, index, errors.New("a member's name is written with an escape")
		case string(raw) == "index" && index.Len() > 0:
			return item, index, errors.New("index stands twice")
		case string(raw) == "index":
			index = value
		}
	}
	item.End = s.Pos()
	return item, index, nil
}

// maxUsage is how many counts a usage may have.
const maxUsage = 64

// readUsage reads the counts into m and their names into key.
func readUsage(m *wire.Message, s *jsonspan.Scanner, key []byte) ([]byte, bool) {
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
		if s.Kind() == '{' {
			key = append(append(key, name...), ':')
			if key, ok = readUsage(m, s, key); !ok {
				return key, false
			}
			continue
		}
		value := s.Value()
		if n, ok := jsonspan.Int(value.Of(m.Text)); ok {
			key = append(append(key, name...), ',')
			m.Holes = append(m.Holes, wire.Hole{Span: value, Kind: wire.Usage, N: len(m.Usage)})
			m.Usage = append(m.Usage, n)
		}
	}
	return append(key, '}'), true
}

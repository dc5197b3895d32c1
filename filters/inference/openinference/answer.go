package openinference

import (
	"errors"
	"fmt"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// Answer reads {"id": …, "outputs": [{"name", "shape", "datatype", "data"}, …], …}
// where every output's first dimension counts the items.
func (Protocol) Answer(items int, body []byte) (*wire.Message, error) {
	m := &wire.Message{Text: body}
	var options wire.Options
	s := jsonspan.New(body)
	id := wire.Hole{Kind: wire.NewID, Span: jsonspan.Span{Start: s.Pos() + 1, End: s.Pos() + 1}}
	if !s.Object() {
		return nil, errors.New("the answer is not an object")
	}
	var key []byte
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		name := span.Of(body)
		options.Note(name)
		switch string(name) {
		case "outputs":
			if m.Lists != nil {
				return nil, errors.New("outputs stands twice")
			}
			if key, ok = readTensors(m, &s, items, (*tensor).answerKey); !ok {
				return nil, fmt.Errorf("outputs[%d] is not a tensor in JSON of up to %d rows, or has not as many as its neighbour",
					len(m.Lists), items)
			}
		case "id":
			id = wire.Hole{Kind: wire.ID, Span: s.Value()}
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
	if m.Items != items {
		return nil, fmt.Errorf("outputs have %d rows for %d items", m.Items, items)
	}
	m.Holes = append(m.Holes, id)
	m.Key = wire.Key(key)
	sortHoles(m)
	return m, nil
}

// answerKey appends what the outputs of the slices of one request agree in.
func (t *tensor) answerKey(dst []byte) ([]byte, bool) {
	if !t.options.Unique() {
		return dst, false
	}
	dst = append(append(dst, t.name...), t.datatype...)
	return t.form(dst), true
}

// maxRows is how many rows the tensors of one text may have in all: each costs some
// memory beside the text.
const maxRows = 4 * wire.MaxItems

// readTensors reads the array of tensors that s is at into m, all of the same
// number of rows, at most so many, and returns their keys. It is false where one
// is not as it should be; m.Lists then holds those before it.
func readTensors(
	m *wire.Message, s *jsonspan.Scanner, most int, keyOf func(*tensor, []byte) ([]byte, bool),
) (key []byte, ok bool) {
	if !s.Array() {
		return nil, false
	}
	for s.Element() {
		var t tensor
		if !t.read(m.Text, s, most) || m.Items != 0 && t.rows != m.Items ||
			t.rows*(len(m.Lists)+1) > maxRows {
			return nil, false
		}
		if key, ok = keyOf(&t, key); !ok {
			return nil, false
		}
		m.Items = t.rows
		m.Holes = append(m.Holes,
			wire.Hole{Span: t.count, Kind: wire.Count},
			wire.Hole{Span: t.inside, Kind: wire.Inside, N: len(m.Lists)})
		m.Lists = append(m.Lists, wire.List{Items: t.items})
	}
	return key, true
}

package openinference

import (
	"errors"
	"fmt"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// Answer reads {"id": …, "outputs": [{"name", "shape", "datatype", "data"}, …], …}
// where every output's first dimension counts the items and its data may stand
// behind the JSON. Where the JSON ends follows from the sizes that it tells.
func (Protocol) Answer(items int, body []byte) (*wire.Message, error) {
	m := &wire.Message{Text: body}
	var options wire.Options
	s := jsonspan.New(body)
	id := wire.Hole{Kind: wire.NewID, Span: jsonspan.Span{Start: s.Pos() + 1, End: s.Pos() + 1}}
	if !s.Object() {
		return nil, errors.New("the answer is not an object")
	}
	var key []byte
	var raws []raw
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		name := span.Of(body)
		options.Note(name)
		switch string(name) {
		case "outputs":
			if m.Lists != nil {
				return nil, errors.New("outputs stands twice")
			}
			if key, raws, ok = readTensors(m, body, &s, items, (*tensor).answerKey); !ok {
				return nil, fmt.Errorf("outputs[%d] is not a tensor of up to %d rows, or has not as many as its neighbour",
					len(m.Lists), items)
			}
		case "id":
			id = wire.Hole{Kind: wire.ID, Span: s.Value()}
		default:
			s.Value()
		}
	}
	end := len(body)
	if len(raws) > 0 {
		if end = headerLength(body, &s, raws); end < 0 {
			return nil, errors.New("the JSON and the sizes that it tells do not make the whole")
		}
	} else if err := s.End(); err != nil {
		return nil, err
	}
	if !options.Unique() {
		return nil, errors.New("a member's name stands twice")
	}
	if m.Items != items {
		return nil, fmt.Errorf("outputs have %d rows for %d items", m.Items, items)
	}
	if !readRaws(m, raws, end) {
		return nil, errors.New("an output's binary data is not what its shape and datatype say")
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

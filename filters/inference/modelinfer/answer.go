package modelinfer

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// Answer reads a ModelInferResponse where every output's first dimension counts the
// items.
func (Protocol) Answer(items int, body []byte) (*wire.Message, error) {
	m, r, ok := open(body)
	if !ok {
		return nil, errors.New("the answer is not one message of gRPC's, uncompressed")
	}
	var k key
	var seen uint32
	var tensors []tensor
	var raws []field
	id := jsonspan.Span{Start: prefix, End: prefix} // where one goes that is not there
	for f, ok := r.next(); ok; f, ok = r.next() {
		switch f.number {
		case fieldID:
			if !once(&seen, f) {
				return nil, errors.New("the id stands twice, or is none")
			}
			id = f.record
		case fieldTensors:
			var t tensor
			if len(tensors) == maxTensors || !t.read(&r, f, items) {
				return nil, fmt.Errorf("outputs[%d] is not a tensor of up to %d rows", len(tensors), items)
			}
			k.add(fieldTensors, t.form().raw)
			tensors = append(tensors, t)
		case fieldRawOutputs:
			if f.kind != protowire.BytesType {
				return nil, errors.New("raw_output_contents is not bytes")
			}
			raws = append(raws, f)
		default: // everybody's, as it is
		}
	}
	if r.bad {
		return nil, errors.New("the answer is not in Protocol Buffers' form")
	}
	if err := fill(m, tensors, raws); err != nil {
		return nil, err
	}
	if m.Items != items {
		return nil, fmt.Errorf("outputs have %d rows for %d items", m.Items, items)
	}
	m.Holes = append(m.Holes, wire.Hole{Span: id, Kind: wire.ID})
	sortHoles(m)
	k.add(fieldRawOutputs, protowire.AppendVarint(nil, uint64(len(raws))))
	m.Key = k.String()
	return m, nil
}

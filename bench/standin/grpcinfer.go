package standin

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// protoFields calls each with every field of a message: its number, and its bytes
// or, of a number, its value.
func protoFields(message []byte, each func(field protowire.Number, v []byte, number uint64) error) error {
	for len(message) > 0 {
		field, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		var v []byte
		var number uint64
		switch kind {
		case protowire.BytesType:
			v, n = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(message)
		case protowire.Fixed32Type, protowire.Fixed64Type, protowire.StartGroupType, protowire.EndGroupType:
			fallthrough
		default:
			n = protowire.ConsumeFieldValue(field, kind, message)
			if n >= 0 {
				v = message[:n]
			}
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		if err := each(field, v, number); err != nil {
			return err
		}
	}
	return nil
}

// protoTensor is an InferInputTensor.
type protoTensor struct {
	tensor
	values [][]byte // typed contents, numbers as their text
}

// parseModelInfer reads a ModelInferRequest.
func parseModelInfer(message []byte) (*inferCall, error) {
	call := &inferCall{job: job{form: plainError}}
	var tensors []*protoTensor
	var raws [][]byte
	err := protoFields(message, func(field protowire.Number, v []byte, _ uint64) error {
		switch field {
		case 1:
			call.model = string(v)
		case 3:
			call.id = v
		case 5:
			t, err := parseProtoTensor(v)
			tensors = append(tensors, t)
			return err
		case 7:
			raws = append(raws, v)
		default: // nothing that the answer depends on
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(tensors) == 0:
		return nil, errors.New("inputs: is missing or empty")
	case len(raws) > 0 && len(raws) != len(tensors):
		return nil, fmt.Errorf("%d raw_input_contents for %d inputs", len(raws), len(tensors))
	}
	call.binary = len(raws) > 0
	for i, t := range tensors {
		if err := call.addProto(t, raws, i); err != nil {
			return nil, fmt.Errorf("inputs[%d].%w", i, err)
		}
	}
	call.items = len(call.rows)
	return call, nil
}

func (call *inferCall) addProto(t *protoTensor, raws [][]byte, i int) error {
	width, err := t.width()
	if err != nil {
		return err
	}
	if t.name == "" || t.kind == "" {
		return errors.New("name or datatype: is missing")
	}
	if err := call.open(t.name, t.shape[0]); err != nil {
		return err
	}
	if call.binary {
		if len(t.values) > 0 {
			return errors.New("contents: beside raw_input_contents")
		}
		return call.addRaw(t.kind, raws[i], width)
	}
	if len(t.values) != len(call.rows)*width {
		return fmt.Errorf("contents: %d values where the shape says %d", len(t.values), len(call.rows)*width)
	}
	for at, v := range t.values {
		call.rows[at/width].Value(v)
		if t.kind == "BYTES" {
			call.look("row", at/width, v)
		} else {
			call.lookValue("row", at/width, v)
		}
	}
	return nil
}

func parseProtoTensor(message []byte) (*protoTensor, error) {
	t := &protoTensor{tensor: tensor{size: -1}}
	return t, protoFields(message, func(field protowire.Number, v []byte, number uint64) error {
		switch field {
		case 1:
			t.name = string(v)
		case 2:
			t.kind = string(v)
		case 3:
			return varints(v, number, func(n uint64) error {
				if n > 1<<24 {
					return fmt.Errorf("shape: %d is no dimension", int64(n)) // #nosec G115 -- shown as it was meant
				}
				t.shape = append(t.shape, int(n)) // #nosec G115 -- just looked at
				return nil
			})
		case 5:
			return protoFields(v, t.contents)
		default: // nothing that the answer depends on
		}
		return nil
	})
}

// varints calls each with the numbers of a field that is packed, or with its one.
func varints(packed []byte, number uint64, each func(uint64) error) error {
	if packed == nil {
		return each(number)
	}
	for len(packed) > 0 {
		v, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return protowire.ParseError(n)
		}
		packed = packed[n:]
		if err := each(v); err != nil {
			return err
		}
	}
	return nil
}

// contents reads a field of InferTensorContents.
func (t *protoTensor) contents(field protowire.Number, v []byte, number uint64) error {
	switch field {
	case 8:
		t.values = append(t.values, v)
	case 6, 7:
		size := 4 * int(field-5)
		for ; len(v) >= size; v = v[size:] {
			f := 0.0
			if size == 4 {
				f = float64(math.Float32frombits(binary.LittleEndian.Uint32(v)))
			} else {
				f = math.Float64frombits(binary.LittleEndian.Uint64(v))
			}
			t.values = append(t.values, strconv.AppendFloat(nil, f, 'g', -1, 64))
		}
	default:
		return varints(v, number, func(n uint64) error {
			t.values = append(t.values, strconv.AppendInt(nil, int64(n), 10)) // #nosec G115 -- the bits are a signed number's
			return nil
		})
	}
	return nil
}

// appendMessage appends a ModelInferResponse for the first n rows, raw where the
// call was.
func (call *inferCall) appendMessage(dst []byte, n int) []byte {
	text := func(dst []byte, field protowire.Number, v string) []byte {
		return protowire.AppendString(protowire.AppendTag(dst, field, protowire.BytesType), v)
	}
	nested := func(dst []byte, field protowire.Number, v []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(dst, field, protowire.BytesType), v)
	}
	output := text(text(nil, 1, SumOutput), 2, "INT64")
	output = nested(output, 3, protowire.AppendVarint(protowire.AppendVarint(nil, uint64(n)), 1)) // #nosec G115 -- a count
	if !call.binary {
		var sums []byte
		for i := range n {
			sums = protowire.AppendVarint(sums, uint64(call.rows[i].Sum())) // #nosec G115 -- 63 bits
		}
		output = nested(output, 5, nested(nil, 3, sums))
	}
	dst = text(text(dst, 1, call.model), 2, "1")
	if len(call.id) > 0 {
		dst = nested(dst, 3, call.id)
	}
	dst = nested(dst, 5, output)
	if call.binary {
		dst = nested(dst, 6, call.appendSums(nil, n))
	}
	return dst
}

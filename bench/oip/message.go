package oip

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// DecodeMessage reads a ModelInferResponse into what DecodeJSON makes of the same
// answer in JSON. Parameters are left out: their order is not the server's to say.
func DecodeMessage(message []byte) (any, error) {
	answer := map[string]any{}
	var outputs []any
	var raw [][]byte
	err := fields(message, func(field protowire.Number, _ uint64, value []byte) error {
		switch field {
		case fieldModel:
			answer["model_name"] = string(value)
		case fieldVersion:
			answer["model_version"] = string(value)
		case fieldID:
			answer["id"] = string(value)
		case fieldAnswers:
			output, err := tensor(value)
			outputs = append(outputs, output)
			return err
		case fieldRawAnswers:
			raw = append(raw, value)
		default:
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(raw) > 0 && len(raw) != len(outputs) {
		return nil, fmt.Errorf("%d raw contents of %d outputs", len(raw), len(outputs))
	}
	for i, r := range raw {
		output, _ := outputs[i].(map[string]any)
		datatype, _ := output["datatype"].(string)
		if output["data"], err = values(datatype, r); err != nil {
			return nil, fmt.Errorf("outputs[%d]: %w", i, err)
		}
	}
	answer["outputs"] = outputs
	return answer, nil
}

// tensor reads an InferOutputTensor.
func tensor(message []byte) (map[string]any, error) {
	output := map[string]any{}
	var shape []any
	err := fields(message, func(field protowire.Number, number uint64, value []byte) error {
		switch field {
		case fieldName:
			output["name"] = string(value)
		case fieldDatatype:
			output["datatype"] = string(value)
		case fieldShape:
			return each(number, value, func(v uint64) { shape = append(shape, integer(v)) })
		case fieldContents:
			data, err := contents(value)
			output["data"] = data
			return err
		default:
		}
		return nil
	})
	output["shape"] = shape
	return output, err
}

// contents reads InferTensorContents, whose fields are by the kind of number.
func contents(message []byte) ([]any, error) {
	var data []any
	err := fields(message, func(field protowire.Number, number uint64, value []byte) error {
		switch field {
		case 2, 3: // int_contents, int64_contents
			return each(number, value, func(v uint64) { data = append(data, integer(v)) })
		case 6, 7: // fp32_contents, fp64_contents
			width := map[protowire.Number]int{6: 4, 7: 8}[field]
			if value == nil { // not packed
				if width == 4 {
					data = append(data, float(float64(math.Float32frombits(uint32(number))))) // #nosec G115 -- a fixed32
				} else {
					data = append(data, float(math.Float64frombits(number)))
				}
				return nil
			}
			packed, err := values(map[int]string{4: "FP32", 8: "FP64"}[width], value)
			data = append(data, packed...)
			return err
		default:
			return fmt.Errorf("contents of field %d are not read here", field)
		}
	})
	return data, err
}

func integer(v uint64) json.Number {
	return json.Number(strconv.FormatInt(int64(v), 10)) // #nosec G115 -- the same bits
}

func float(v float64) json.Number { return json.Number(strconv.FormatFloat(v, 'e', -1, 64)) }

// each calls with every number of a repeated field, packed or one by one.
func each(number uint64, packed []byte, with func(uint64)) error {
	if packed == nil {
		with(number)
		return nil
	}
	for len(packed) > 0 {
		v, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return fmt.Errorf("message: %w", protowire.ParseError(n))
		}
		with(v)
		packed = packed[n:]
	}
	return nil
}

// fields calls with each field of a message: its number where it is one, else its
// bytes, which are then not nil.
func fields(message []byte, with func(field protowire.Number, number uint64, value []byte) error) error {
	for len(message) > 0 {
		field, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return fmt.Errorf("message: %w", protowire.ParseError(n))
		}
		message = message[n:]
		var number uint64
		var value []byte
		switch kind {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(message)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(message)
			number = uint64(v)
		case protowire.Fixed64Type:
			number, n = protowire.ConsumeFixed64(message)
		case protowire.BytesType:
			if value, n = protowire.ConsumeBytes(message); value == nil {
				value = []byte{}
			}
		default:
			n = protowire.ConsumeFieldValue(field, kind, message)
		}
		if n < 0 {
			return fmt.Errorf("message: field %d: %w", field, protowire.ParseError(n))
		}
		message = message[n:]
		if err := with(field, number, value); err != nil {
			return err
		}
	}
	return nil
}

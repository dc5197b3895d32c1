package oip

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// DecodeJSON reads JSON with its numbers as they are written: maps, slices, strings,
// booleans, nil and json.Number.
func DecodeJSON(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("not JSON: %w: %.200q", err, body)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("more than JSON: %.200q", body)
	}
	return v, nil
}

// DecodeBinary reads an answer of length bytes of JSON, and behind them the tensors
// that it says are there, as if they had stood in it.
func DecodeBinary(body []byte, length int) (any, error) {
	if length < 0 || length > len(body) {
		return nil, fmt.Errorf("%s: %d of %d bytes", Header, length, len(body))
	}
	answer, err := DecodeJSON(body[:length])
	if err != nil {
		return nil, err
	}
	rest := body[length:]
	object, _ := answer.(map[string]any)
	outputs, _ := object["outputs"].([]any)
	for i, o := range outputs {
		output, _ := o.(map[string]any)
		parameters, _ := output["parameters"].(map[string]any)
		text, ok := parameters["binary_data_size"].(json.Number)
		if !ok {
			continue
		}
		size, err := strconv.Atoi(text.String())
		if err != nil || size < 0 || size > len(rest) {
			return nil, fmt.Errorf("outputs[%d]: binary_data_size %s of %d bytes", i, text, len(rest))
		}
		datatype, _ := output["datatype"].(string)
		if output["data"], err = values(datatype, rest[:size]); err != nil {
			return nil, fmt.Errorf("outputs[%d]: %w", i, err)
		}
		rest = rest[size:]
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes that belong to no output", len(rest))
	}
	return answer, nil
}

// values are a tensor's numbers, which are written little endian.
func values(datatype string, raw []byte) ([]any, error) {
	width := map[string]int{"INT8": 1, "INT32": 4, "INT64": 8, "FP32": 4, "FP64": 8}[datatype]
	if width == 0 || len(raw)%width != 0 {
		return nil, fmt.Errorf("%d bytes are no tensor of %q", len(raw), datatype)
	}
	list := make([]any, 0, len(raw)/width)
	for ; len(raw) > 0; raw = raw[width:] {
		var text string
		switch datatype {
		case "INT8":
			text = strconv.FormatInt(int64(int8(raw[0])), 10) // #nosec G115 -- the same bits
		case "INT32":
			text = strconv.FormatInt(int64(int32(binary.LittleEndian.Uint32(raw))), 10) // #nosec G115 -- the same bits
		case "INT64":
			text = strconv.FormatInt(int64(binary.LittleEndian.Uint64(raw)), 10) // #nosec G115 -- the same bits
		case "FP32":
			text = strconv.FormatFloat(float64(math.Float32frombits(binary.LittleEndian.Uint32(raw))), 'e', -1, 32)
		case "FP64":
			text = strconv.FormatFloat(math.Float64frombits(binary.LittleEndian.Uint64(raw)), 'e', -1, 64)
		}
		list = append(list, json.Number(text))
	}
	return list, nil
}

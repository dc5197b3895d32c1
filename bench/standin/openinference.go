package standin

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// SumOutput is the name of the one output of every Open Inference model here, an
// INT64 for each row.
const SumOutput = "sum"

// metadata describes a model that takes rows of any length, any number at once.
func metadata(model string) []byte {
	return []byte(`{"name":` + quote(model) + `,"versions":["1"],"platform":"standin",` +
		`"inputs":[{"name":"input","datatype":"FP64","shape":[-1,-1]}],` +
		`"outputs":[{"name":"` + SumOutput + `","datatype":"INT64","shape":[-1,1]}]}`)
}

// infer answers the Open Inference Protocol's POST /v2/models/{model}/infer with
// tensors in JSON, flat or nested
// (https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md),
// or behind the JSON, in the binary extension (binarytensors.go).
func (c *conn) infer(model string, last bool) error {
	text, raw, err := cutBinary(string(c.req.Header.Peek(HeaderLength)), c.body)
	if err != nil {
		return c.do(refused(plainError, bad(err.Error())), last)
	}
	call, f := parseInfer(model, text, raw)
	if f != nil {
		return c.do(refused(plainError, f), last)
	}
	j := &call.job
	j.answer = func(dst []byte, n int) []byte { return call.appendAnswer(dst, n) }
	if call.binary {
		j.kind = "application/octet-stream"
		j.answer = func(dst []byte, n int) []byte {
			start := len(dst)
			dst = call.appendAnswer(dst, n)
			c.extra = append(c.extra, "inference-header-content-length: "...)
			c.extra = strconv.AppendInt(c.extra, int64(len(dst)-start), 10)
			c.extra = append(c.extra, '\r', '\n')
			return call.appendSums(dst, n)
		}
	}
	return c.do(j, last)
}

// inferCall is a parsed call: its id as it stands on the wire and a checksum for
// each row.
type inferCall struct {
	job
	id     []byte
	rows   []RowSum
	raw    []byte // what is left of the binary tensors
	binary bool   // the answer's tensor is wanted behind the JSON
}

// parseInfer reads a call's JSON and the binary tensors behind it.
func parseInfer(model string, text, raw []byte) (*inferCall, *fault) {
	if !json.Valid(text) {
		return nil, bad("the body is not valid JSON")
	}
	call := &inferCall{job: job{model: model, form: plainError}, raw: raw}
	var inputs []byte
	for name, v := range fields(text) {
		switch name {
		case "id":
			call.id = v
		case "inputs":
			inputs = v
		case "parameters":
			for name, v := range fields(v) {
				call.binary = call.binary || name == "binary_data_output" && string(v) == "true"
			}
		case "outputs":
			if f := call.setOutputs(v); f != nil {
				return nil, f
			}
		}
	}
	n := 0
	for in := range elements(inputs) {
		if err := call.addInput(in); err != nil {
			return nil, bad(fmt.Sprintf("inputs[%d].%v", n, err))
		}
		n++
	}
	switch {
	case n == 0:
		return nil, bad("inputs: is missing or empty")
	case len(call.raw) > 0:
		return nil, bad(fmt.Sprintf("%d bytes are left behind the last tensor", len(call.raw)))
	}
	call.items = len(call.rows)
	return call, nil
}

func (call *inferCall) setOutputs(outputs []byte) *fault {
	for o := range elements(outputs) {
		for field, v := range fields(o) {
			switch {
			case field == "name" && string(unquote(v)) != SumOutput:
				return bad("outputs: " + string(v) + " is unknown")
			case field == "parameters":
				for name, v := range fields(v) {
					if name == "binary_data" {
						call.binary = string(v) == "true"
					}
				}
			}
		}
	}
	return nil
}

// tensor is one input, as it was read.
type tensor struct {
	name, kind string
	data       []byte // in JSON
	size       int    // in binary; -1: it is in JSON
	shape      []int
}

func parseTensor(in []byte) (*tensor, error) {
	t := &tensor{size: -1}
	for field, v := range fields(in) {
		switch field {
		case "name":
			t.name = string(unquote(v))
		case "datatype":
			t.kind = string(unquote(v))
		case "data":
			t.data = v
		case "parameters":
			for name, v := range fields(v) {
				if n, err := strconv.Atoi(string(v)); name == "binary_data_size" && err == nil && n >= 0 {
					t.size = n
				}
			}
		case "shape":
			for d := range elements(v) {
				n, err := strconv.Atoi(string(d))
				if err != nil || n < 0 || n > 1<<24 {
					return nil, fmt.Errorf("shape: %s is no dimension", d)
				}
				t.shape = append(t.shape, n)
			}
		}
	}
	if t.name == "" || t.kind == "" || len(t.data) == 0 && t.size < 0 {
		return nil, errors.New("name, datatype or data: is missing")
	}
	return t, nil
}

// width is how many values a row has.
func (t *tensor) width() (int, error) {
	if len(t.shape) == 0 || t.shape[0] == 0 {
		return 0, errors.New("shape: has no rows")
	}
	width := 1
	for _, d := range t.shape[1:] {
		if d == 0 || width > 1<<24/d {
			return 0, fmt.Errorf("shape: %v is empty or too large", t.shape)
		}
		width *= d
	}
	return width, nil
}

// addInput adds one input's values to the rows' checksums.
func (call *inferCall) addInput(in []byte) error {
	t, err := parseTensor(in)
	if err != nil {
		return err
	}
	width, err := t.width()
	if err != nil {
		return err
	}
	if err := call.open(t.name, t.shape[0]); err != nil {
		return err
	}
	if t.size >= 0 {
		if t.size > len(call.raw) {
			return fmt.Errorf("parameters: binary_data_size %d is more than the %d bytes there are", t.size, len(call.raw))
		}
		raw := call.raw[:t.size]
		call.raw = call.raw[t.size:]
		return call.addRaw(t.kind, raw, width)
	}
	n := 0
	for v := range flat(t.data) {
		if n < len(call.rows)*width {
			call.rows[n/width].Value(v)
		}
		call.lookValue("row", n/width, v)
		n++
	}
	if n != len(call.rows)*width {
		return fmt.Errorf("data: %d values where the shape says %d", n, len(call.rows)*width)
	}
	return nil
}

// open begins an input of so many rows.
func (call *inferCall) open(name string, rows int) error {
	if call.rows == nil {
		call.rows = make([]RowSum, rows)
		for i := range call.rows {
			call.rows[i] = NewRowSum(call.model)
		}
	}
	if len(call.rows) != rows {
		return fmt.Errorf("shape: %d rows where another input has %d", rows, len(call.rows))
	}
	for i := range call.rows {
		call.rows[i].Input(name)
	}
	return nil
}

// appendAnswer appends the JSON for the first n rows, with their sums in it where
// they are not wanted behind it.
func (call *inferCall) appendAnswer(dst []byte, n int) []byte {
	dst = append(dst, `{"model_name":`+quote(call.model)...)
	dst = append(dst, `,"model_version":"1"`...)
	if len(call.id) > 0 {
		dst = append(append(dst, `,"id":`...), call.id...)
	}
	dst = append(dst, `,"outputs":[{"name":"`+SumOutput+`","datatype":"INT64","shape":[`...)
	dst = strconv.AppendInt(dst, int64(n), 10)
	if call.binary {
		dst = strconv.AppendInt(append(dst, `,1],"parameters":{"binary_data_size":`...), int64(8*n), 10)
		return append(dst, `}}]}`...)
	}
	dst = append(dst, `,1],"data":[`...)
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, call.rows[i].Sum(), 10)
	}
	return append(dst, `]}]}`...)
}

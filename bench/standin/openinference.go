package standin

import (
	"encoding/json"
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
// (https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md).
func (c *conn) infer(model string, last bool) error {
	if len(c.req.Header.Peek("Inference-Header-Content-Length")) > 0 {
		return c.run(0, bad("binary tensors are not supported"), true, last, nil)
	}
	call, f := parseInfer(model, c.req.Body())
	if call == nil {
		return c.run(0, f, true, last, nil)
	}
	return c.run(len(call.rows), f, true, last, func(dst []byte) []byte {
		return call.appendAnswer(dst, model)
	})
}

// inferCall is a parsed call: its id as it stands on the wire and a checksum for
// each row.
type inferCall struct {
	id   []byte
	rows []RowSum
}

// parseInfer returns a fault and no call where the call makes no sense, and a
// fault with the call where an item is poisoned.
func parseInfer(model string, body []byte) (*inferCall, *fault) {
	if !json.Valid(body) {
		return nil, bad("the body is not valid JSON")
	}
	call := &inferCall{}
	var inputs []byte
	for name, v := range fields(body) {
		switch name {
		case "id":
			call.id = v
		case "inputs":
			inputs = v
		case "outputs":
			for o := range elements(v) {
				for field, v := range fields(o) {
					if field == "name" && string(unquote(v)) != SumOutput {
						return nil, bad("outputs: " + string(v) + " is unknown")
					}
				}
			}
		}
	}
	var poisoned *fault
	n := 0
	for in := range elements(inputs) {
		status, err := call.addInput(model, in)
		if err != nil {
			return nil, bad(fmt.Sprintf("inputs[%d].%v", n, err))
		}
		if status != 0 {
			poisoned = &fault{status, fmt.Sprintf("inputs[%d] is poisoned", n)}
		}
		n++
	}
	if n == 0 {
		return nil, bad("inputs: is missing or empty")
	}
	return call, poisoned
}

// addInput adds one input's values to the rows' checksums. The status is that of
// a poisoned value, or 0.
func (call *inferCall) addInput(model string, in []byte) (int, error) {
	var name, kind, data []byte
	var shape []int
	for field, v := range fields(in) {
		switch field {
		case "name":
			name = unquote(v)
		case "datatype":
			kind = unquote(v)
		case "data":
			data = v
		case "shape":
			for d := range elements(v) {
				n, err := strconv.Atoi(string(d))
				if err != nil || n < 0 || n > 1<<24 {
					return 0, fmt.Errorf("shape: %s is no dimension", d)
				}
				shape = append(shape, n)
			}
		}
	}
	if len(name) == 0 || len(kind) == 0 || len(data) == 0 {
		return 0, fmt.Errorf("name, datatype or data: is missing")
	}
	if len(shape) == 0 || shape[0] == 0 {
		return 0, fmt.Errorf("shape: has no rows")
	}
	if call.rows == nil {
		call.rows = make([]RowSum, shape[0])
		for i := range call.rows {
			call.rows[i] = NewRowSum(model)
		}
	}
	if len(call.rows) != shape[0] {
		return 0, fmt.Errorf("shape: %d rows where another input has %d", shape[0], len(call.rows))
	}
	width := 1
	for _, d := range shape[1:] {
		if d == 0 || width > 1<<24/d {
			return 0, fmt.Errorf("shape: %v is empty or too large", shape)
		}
		width *= d
	}
	return call.addValues(string(name), data, width)
}

func (call *inferCall) addValues(name string, data []byte, width int) (int, error) {
	for i := range call.rows {
		call.rows[i].Input(name)
	}
	n, status := 0, 0
	for v := range flat(data) {
		if n < len(call.rows)*width {
			call.rows[n/width].Value(v)
		}
		if s := poisonValue(v); s != 0 {
			status = s
		}
		n++
	}
	if n != len(call.rows)*width {
		return 0, fmt.Errorf("data: %d values where the shape says %d", n, len(call.rows)*width)
	}
	return status, nil
}

func (call *inferCall) appendAnswer(dst []byte, model string) []byte {
	dst = append(dst, `{"model_name":`+quote(model)...)
	dst = append(dst, `,"model_version":"1"`...)
	if len(call.id) > 0 {
		dst = append(append(dst, `,"id":`...), call.id...)
	}
	dst = append(dst, `,"outputs":[{"name":"`+SumOutput+`","datatype":"INT64","shape":[`...)
	dst = strconv.AppendInt(dst, int64(len(call.rows)), 10)
	dst = append(dst, `,1],"data":[`...)
	for i := range call.rows {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, call.rows[i].Sum(), 10)
	}
	return append(dst, `]}]}`...)
}

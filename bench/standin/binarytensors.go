package standin

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// HeaderLength is the header that says how many bytes of a body are JSON; behind
// them follow the tensors whose parameters have a binary_data_size, in the order
// of the JSON, as Triton's extension has it
// (https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md).
const HeaderLength = "Inference-Header-Content-Length"

// cutBinary cuts a body at what the header says.
func cutBinary(length string, body []byte) (text, raw []byte, err error) {
	if length == "" {
		return body, nil, nil
	}
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 || n > len(body) {
		return nil, nil, fmt.Errorf("%s: %s of %d bytes", HeaderLength, length, len(body))
	}
	return body[:n], body[n:], nil
}

// elementSize is how many bytes a value of a datatype has; 0: its own length says
// it (BYTES); -1: there is no such type.
func elementSize(kind string) int {
	switch kind {
	case "BYTES":
		return 0
	case "BOOL", "INT8", "UINT8":
		return 1
	case "INT16", "UINT16", "FP16", "BF16":
		return 2
	case "INT32", "UINT32", "FP32":
		return 4
	case "INT64", "UINT64", "FP64":
		return 8
	}
	return -1
}

// addRaw adds the values of a binary tensor to the rows, each as its bytes; of
// BYTES without the length before it.
func (call *inferCall) addRaw(kind string, raw []byte, width int) error {
	size := elementSize(kind)
	if size < 0 {
		return errors.New("datatype: " + kind + " is unknown")
	}
	n := 0
	for ; len(raw) > 0; n++ {
		var v []byte
		if size > 0 {
			if len(raw) < size {
				return errors.New("data: ends within a value")
			}
			v, raw = raw[:size], raw[size:]
		} else {
			if len(raw) < 4 || uint64(len(raw)-4) < uint64(binary.LittleEndian.Uint32(raw)) { // #nosec G115 -- not negative
				return errors.New("data: ends within a text")
			}
			end := 4 + int(binary.LittleEndian.Uint32(raw))
			v, raw = raw[4:end], raw[end:]
		}
		if n < len(call.rows)*width {
			call.rows[n/width].Value(v)
			call.lookRaw(kind, n/width, v)
		}
	}
	if n != len(call.rows)*width {
		return fmt.Errorf("data: %d values where the shape says %d", n, len(call.rows)*width)
	}
	return nil
}

// lookRaw is look for a binary value of row i: texts, and numbers of the types
// that tests use.
func (call *inferCall) lookRaw(kind string, i int, v []byte) {
	switch kind {
	case "BYTES":
		call.look("row", i, v)
	case "FP64":
		call.lookValue("row", i, []byte(strconv.FormatFloat(math.Float64frombits(binary.LittleEndian.Uint64(v)), 'g', -1, 64)))
	case "FP32":
		call.lookValue("row", i, []byte(strconv.FormatFloat(float64(math.Float32frombits(binary.LittleEndian.Uint32(v))), 'g', -1, 32)))
	case "INT64":
		call.lookValue("row", i, strconv.AppendInt(nil, int64(binary.LittleEndian.Uint64(v)), 10)) // #nosec G115 -- the bits are a signed number's
	case "INT32":
		call.lookValue("row", i, strconv.AppendInt(nil, int64(int32(binary.LittleEndian.Uint32(v))), 10)) // #nosec G115 -- as above
	}
}

// appendSums appends the sums of the first n rows, little endian.
func (call *inferCall) appendSums(dst []byte, n int) []byte {
	for i := range n {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(call.rows[i].Sum())) // #nosec G115 -- 63 bits
	}
	return dst
}

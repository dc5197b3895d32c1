package oip

import (
	"encoding/binary"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// Header names the length of the JSON before binary tensors.
const Header = "Inference-Header-Content-Length"

// Method is the gRPC method's path.
const Method = "/inference.GRPCInferenceService/ModelInfer"

// Path is where a model is asked over HTTP.
func Path(model string) string { return "/v2/models/" + model + "/infer" }

// Request asks for one output to one tensor of FP32 rows.
type Request struct {
	Model string // gRPC has it in the message, HTTP in the path
	ID    string // printable ASCII without quotes
	Input string
	// Output that is asked for; empty: whatever the model has.
	Output string
	Width  int // of a row
	Data   []float32
}

func (r *Request) rows() int { return len(r.Data) / r.Width }

// AppendJSON appends the body whose tensors are JSON.
func (r *Request) AppendJSON(dst []byte) []byte {
	dst = r.appendHead(dst)
	dst = append(dst, `,"data":[`...)
	for i, v := range r.Data {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendFloat(dst, float64(v), 'g', -1, 32)
	}
	dst = append(dst, `]}]`...)
	return append(r.appendOutput(dst, ""), '}')
}

// AppendBinary appends the body whose tensors are binary, in and out, and returns
// how long its JSON is.
func (r *Request) AppendBinary(dst []byte) (body []byte, length int) {
	start := len(dst)
	dst = r.appendHead(dst)
	dst = append(dst, `,"parameters":{"binary_data_size":`...)
	dst = strconv.AppendInt(dst, int64(4*len(r.Data)), 10)
	dst = append(dst, `}}]`...)
	if r.Output == "" {
		dst = append(dst, `,"parameters":{"binary_data_output":true}`...)
	}
	dst = append(r.appendOutput(dst, `,"parameters":{"binary_data":true}`), '}')
	length = len(dst) - start
	return r.appendRaw(dst), length
}

// appendHead appends all up to the tensor's shape.
func (r *Request) appendHead(dst []byte) []byte {
	dst = append(dst, `{"id":"`+r.ID+`","inputs":[{"name":"`+r.Input+`","shape":[`...)
	dst = strconv.AppendInt(dst, int64(r.rows()), 10)
	dst = append(dst, ',')
	dst = strconv.AppendInt(dst, int64(r.Width), 10)
	return append(dst, `],"datatype":"FP32"`...)
}

func (r *Request) appendOutput(dst []byte, more string) []byte {
	if r.Output == "" {
		return dst
	}
	return append(dst, `,"outputs":[{"name":"`+r.Output+`"`+more+`}]`...)
}

// appendRaw appends the numbers, little endian, as both binary forms have them.
func (r *Request) appendRaw(dst []byte) []byte {
	for _, v := range r.Data {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
	}
	return dst
}

// The fields of the protocol's messages that are written or read here.
const (
	fieldModel, fieldVersion, fieldID   = 1, 2, 3
	fieldInputs, fieldOutputs, fieldRaw = 5, 6, 7 // ModelInferRequest
	fieldAnswers, fieldRawAnswers       = 5, 6    // ModelInferResponse
	fieldName, fieldDatatype            = 1, 2    // of a tensor
	fieldShape, fieldContents           = 3, 5
)

// AppendMessage appends the ModelInferRequest, with raw contents.
func (r *Request) AppendMessage(dst []byte) []byte {
	text := func(dst []byte, field protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(dst, field, protowire.BytesType), s)
	}
	bytes := func(dst []byte, field protowire.Number, b []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(dst, field, protowire.BytesType), b)
	}
	var shape []byte                                        // repeated int64, packed
	shape = protowire.AppendVarint(shape, uint64(r.rows())) // #nosec G115 -- not negative
	shape = protowire.AppendVarint(shape, uint64(r.Width))  // #nosec G115 -- not negative
	tensor := bytes(text(text(nil, fieldName, r.Input), fieldDatatype, "FP32"), fieldShape, shape)

	dst = text(dst, fieldModel, r.Model)
	dst = text(dst, fieldID, r.ID)
	dst = bytes(dst, fieldInputs, tensor)
	if r.Output != "" {
		dst = bytes(dst, fieldOutputs, text(nil, fieldName, r.Output))
	}
	return bytes(dst, fieldRaw, r.appendRaw(nil))
}

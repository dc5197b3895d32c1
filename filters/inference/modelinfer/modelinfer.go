// Package modelinfer reads the Open Inference Protocol's inference requests and
// answers over gRPC, as Triton, MLServer, OpenVINO and others serve them
// (https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/open_inference_grpc.proto):
// the unary method ModelInfer, one message in a body
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md), not compressed.
//
// The item is one row: the first dimension of every tensor counts the items. The
// fields' places are found and nothing is decoded, so that what is unknown
// survives. A message that is valid but written in a way that encoders do not (a
// field twice, numbers not packed) is left alone, as are shared memory and
// sequences.
package modelinfer

import (
	"encoding/binary"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// Protocol is the wire.Protocol of this package.
type Protocol struct{}

var _ wire.Headed = Protocol{}

// Name is "open_inference", as that of the protocol's other form.
func (Protocol) Name() string { return "open_inference" }

// Path is where the method is called.
const Path = "/inference.GRPCInferenceService/ModelInfer"

// Match takes Path.
func (Protocol) Match(path string) (wire.Target, bool) {
	return wire.Target{Operation: "ModelInfer", GRPC: true}, path == Path
}

// Accepts takes messages in Protocol Buffers' form that are not compressed.
func (Protocol) Accepts(_ wire.Target, head wire.Head) bool {
	return (head.Type == "application/grpc" || head.Type == "application/grpc+proto") &&
		!head.Compressed && head.JSON < 0
}

// RequestIn is Request: the head says nothing more.
func (p Protocol) RequestIn(target wire.Target, _ wire.Head, body []byte) *wire.Message {
	return p.Request(target, body)
}

// prefix is what stands before a message: whether it is compressed, and its length.
const prefix = 5

// open begins a message and finds the one that body holds.
func open(body []byte) (*wire.Message, fields, bool) {
	if len(body) < prefix || body[0] != 0 || int64(binary.BigEndian.Uint32(body[1:])) != int64(len(body)-prefix) {
		return nil, fields{}, false
	}
	m := &wire.Message{Text: body, Holes: []wire.Hole{
		{Span: jsonspan.Span{Start: 1, End: prefix}, Kind: wire.Frame, N: len(body)},
	}}
	return m, fields{text: body, pos: prefix, end: len(body)}, true
}

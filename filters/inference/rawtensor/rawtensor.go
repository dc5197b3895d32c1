// Package rawtensor finds the rows of tensors in the raw form that the Open
// Inference Protocol's gRPC messages and Triton's binary tensor data extension have
// in common: the elements in row-major order, little-endian, without anything
// between; a BYTES element is four bytes of length and so many bytes
// (https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md).
package rawtensor

import (
	"encoding/binary"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
)

// sizes are the elements' in bytes.
var sizes = map[string]int{ //nolint:gochecknoglobals // a constant table
	"BOOL": 1, "UINT8": 1, "INT8": 1,
	"UINT16": 2, "INT16": 2, "FP16": 2, "BF16": 2,
	"UINT32": 4, "INT32": 4, "FP32": 4,
	"UINT64": 8, "INT64": 8, "FP64": 8,
}

// Rows are the places of a tensor's rows, so many of row elements each, in the part
// raw of text. It is false where datatype is unknown or the bytes are not exactly
// those rows: what one caller leaves out would be filled with the next caller's.
//
// REQUIRES: raw lies in text; rows and row are at least 1.
func Rows(text []byte, raw jsonspan.Span, datatype string, rows, row int) ([]jsonspan.Span, bool) {
	if datatype == "BYTES" {
		return walk(text, raw, rows, row)
	}
	size, ok := sizes[datatype]
	if !ok || raw.Len()%size != 0 || raw.Len()/size%rows != 0 || raw.Len()/size/rows != row {
		return nil, false
	}
	size *= row
	items := make([]jsonspan.Span, rows)
	for i := range items {
		items[i] = jsonspan.Span{Start: raw.Start + i*size, End: raw.Start + (i+1)*size}
	}
	return items, true
}

// lengthBytes is how many bytes a BYTES element's length takes.
const lengthBytes = 4

func walk(text []byte, raw jsonspan.Span, rows, row int) ([]jsonspan.Span, bool) {
	if raw.Len()/lengthBytes/rows < row {
		return nil, false
	}
	items := make([]jsonspan.Span, rows)
	at := raw.Start
	for i := range items {
		items[i].Start = at
		for range row {
			if raw.End-at < lengthBytes {
				return nil, false
			}
			n := int64(binary.LittleEndian.Uint32(text[at:]))
			if at += lengthBytes; n > int64(raw.End-at) {
				return nil, false
			}
			at += int(n)
		}
		items[i].End = at
	}
	return items, at == raw.End
}

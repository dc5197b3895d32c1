package modelinfer

import (
	"bytes"
	"cmp"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fridaymesh/friday/filters/inference/wire"
)

// The fields of ModelInferRequest and ModelInferResponse, which agree up to 5.
const (
	fieldModel      = 1
	fieldVersion    = 2
	fieldID         = 3
	fieldParameters = 4
	fieldTensors    = 5
	fieldOutputs    = 6 // of a request
	fieldRawInputs  = 7
	fieldRawOutputs = 6 // of an answer
)

// Request reads a ModelInferRequest. Requests go together where all is equal but the
// id, the data and the first dimension: the model and its version, names and their
// order, datatypes, the other dimensions, whether the data is raw or typed,
// parameters, wanted outputs and every unknown field.
func (Protocol) Request(_ wire.Target, body []byte) *wire.Message {
	m, r, ok := open(body)
	if !ok {
		return nil
	}
	var inputs, outputs, unknown key
	var version []byte
	var seen uint32
	var all parameters
	var tensors []tensor
	var raws []field
	for f, ok := r.next(); ok; f, ok = r.next() {
		good := true
		switch f.number {
		case fieldModel:
			good = once(&seen, f)
			m.Model = string(r.of(f))
		case fieldVersion:
			good = once(&seen, f)
			version = r.of(f)
		case fieldID:
			good = once(&seen, f) && utf8.Valid(r.of(f))
			if f.value.Len() > 0 { // an empty one is none
				m.ID = bytes.Clone(f.record.Of(body))
			}
			m.Holes = append(m.Holes, wire.Hole{Span: f.record, Kind: wire.Drop})
		case fieldParameters:
			good = f.kind == protowire.BytesType && all.add(&r, f)
		case fieldTensors:
			var t tensor
			if good = t.read(&r, f, wire.MaxItems); good {
				tensors = append(tensors, t)
				good = t.addTo(&inputs) && len(tensors) <= maxTensors
			}
		case fieldOutputs:
			good = addOutput(&outputs, &r, f)
		case fieldRawInputs:
			good = f.kind == protowire.BytesType
			raws = append(raws, f)
		default:
			unknown.add(f.number, f.record.Of(body))
		}
		if !good {
			return nil
		}
	}
	var k key
	k.add(fieldModel, []byte(m.Model))
	k.add(fieldVersion, version)
	if r.bad || !all.addTo(&k, fieldParameters) || fill(m, tensors, raws) != nil {
		return nil
	}
	k.add(fieldTensors, inputs.raw)
	k.add(fieldOutputs, outputs.raw)
	k.add(fieldRawInputs, protowire.AppendVarint(nil, uint64(len(raws))))
	k.raw = append(k.raw, unknown.raw...)
	m.Key = k.String()
	return m
}

// addOutput adds an InferRequestedOutputTensor, whose name is field 1 and whose
// parameters are field 2.
func addOutput(k *key, r *fields, f field) bool {
	if f.kind != protowire.BytesType {
		return false
	}
	var own, unknown key
	var name []byte
	var seen uint32
	var all parameters
	in := r.inside(f)
	for f, ok := in.next(); ok; f, ok = in.next() {
		good := true
		switch f.number {
		case 1:
			good = once(&seen, f)
			name = in.of(f)
		case 2:
			good = f.kind == protowire.BytesType && all.add(&in, f)
		default:
			unknown.add(f.number, f.record.Of(in.text))
		}
		if !good {
			return false
		}
	}
	own.add(1, name)
	if in.bad || !all.addTo(&own, 2) {
		return false
	}
	own.raw = append(own.raw, unknown.raw...)
	k.add(f.number, own.raw)
	return true
}

func sortHoles(m *wire.Message) {
	slices.SortStableFunc(m.Holes, func(a, b wire.Hole) int { return cmp.Compare(a.Span.Start, b.Span.Start) })
}

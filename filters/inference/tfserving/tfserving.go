// Package tfserving reads what TensorFlow Serving's predict API has beyond KServe's
// V1 protocol (https://www.tensorflow.org/tfx/serving/api_rest#predict_api): versions
// and labels in the path, and the columnar format ("inputs").
//
// The item is one row: an instance, or in the columnar format what stands at one
// place of the first dimension of every named tensor. That this is the dimension of
// the batch the format does not say: a model's metadata does, or the outputs, of
// which each must have as many rows.
package tfserving

import (
	"errors"
	"net/url"
	"strings"

	"github.com/fridaymesh/friday/filters/inference/kservev1"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// Rows is the wire.Protocol of the row format ("instances") where the path says the
// version or a label. Without either it is package kservev1's.
type Rows struct{ kservev1.Protocol }

// Columns is the wire.Protocol of the columnar format ("inputs").
type Columns struct{}

var (
	_ wire.Protocol = Rows{}
	_ wire.Protocol = Columns{}
)

// name is both protocols' name: in configuration they are one.
const name = "tf_serving"

// Name is "tf_serving".
func (Rows) Name() string { return name }

// Name is "tf_serving".
func (Columns) Name() string { return name }

// Match takes /v1/models/{model}/versions/{v}:predict and …/labels/{l}:predict.
func (Rows) Match(path string) (wire.Target, bool) {
	target, ok := match(path)
	return target, ok && target.Version != ""
}

// Match takes /v1/models/{model}:predict, also with a version or label.
func (Columns) Match(path string) (wire.Target, bool) { return match(path) }

// match reads the path; what stands behind the model, as in versions/3, is the
// Version.
func match(path string) (wire.Target, bool) {
	rest, ok := strings.CutPrefix(path, "/v1/models/")
	if !ok {
		return wire.Target{}, false
	}
	rest, ok = strings.CutSuffix(rest, ":predict")
	if !ok {
		return wire.Target{}, false
	}
	escaped, version, versioned := strings.Cut(rest, "/")
	if versioned {
		kind, which, _ := strings.Cut(version, "/")
		if kind != "versions" && kind != "labels" || which == "" || strings.Contains(which, "/") {
			return wire.Target{}, false
		}
	}
	model, err := url.PathUnescape(escaped)
	if err != nil || model == "" {
		return wire.Target{}, false
	}
	return wire.Target{Operation: "predict", Model: model, Version: version, TypeOptional: true}, true
}

var errOutputs = errors.New("outputs is not a tensor, or an object of tensors, of so many rows each")

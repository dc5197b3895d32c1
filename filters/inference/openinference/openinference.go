// Package openinference reads the Open Inference Protocol's (KServe V2) inference
// requests and answers in JSON, as Triton, MLServer, OpenVINO and others serve
// them (https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md).
//
// The item is one row: the first dimension of every tensor counts the items. The
// binary extension, shared memory and sequences are not understood.
package openinference

import (
	"net/url"
	"strings"

	"github.com/fridaymesh/friday/filters/inference/wire"
)

// Protocol is the wire.Protocol of this package.
type Protocol struct{}

var _ wire.Protocol = Protocol{}

// Name is "open_inference".
func (Protocol) Name() string { return "open_inference" }

// Match takes /v2/models/{model}/infer and /v2/models/{model}/versions/{v}/infer.
func (Protocol) Match(path string) (wire.Target, bool) {
	rest, ok := strings.CutPrefix(path, "/v2/models/")
	if !ok {
		return wire.Target{}, false
	}
	rest, ok = strings.CutSuffix(rest, "/infer")
	if !ok {
		return wire.Target{}, false
	}
	escaped, version, versioned := strings.Cut(rest, "/versions/")
	if escaped == "" || strings.Contains(escaped, "/") ||
		versioned && (version == "" || strings.Contains(version, "/")) {
		return wire.Target{}, false
	}
	model, err := url.PathUnescape(escaped)
	if err != nil {
		return wire.Target{}, false
	}
	return wire.Target{Operation: "infer", Model: model, Version: version, TypeOptional: true}, true
}

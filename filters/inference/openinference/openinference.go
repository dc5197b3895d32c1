// Package openinference reads the Open Inference Protocol's (KServe V2) inference
// requests and answers over REST, as Triton, MLServer, OpenVINO and others serve
// them (https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md):
// in JSON, and with Triton's extension for binary tensors
// (https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md),
// where the bytes of tensors stand behind the JSON, which says how many each has.
// Each tensor keeps the form that it came in. Package modelinfer reads the
// protocol's gRPC.
//
// The item is one row: the first dimension of every tensor counts the items. Shared
// memory and sequences are not understood.
package openinference

import (
	"net/url"
	"strings"

	"github.com/fridaymesh/friday/filters/inference/wire"
)

// Protocol is the wire.Protocol of this package.
type Protocol struct{}

var _ wire.Headed = Protocol{}

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

// Accepts takes JSON, and with the extension's header whatever type: Triton's
// clients say application/octet-stream or nothing.
func (Protocol) Accepts(target wire.Target, head wire.Head) bool {
	if head.JSON < 0 {
		return head.IsJSON(target.TypeOptional)
	}
	switch head.Type {
	case "", "application/json", "application/octet-stream":
		return true
	}
	return false
}

// Package oip writes requests of the Open Inference Protocol, version 2, and reads
// its answers, in the three forms that servers speak, so that the same questions can
// be asked in each of them and the answers be compared: JSON and gRPC
// (https://github.com/kserve/open-inference-protocol) and JSON with binary tensors
// (https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md).
//
// It stands on its own, rather than on the code that Friday reads such bodies with:
// what checks that code must not share its mistakes.
package oip

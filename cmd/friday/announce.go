package main

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// metricsKey is the member of node.metadata by which fridayd finds a sidecar's
// metrics, as xds/control has it: HOST:PORT.
const metricsKey = "friday.dev/metrics"

// announce tells the control plane where the metrics are, unless the bootstrap
// does.
func announce(node *corev3.Node, admin string) {
	if _, said := node.GetMetadata().GetFields()[metricsKey]; said {
		return
	}
	if node.Metadata == nil {
		node.Metadata = &structpb.Struct{}
	}
	if node.Metadata.Fields == nil {
		node.Metadata.Fields = map[string]*structpb.Value{}
	}
	node.Metadata.Fields[metricsKey] = structpb.NewStringValue(admin)
}

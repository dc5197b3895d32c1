package xdstest

import (
	"context"
	"strconv"
	"sync"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// ControlPlane is go-control-plane's ADS server with one configuration for every
// node. Addr, Start and Stop are those of its server.
type ControlPlane struct {
	*server
	cache cache.SnapshotCache

	mu       sync.Mutex
	version  int
	requests []*discoveryv3.DiscoveryRequest
	deltas   []*discoveryv3.DeltaDiscoveryRequest
}

var _ cache.NodeHash = everybody{}

type everybody struct{}

func (everybody) ID(*corev3.Node) string { return "" }

// New starts one that has nothing to say until Set.
func New(t testing.TB) *ControlPlane {
	t.Helper()
	return NewAt(t, "tcp", "127.0.0.1:0")
}

// NewAt is New at an address, such as a unix socket.
func NewAt(t testing.TB, network, address string) *ControlPlane {
	t.Helper()
	c := &ControlPlane{cache: cache.NewSnapshotCache(true, everybody{}, nil)}
	ctx, cancel := context.WithCancel(context.Background()) // longer than the cleanups
	ads := serverv3.NewServer(ctx, c.cache, serverv3.CallbackFuncs{
		StreamRequestFunc: func(_ int64, req *discoveryv3.DiscoveryRequest) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.requests = append(c.requests, proto.CloneOf(req))
			return nil
		},
		StreamDeltaRequestFunc: func(_ int64, req *discoveryv3.DeltaDiscoveryRequest) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.deltas = append(c.deltas, proto.CloneOf(req))
			return nil
		},
	})
	t.Cleanup(cancel)
	c.server = newServer(t, network, address, ads, ads)
	return c
}

// Set replaces the whole configuration and returns its version, which counts
// from 1.
func (c *ControlPlane) Set(resources ...proto.Message) string {
	c.t.Helper()
	byType := map[resource.Type][]types.Resource{
		resource.ClusterType: nil, resource.EndpointType: nil, resource.ListenerType: nil, resource.RouteType: nil,
		resource.SecretType: nil, resource.ExtensionConfigType: nil,
	}
	for _, m := range resources {
		url := resource.APITypePrefix + string(m.ProtoReflect().Descriptor().FullName())
		byType[url] = append(byType[url], m)
	}
	c.mu.Lock()
	c.version++
	version := strconv.Itoa(c.version)
	c.mu.Unlock()
	snapshot, err := cache.NewSnapshot(version, byType)
	require.NoError(c.t, err)
	require.NoError(c.t, c.cache.SetSnapshot(context.Background(), "", snapshot)) // may be set in a cleanup
	return version
}

// Requests are all requests so far.
func (c *ControlPlane) Requests() []*discoveryv3.DiscoveryRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*discoveryv3.DiscoveryRequest(nil), c.requests...)
}

// Deltas are all requests of the incremental variant so far.
func (c *ControlPlane) Deltas() []*discoveryv3.DeltaDiscoveryRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*discoveryv3.DeltaDiscoveryRequest(nil), c.deltas...)
}

// Acked says whether version of typeURL has been acknowledged.
func (c *ControlPlane) Acked(typeURL, version string) bool {
	for _, req := range c.Requests() {
		if req.GetTypeUrl() == typeURL && req.GetVersionInfo() == version && req.GetErrorDetail() == nil && req.GetResponseNonce() != "" {
			return true
		}
	}
	return false
}

// Refused are the words of all NACKs of typeURL so far.
func (c *ControlPlane) Refused(typeURL string) (words []string) {
	for _, req := range c.Requests() {
		if req.GetTypeUrl() == typeURL && req.GetErrorDetail() != nil {
			words = append(words, req.GetErrorDetail().GetMessage())
		}
	}
	return words
}

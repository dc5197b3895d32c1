package bootstrap

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	batchv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/batch/v1"
	streamv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/stream/v1"
)

// packer packs messages; err is the first that could not be.
type packer struct{ err error }

func (p *packer) pack(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil && p.err == nil {
		p.err = err
	}
	return a
}

func (p *packer) filter(name string, m proto.Message) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: p.pack(m)}}
}

func (p *packer) router() *hcmv3.HttpFilter {
	return p.filter("envoy.filters.http.router", &routerv3.Router{})
}

// connectionManager is that of a sidecar that was told nothing but its upstream,
// which is called by the name called, where it is not empty.
func (f Flags) connectionManager(called string) (*anypb.Any, error) {
	p := &packer{}
	to := &routev3.RouteAction{
		ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: f.ordinal(upstreamName)},
		Timeout:          durationpb.New(f.Timeout),
		RetryPolicy:      f.hold(),
	}
	if called != "" {
		to.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: called}
	}
	hcm := p.pack(&hcmv3.HttpConnectionManager{
		StatPrefix:        inbound,
		StreamIdleTimeout: durationpb.New(0), // a model may think for as long as it likes
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{
			Name: inbound,
			VirtualHosts: []*routev3.VirtualHost{{
				Name: inbound, Domains: []string{"*"},
				Routes: []*routev3.Route{{
					Name:   inbound,
					Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
					Action: &routev3.Route_Route{Route: to},
				}},
			}},
		}},
		Http2ProtocolOptions: &corev3.Http2ProtocolOptions{AllowConnect: true},
		UpgradeConfigs:       []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
		HttpFilters: []*hcmv3.HttpFilter{
			p.filter("friday.filters.http.batch", &batchv1.Batch{}),
			p.filter("friday.filters.http.stream", &streamv1.Stream{}),
			p.router(),
		},
	})
	return hcm, p.err
}

// knock is how long it takes at most between two attempts to connect to a server that is
// not there yet; half of it on average.
const knock = 100 * time.Millisecond

// hold has requests wait for a server that accepts no connection yet, by trying again
// until f.Hold has passed; nil: they are answered at once.
func (f Flags) hold() *routev3.RetryPolicy {
	if f.Hold <= 0 {
		return nil
	}
	return &routev3.RetryPolicy{
		RetryOn:    "connect-failure",
		NumRetries: wrapperspb.UInt32(uint32((f.Hold + knock/2 - 1) / (knock / 2))), // #nosec G115 -- at most MaxHold
		RetryBackOff: &routev3.RetryPolicy_RetryBackOff{
			BaseInterval: durationpb.New(knock), MaxInterval: durationpb.New(knock),
		},
	}
}

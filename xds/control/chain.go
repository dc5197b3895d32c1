package control

import (
	"cmp"
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	policyv1alpha1 "github.com/fridaymesh/friday/xds/api/friday/policy/v1alpha1"
	"github.com/fridaymesh/friday/xds/control/policy"
)

const (
	connectionManager = "envoy.filters.network.http_connection_manager"
	routerFilter      = "envoy.filters.http.router"
	// filterPrefix and a field of message Filters make a filter's name.
	filterPrefix = "friday.filters.http."
)

// filterSettings is one filter that a policy or a route of it has settings for.
type filterSettings struct {
	field   string // of message Filters
	message proto.Message
}

func (f filterSettings) name() string { return filterPrefix + f.field }

// settings are the filters that are set in f, in the order of the chain, which
// is the order of the message's fields.
func settings(f *policyv1alpha1.Filters) []filterSettings {
	var set []filterSettings
	m := f.ProtoReflect()
	for i := range m.Descriptor().Fields().Len() {
		if fd := m.Descriptor().Fields().Get(i); m.Has(fd) {
			set = append(set, filterSettings{field: fd.TextName(), message: m.Get(fd).Message().Interface()})
		}
	}
	return set
}

// chain is the policy's filters, and disabled those that only some route brings
// in. Who says nothing about filters gets batch and stream.
func chain(p *policy.Policy) (filters *policyv1alpha1.Filters, disabled map[string]bool) {
	own := p.Spec().GetFilters()
	if own == nil {
		own = new(policyv1alpha1.Filters)
		for _, name := range []string{"batch", "stream"} {
			fd := own.ProtoReflect().Descriptor().Fields().ByTextName(name)
			own.ProtoReflect().Set(fd, own.ProtoReflect().NewField(fd))
		}
	}
	filters = &policyv1alpha1.Filters{}
	proto.Merge(filters, own)
	disabled = map[string]bool{}
	for _, r := range p.Spec().GetRoutes() {
		for _, f := range settings(r.GetFilters()) {
			m := filters.ProtoReflect()
			if fd := m.Descriptor().Fields().ByTextName(f.field); !m.Has(fd) {
				m.Set(fd, m.NewField(fd))
				disabled[f.field] = true
			}
		}
	}
	return filters, disabled
}

func listener(p *policy.Policy, domain string) (*listenerv3.Listener, error) {
	filters, disabled := chain(p)
	http := &hcmv3.HttpConnectionManager{
		StatPrefix:        p.Name(),
		StreamIdleTimeout: durationpb.New(0), // Envoy's default of 5m is too short for inference
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{
			Rds: &hcmv3.Rds{ConfigSource: ads(), RouteConfigName: p.Name()},
		},
	}
	for _, f := range settings(filters) {
		config, err := pack(f.message)
		if err != nil {
			return nil, err
		}
		http.HttpFilters = append(http.HttpFilters, &hcmv3.HttpFilter{
			Name: f.name(), ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: config}, Disabled: disabled[f.field],
		})
	}
	last, err := pack(&routerv3.Router{})
	if err != nil {
		return nil, err
	}
	http.HttpFilters = append(http.HttpFilters, &hcmv3.HttpFilter{
		Name: routerFilter, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: last},
	})
	config, err := pack(http)
	if err != nil {
		return nil, err
	}
	l := &listenerv3.Listener{
		Name:    p.Name(),
		Address: address(p.Address(), p.Port()),
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name: connectionManager, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: config},
		}}}},
	}
	return l, secure(l, p.Spec().GetTls(), domain)
}

// routes is the policy's routes and, last, one that takes everything else. A
// route is named after its policy and prefix, since metrics carry the name.
func routes(p *policy.Policy) (*routev3.RouteConfiguration, error) {
	none := durationpb.New(0) // Envoy's default of 15 s is too short for inference
	timeout := or(p.Spec().GetTimeout(), none)
	var list []*routev3.Route
	for _, r := range slices.Concat(p.Spec().GetRoutes(), []*policyv1alpha1.Route{{}}) {
		route := &routev3.Route{
			Name: p.Name() + r.GetPrefix(),
			Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{
				Prefix: cmp.Or(r.GetPrefix(), "/"),
			}},
			Action: &routev3.Route_Route{Route: towards(p, p.Weights(r.GetPrefix()), or(r.GetTimeout(), timeout))},
		}
		for _, f := range settings(r.GetFilters()) {
			config, err := pack(f.message)
			if err != nil {
				return nil, err
			}
			if route.TypedPerFilterConfig == nil {
				route.TypedPerFilterConfig = map[string]*anypb.Any{}
			}
			route.TypedPerFilterConfig[f.name()] = config
		}
		list = append(list, route)
	}
	return &routev3.RouteConfiguration{
		Name: p.Name(),
		VirtualHosts: []*routev3.VirtualHost{{
			Name: p.Name(), Domains: []string{"*"}, Routes: list,
		}},
	}, nil
}

// towards is where a route leads: to the policy's one cluster, or to several by
// their weights.
func towards(p *policy.Policy, weights map[string]uint32, timeout *durationpb.Duration) *routev3.RouteAction {
	action := &routev3.RouteAction{Timeout: timeout}
	if len(p.Spec().GetServers()) == 0 {
		action.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: p.Cluster("")}
		return action
	}
	shares := &routev3.WeightedCluster{}
	for _, g := range p.Groups() { // those without weight, too: so they stay known and warm
		shares.Clusters = append(shares.Clusters, &routev3.WeightedCluster_ClusterWeight{
			Name: p.Cluster(g.Name), Weight: wrapperspb.UInt32(weights[g.Name]),
		})
	}
	action.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: shares}
	return action
}

package client

import (
	"maps"
	"slices"
	"time"

	udpav1 "github.com/cncf/xds/go/udpa/type/v1"
	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// ConfigDump is the configuration in Envoy's shape
// (https://www.envoyproxy.io/docs/envoy/latest/api-v3/admin/v3/config_dump.proto):
// the bootstrap, and what came from the control plane, with versions, times and
// why what was refused was. It is made of one state, so its parts fit together.
func (c *Client) ConfigDump() *adminv3.ConfigDump {
	s := c.state.Load()
	d := &dump{state: s, started: timestamppb.New(c.started)}
	b := c.opts.Bootstrap
	if b != nil {
		shown := proto.CloneOf(b)
		redact(shown.ProtoReflect(), false)
		d.add(&adminv3.BootstrapConfigDump{Bootstrap: shown, LastUpdated: d.started})
	}
	clusters, listeners := d.clusters(), d.listeners()
	for _, m := range b.GetStaticResources().GetClusters() {
		clusters.StaticClusters = append(clusters.StaticClusters, &adminv3.ClustersConfigDump_StaticCluster{Cluster: redacted(pack(m)), LastUpdated: d.started})
	}
	for _, m := range b.GetStaticResources().GetListeners() {
		listeners.StaticListeners = append(listeners.StaticListeners, &adminv3.ListenersConfigDump_StaticListener{Listener: redacted(pack(m)), LastUpdated: d.started})
	}
	d.add(clusters)
	d.add(d.endpoints())
	d.add(listeners)
	d.add(d.routes())
	if out := d.extensions(); len(out.GetEcdsFilters()) > 0 {
		d.add(out)
	}
	if out := d.secrets(); len(out.GetDynamicActiveSecrets())+len(out.GetDynamicWarmingSecrets()) > 0 {
		d.add(out)
	}
	if out := d.leftAside(); out != nil {
		d.add(out)
	}
	return &d.out
}

type dump struct {
	*state
	started *timestamppb.Timestamp
	out     adminv3.ConfigDump
}

func (d *dump) add(m proto.Message) { d.out.Configs = append(d.out.Configs, pack(m)) }

func pack(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil { // only invalid UTF-8 could do that, which was never decoded
		return new(anypb.Any)
	}
	return a
}

// all are the names of a kind, accepted, in force or refused.
func all[T any](d *dump, k kind, force map[string]T) []string {
	names := map[string]bool{}
	for name := range d.known[k].items {
		names[name] = true
	}
	for name := range d.known[k].failures {
		names[name] = true
	}
	for name := range force {
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

func (d *dump) clusters() *adminv3.ClustersConfigDump {
	out := &adminv3.ClustersConfigDump{VersionInfo: d.known[cds].version}
	for _, name := range all(d, cds, d.state.clusters) {
		active, latest, failed := d.state.clusters[name], d.known[cds].items[name], d.failure(cds, name)
		one := func(i *item, status adminv3.ClientResourceStatus) *adminv3.ClustersConfigDump_DynamicCluster {
			m := &adminv3.ClustersConfigDump_DynamicCluster{ErrorState: failed, ClientStatus: status}
			m.Cluster, m.VersionInfo, m.LastUpdated = shown(i)
			return m
		}
		if active != nil {
			out.DynamicActiveClusters = append(out.DynamicActiveClusters, one(active.item, statusOf(true, failed)))
		}
		if latest != nil && (active == nil || active.item != latest) || active == nil && latest == nil {
			out.DynamicWarmingClusters = append(out.DynamicWarmingClusters, one(latest, statusOf(false, failed)))
		}
	}
	return out
}

func (d *dump) listeners() *adminv3.ListenersConfigDump {
	out := &adminv3.ListenersConfigDump{VersionInfo: d.known[lds].version}
	one := func(i *item) *adminv3.ListenersConfigDump_DynamicListenerState {
		m := new(adminv3.ListenersConfigDump_DynamicListenerState)
		m.Listener, m.VersionInfo, m.LastUpdated = shown(i)
		return m
	}
	for _, name := range all(d, lds, d.state.listeners) {
		active, latest, failed := d.state.listeners[name], d.known[lds].items[name], d.failure(lds, name)
		m := &adminv3.ListenersConfigDump_DynamicListener{Name: name, ErrorState: failed, ClientStatus: statusOf(active != nil, failed)}
		if active != nil {
			m.ActiveState = one(active.item)
		}
		if latest != nil && (active == nil || active.item != latest) {
			m.WarmingState = one(latest)
		}
		out.DynamicListeners = append(out.DynamicListeners, m)
	}
	return out
}

func (d *dump) routes() *adminv3.RoutesConfigDump {
	out := new(adminv3.RoutesConfigDump)
	for _, name := range all(d, rds, d.tables) {
		i, failed := d.tables[name], d.failure(rds, name)
		m := &adminv3.RoutesConfigDump_DynamicRouteConfig{ErrorState: failed, ClientStatus: statusOf(i != nil, failed)}
		if i == nil {
			i = d.known[rds].items[name]
		}
		m.RouteConfig, m.VersionInfo, m.LastUpdated = shown(i)
		out.DynamicRouteConfigs = append(out.DynamicRouteConfigs, m)
	}
	return out
}

func (d *dump) endpoints() *adminv3.EndpointsConfigDump {
	out := new(adminv3.EndpointsConfigDump)
	for _, name := range all(d, eds, d.known[eds].items) {
		i, failed := d.known[eds].items[name], d.failure(eds, name)
		m := &adminv3.EndpointsConfigDump_DynamicEndpointConfig{ErrorState: failed, ClientStatus: statusOf(i != nil, failed)}
		m.EndpointConfig, m.VersionInfo, m.LastUpdated = shown(i)
		out.DynamicEndpointConfigs = append(out.DynamicEndpointConfigs, m)
	}
	return out
}

func (d *dump) extensions() *adminv3.EcdsConfigDump {
	out := new(adminv3.EcdsConfigDump)
	for _, name := range all(d, ecds, d.known[ecds].items) {
		i, failed := d.known[ecds].items[name], d.failure(ecds, name)
		m := &adminv3.EcdsConfigDump_EcdsFilterConfig{ErrorState: failed, ClientStatus: statusOf(i != nil, failed)}
		m.EcdsFilter, m.VersionInfo, m.LastUpdated = shown(i)
		out.EcdsFilters = append(out.EcdsFilters, m)
	}
	return out
}

// secrets are those of every source, without what is secret about them.
func (d *dump) secrets() *adminv3.SecretsConfigDump {
	out := new(adminv3.SecretsConfigDump)
	add := func(col *collection, source string) {
		names := map[string]bool{}
		for name := range col.items {
			names[name] = true
		}
		for name := range col.failures {
			names[name] = true
		}
		for _, name := range d.lists[part{sds, source}] {
			names[name] = true
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			i, failed := col.items[name], failureOf(col, name)
			m := &adminv3.SecretsConfigDump_DynamicSecret{Name: name, ErrorState: failed, ClientStatus: statusOf(i != nil, failed)}
			m.Secret, m.VersionInfo, m.LastUpdated = shown(i)
			if i == nil {
				out.DynamicWarmingSecrets = append(out.DynamicWarmingSecrets, m)
				continue
			}
			out.DynamicActiveSecrets = append(out.DynamicActiveSecrets, m)
		}
	}
	add(&d.known[sds], "")
	for _, source := range slices.Sorted(maps.Keys(d.servers)) {
		add(d.servers[source], source)
	}
	return out
}

func (d *dump) failure(k kind, name string) *adminv3.UpdateFailureState {
	return failureOf(&d.known[k], name)
}

func failureOf(col *collection, name string) *adminv3.UpdateFailureState {
	f, ok := col.failures[name]
	if !ok {
		return nil
	}
	return &adminv3.UpdateFailureState{
		FailedConfiguration: printable(f.raw), VersionInfo: f.version,
		LastUpdateAttempt: timestamppb.New(f.at), Details: cut(f.words),
	}
}

func statusOf(active bool, failed *adminv3.UpdateFailureState) adminv3.ClientResourceStatus {
	switch {
	case failed != nil:
		return adminv3.ClientResourceStatus_NACKED
	case active:
		return adminv3.ClientResourceStatus_ACKED
	}
	return adminv3.ClientResourceStatus_REQUESTED
}

func shown(i *item) (raw *anypb.Any, version string, updated *timestamppb.Timestamp) {
	if i == nil {
		return nil, "", nil
	}
	if !i.updated.Equal(time.Time{}) {
		updated = timestamppb.New(i.updated)
	}
	return printable(i.raw), i.version, updated
}

// printable is raw without secrets, or a TypedStruct that says so where raw holds what cannot be
// written as JSON (a filter of an unknown type that is optional), which would
// spoil the whole dump.
func printable(raw *anypb.Any) *anypb.Any {
	raw = redacted(raw)
	_, err := protojson.Marshal(raw)
	if err == nil {
		return raw
	}
	return pack(&udpav1.TypedStruct{TypeUrl: raw.GetTypeUrl(), Value: &structpb.Struct{
		Fields: map[string]*structpb.Value{"unprintable": structpb.NewStringValue(err.Error())},
	}})
}

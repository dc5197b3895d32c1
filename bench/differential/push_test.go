//go:build interop

package differential

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"sigs.k8s.io/yaml"

	"github.com/fridaymesh/friday/bench/process"
)

const (
	versionHost = "version.harness.test"
	listenerURL = "type.googleapis.com/envoy.config.listener.v3.Listener"
	routeURL    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	clusterURL  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
)

// resources makes of a configuration what goes over ADS to one side. Its answers to
// version.harness.test tell the version.
func (s *side) resources(t *testing.T, name, version string, c *Config) []proto.Message {
	t.Helper()
	table := &routev3.RouteConfiguration{Name: name}
	s.read(t, c.Table, table)
	hosts := c.VirtualHosts
	if hosts == "" && c.Routes != "" {
		hosts = "[{name: all, domains: ['*'], routes: " + asJSON(t, c.Routes) + "}]"
	}
	for _, vh := range list(t, hosts) {
		host := new(routev3.VirtualHost)
		s.read(t, vh, host)
		table.VirtualHosts = append(table.VirtualHosts, host)
	}
	host := new(routev3.VirtualHost)
	s.read(t, `{name: version, domains: [`+versionHost+`], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: '`+version+`'}}}]}`, host)
	table.VirtualHosts = append(table.VirtualHosts, host)

	hcm := new(hcmv3.HttpConnectionManager)
	s.read(t, `{stat_prefix: case, rds: {route_config_name: '`+name+`', config_source: {ads: {}, resource_api_version: V3}},
		generate_request_id: false, server_header_transformation: PASS_THROUGH}`, hcm)
	s.read(t, c.HCM, hcm)
	for _, f := range list(t, c.Filters) {
		filter := new(hcmv3.HttpFilter)
		s.read(t, f, filter)
		hcm.HttpFilters = append(hcm.HttpFilters, filter)
	}
	router := c.Router
	if router == "" {
		router = "suppress_envoy_headers: true"
	}
	last := new(hcmv3.HttpFilter)
	s.read(t, `{name: envoy.filters.http.router, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, `+router+`}}`, last)
	hcm.HttpFilters = append(hcm.HttpFilters, last)
	packed, err := anypb.New(hcm)
	require.NoError(t, err)
	listener := new(listenerv3.Listener)
	s.read(t, `{name: '`+name+`', address: {socket_address: {address: 127.0.0.1, port_value: `+portOf(s.listen)+`}}}`, listener)
	s.read(t, c.Listener, listener)
	if len(listener.GetFilterChains()) == 0 {
		listener.FilterChains = []*listenerv3.FilterChain{{}}
	}
	for _, chain := range listener.GetFilterChains() {
		if len(chain.GetFilters()) > 0 {
			continue
		}
		for _, f := range list(t, c.Network) {
			filter := new(listenerv3.Filter)
			s.read(t, f, filter)
			chain.Filters = append(chain.Filters, filter)
		}
		chain.Filters = append(chain.Filters, &listenerv3.Filter{Name: "envoy.filters.network.http_connection_manager", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed}})
	}

	all := []proto.Message{listener, table}
	known := map[string]bool{}
	for _, text := range append(list(t, c.Clusters), standing()...) {
		cl := new(clusterv3.Cluster)
		s.read(t, text, cl)
		if !known[cl.GetName()] {
			known[cl.GetName()] = true
			all = append(all, cl)
		}
	}
	for _, text := range list(t, c.Endpoints) {
		m := new(endpointv3.ClusterLoadAssignment)
		s.read(t, text, m)
		all = append(all, m)
	}
	for _, text := range list(t, c.Secrets) {
		m := new(tlsv3.Secret)
		s.read(t, text, m)
		all = append(all, m)
	}
	return all
}

// standing are the clusters that every case may name.
func standing() (clusters []string) {
	endpoint := func(name string) string {
		return `{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${` + name + `}}}}}`
	}
	static := func(name string, endpoints ...string) string {
		return `{name: ` + name + `, type: STATIC, connect_timeout: 1s, load_assignment: {cluster_name: ` + name +
			`, endpoints: [{lb_endpoints: [` + strings.Join(endpoints, ", ") + `]}]}}`
	}
	for _, name := range append(endpointNames(), "gone") {
		clusters = append(clusters, static(name, endpoint(name)))
	}
	return append(clusters, static("abc", endpoint("a"), endpoint("b"), endpoint("c")), static("empty"))
}

// read adds YAML to m.
func (s *side) read(t *testing.T, text string, m proto.Message) {
	t.Helper()
	if strings.TrimSpace(text) == "" {
		return
	}
	part := m.ProtoReflect().New().Interface()
	require.NoError(t, protojson.Unmarshal([]byte(asJSON(t, strings.ReplaceAll(s.stage.fill(text), "${side}", s.name))), part), "%s", text)
	proto.Merge(m, part)
}

func asJSON(t *testing.T, text string) string {
	t.Helper()
	out, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err, "%s", text)
	return string(out)
}

// list takes a YAML list apart.
func list(t *testing.T, text string) (items []string) {
	t.Helper()
	if strings.TrimSpace(text) == "" {
		return nil
	}
	var raw []json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(asJSON(t, text)), &raw), "%s", text)
	for _, r := range raw {
		items = append(items, string(r))
	}
	return items
}

// push gives a side its configuration and waits until it is in force. Where the one
// before was refused, that may be said once more meanwhile.
func (s *side) push(t *testing.T, name, version string, c *Config, first, afterRefusal bool) {
	t.Helper()
	refused := s.refusals()
	all := s.resources(t, name, version, c)
	s.control.Set(all...)
	s.await(t, "version "+version, func() bool {
		words := s.refusals()
		if !afterRefusal {
			for _, w := range words { // it may say once more what it has said before
				require.Contains(t, refused, w, "%s refused", s.name)
			}
		}
		a, err := s.send(t.Context(), &Request{Host: versionHost})
		// A filter may answer in place of the version; at a new address any answer is the
		// new configuration's.
		if c.Closed {
			return err != nil
		}
		return err == nil && (first || a.Status != http.StatusOK || a.Body == version)
	})
	// Clusters that were added have warmed.
	s.await(t, "clusters", func() bool {
		text, err := process.Get(t.Context(), "http://"+s.admin+"/clusters")
		for _, m := range all {
			if cl, ok := m.(*clusterv3.Cluster); ok && !strings.Contains(string(text), "\n"+cl.GetName()+"::") && !strings.HasPrefix(string(text), cl.GetName()+"::") {
				return false
			}
		}
		return err == nil
	})
}

// refuse gives a side a configuration that it must refuse.
func (s *side) refuse(t *testing.T, name, version, typeURL string, c *Config) {
	t.Helper()
	before := len(s.control.Refused(typeURL))
	s.control.Set(s.resources(t, name, version, c)...)
	s.await(t, "a NACK", func() bool { return len(s.control.Refused(typeURL)) > before })
	t.Logf("%s: %s", s.name, s.control.Refused(typeURL)[before])
}

func (s *side) refusals() (words []string) {
	for _, url := range []string{listenerURL, routeURL, clusterURL} {
		words = append(words, s.control.Refused(url)...)
	}
	return words
}

func (s *side) await(t *testing.T, what string, ready func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ready() {
		select {
		case <-s.process.Done():
			require.FailNow(t, s.name+" has ended")
		default:
		}
		if time.Now().After(deadline) {
			require.FailNow(t, fmt.Sprintf("%s: %s did not come", s.name, what), s.process.Tail(20))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

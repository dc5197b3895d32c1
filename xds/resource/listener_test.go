package resource_test

import (
	"strings"
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fridaymesh/friday/proxy/config"
	batchv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/batch/v1"
	"github.com/fridaymesh/friday/xds/resource"
)

const (
	hcm = `"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: in
`
	routerFilter = `{name: envoy.filters.http.router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}`
	batch        = `{name: batch, typed_config: {"@type": type.googleapis.com/friday.filters.http.batch.v1.Batch, max_batch_size: 8}}`
	rds          = `rds: {route_config_name: r, config_source: {ads: {}, resource_api_version: V3}}`
)

// listener is a Listener around the fields of an HttpConnectionManager, one a
// line.
func listener(fields ...string) string {
	return `
name: inference
address: {socket_address: {address: 0.0.0.0, port_value: 19080}}
filter_chains:
- filters:
  - name: http
    typed_config:
      ` + hcm + "      " + strings.Join(fields, "\n      ")
}

func TestListener(t *testing.T) {
	t.Parallel()
	m := decode(t, listener(
		rds,
		"codec_type: HTTP1",
		"common_http_protocol_options: {idle_timeout: 30s}",
		"request_headers_timeout: 0s",
		"max_request_headers_kb: 32",
		`access_log: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /dev/stdout}}]`,
		"normalize_path: false",
		"http_filters: ["+batch+", {name: 'off', disabled: true, typed_config: {'@type': type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/friday.filters.http.batch.v1.Batch, value: {disabled: true}}}, "+
			"{name: foreign, is_optional: true, typed_config: {'@type': type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/a.B}}, "+routerFilter+"]",
	), new(listenerv3.Listener))
	l, err := parser().Listener(m)
	require.NoError(t, err)
	require.Equal(t, "inference", l.Name)
	require.Equal(t, "0.0.0.0:19080", l.Address)
	require.Empty(t, l.Validated)
	h := l.Chains[0].HTTP
	require.Len(t, h.Filters, 2)
	require.Equal(t, "batch", h.Filters[0].Name)
	require.True(t, proto.Equal(&batchv1.Batch{MaxBatchSize: wrapperspb.UInt32(8)}, h.Filters[0].Config.(proto.Message)))
	require.Equal(t, "off", h.Filters[1].Name)
	require.True(t, h.Filters[1].Disabled)
	h.Filters = nil
	require.Equal(t, &config.HTTP{
		RouteName: "r", Codec: config.CodecHTTP1, HeadersTimeout: resource.Unlimited, IdleTimeout: 30 * time.Second, MaxHeaderBytes: 32 << 10, AccessLog: config.LogAll,
	}, h)
}

func TestListenerOfTheDefaultChainWithInlineRoutes(t *testing.T) {
	t.Parallel()
	m := decode(t, `
name: six
address: {socket_address: {address: "::1", port_value: 0}}
traffic_direction: INBOUND
enable_reuse_port: true
bind_to_port: true
default_filter_chain:
  filter_chain_match: {}
  filters:
  - typed_config:
      `+hcm+`
      route_config: {virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: ""}, route: {cluster: c}}]}]}
      http_filters: [`+routerFilter+`]
    name: any
`, new(listenerv3.Listener))
	l, err := parser().Listener(m)
	require.NoError(t, err)
	require.Equal(t, "[::1]:0", l.Address)
	require.Len(t, l.Validated, 1, "Envoy's default for inline routes")
	route := l.Default.HTTP.Table.VirtualHosts[0].Routes[0]
	require.Equal(t, "/", route.Match.Prefix)
	require.Equal(t, 15*time.Second, route.Timeout, "Envoy's default")
	require.Equal(t, []config.WeightedCluster{{Name: "c", Weight: 1}}, route.Clusters)
	require.Zero(t, l.Default.HTTP.IdleTimeout)
	require.Equal(t, config.LogErrors, l.Default.HTTP.AccessLog)
}

func TestListenerErrors(t *testing.T) {
	t.Parallel()
	const at = "filter_chains[0].filters[0].typed_config."
	good := "http_filters: [" + routerFilter + "]"
	for name, tt := range map[string]struct {
		yaml string
		want []string
	}{
		"empty": {yaml: "{}", want: []string{
			`name: missing`,
			`address: missing`,
			`filter_chains: missing`,
		}},
		"a name for an address": {yaml: `{name: x, address: {socket_address: {address: localhost, port_value: 1}}, filter_chains: [{}, {}]}`, want: []string{
			`address.socket_address.address: "localhost": not an IP address`,
			`filter_chains[0].filters: missing: an HttpConnectionManager or a TcpProxy`,
			`filter_chains[1].filters: missing: an HttpConnectionManager or a TcpProxy`,
			`filter_chains[1].filter_chain_match: has the same matching rules as filter_chains[0]`,
		}},
		"both chains": {yaml: `{name: x, address: {socket_address: {address: 1.2.3.4, port_value: 1}}, filter_chains: [{}], default_filter_chain: {}}`, want: []string{
			`filter_chains[0].filters: missing: an HttpConnectionManager or a TcpProxy`,
			`default_filter_chain.filters: missing: an HttpConnectionManager or a TcpProxy`,
		}},
		"no port, a pipe": {yaml: `{name: x, address: {pipe: {path: /x}}, filter_chains: [{}]}`, want: []string{
			`address.pipe: not supported`,
			`address: missing`,
			`filter_chains[0].filters: missing: an HttpConnectionManager or a TcpProxy`,
		}},
		"listener fields": {yaml: `{transparent: true, use_original_dst: true, listener_filters: [{name: x}], tcp_backlog_size: 5, ` + strings.TrimSpace(strings.ReplaceAll(`name: x, address: {socket_address: {address: 1.2.3.4, protocol: UDP, port_value: 70000}}, filter_chains: [{filter_chain_match: {server_names: [a]}, transport_socket: {name: tls}}]}`, "\n", "")), want: []string{
			`address.socket_address.protocol: UDP: not supported yet, only TCP`,
			`transparent: true: not supported yet, only false`,
			`address.socket_address.port_value: 70000: value must be less than or equal to 65535`,
			`listener_filters[0].typed_config: missing`,
			`filter_chains[0].transport_socket.typed_config: missing`,
			`filter_chains[0].filters: missing: an HttpConnectionManager or a TcpProxy`,
		}},
		"another network filter": {yaml: `{name: x, address: {socket_address: {address: 1.2.3.4, port_value: 1}}, filter_chains: [{filters: [{name: f, typed_config: {"@type": type.googleapis.com/envoy.config.core.v3.Address}}]}]}`, want: []string{
			`filter_chains[0].filters[0].typed_config: "type.googleapis.com/envoy.config.core.v3.Address": not supported`,
		}},
		"no routes":  {yaml: listener(good), want: []string{at + `rds|route_config: value is required`}},
		"no filters": {yaml: listener(rds), want: []string{at + `http_filters: missing: the last filter must be envoy.filters.http.router`}},
		"no router":  {yaml: listener(rds, "http_filters: ["+batch+"]"), want: []string{at + `http_filters[0]: "batch": the last filter must be envoy.filters.http.router`}},
		"a router in the middle, disabled last": {yaml: listener(rds, "http_filters: ["+routerFilter+","+strings.Replace(routerFilter, "{", "{disabled: true, ", 1)+"]"), want: []string{
			at + `http_filters[0]: "envoy.filters.http.router": envoy.filters.http.router must be the last filter`,
			at + `http_filters[1].disabled: true: the router cannot be disabled`,
		}},
		"a router with options": {yaml: listener(rds, `http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, start_child_span: true, suppress_envoy_headers: true}}]`), want: []string{
			at + `http_filters[0].typed_config.start_child_span: true: not supported`,
		}},
		"filters": {yaml: listener(rds, "http_filters: [{name: a, typed_config: {'@type': type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/a.B}}, {name: b, is_optional: true, typed_config: {'@type': type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/friday.filters.http.batch.v1.Batch, value: {a: 1, b: 2}}}, {name: c}, "+routerFilter+"]"), want: []string{
			at + `http_filters[0].typed_config: unknown filter type: "type.googleapis.com/a.B" (known: ["type.googleapis.com/friday.filters.http.batch.v1.Batch"])`,
			at + `http_filters[1].typed_config: a: unknown field`,
			at + `http_filters[1].typed_config: b: unknown field`,
			at + `http_filters[2].typed_config: missing`,
		}},
		"connection manager fields": {yaml: listener(good, "rds: {config_source: {path: /x}}", "use_remote_address: true", "codec_type: HTTP3", "scheme_header_transformation: {}", "path_normalization_options: {}", "stream_idle_timeout: -5s",
			"common_http_protocol_options: {max_stream_duration: 5s, idle_timeout: -1s}", "max_request_headers_kb: 9000", "add_user_agent: true",
			`access_log: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /var/log/x}}]`), want: []string{
			at + `codec_type: HTTP3: not supported yet, only AUTO, HTTP1, HTTP2`,
			at + `rds.config_source.path: /x: not supported`,
			at + `add_user_agent: true: not supported yet, only false`,
			at + `common_http_protocol_options.idle_timeout: -1s: must not be negative`,
			at + `common_http_protocol_options.max_stream_duration: 5s: not supported`,
			at + `scheme_header_transformation: not supported`,
			at + `stream_idle_timeout: -5s: must not be negative`,
			at + `path_normalization_options: not supported`,
			at + `max_request_headers_kb: 9000: value must be inside range (0, 8192]`,
			at + `access_log[0].typed_config.log_format: missing: Friday's own format goes to standard output only`,
			at + `rds.route_config_name: missing`,
			at + `rds.config_source.ads: missing: other sources are not supported`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := decode(t, tt.yaml, new(listenerv3.Listener))
			l, err := parser().Listener(m)
			require.Nil(t, l)
			require.Equal(t, tt.want, lines(t, `listener "`+m.GetName()+`": `, err))
		})
	}
}

func TestUnknownFieldNumbersAreRefused(t *testing.T) {
	t.Parallel()
	m := decode(t, listener(rds, "http_filters: ["+routerFilter+"]"), new(listenerv3.Listener))
	m.GetAddress().ProtoReflect().SetUnknown([]byte{0xc2, 0x3e, 0x00}) // field 1000, no bytes
	_, err := parser().Listener(m)
	require.EqualError(t, err, `listener "inference": address: field number 1000: unknown field of envoy.config.core.v3.Address`)
}

func TestManyProblemsAreCutShort(t *testing.T) {
	t.Parallel()
	m := decode(t, listener(rds, "http_filters: ["+strings.Repeat(`{name: a},`, 60)+routerFilter+"]"), new(listenerv3.Listener))
	_, err := parser().Listener(m)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 41)
	require.Equal(t, `listener "inference": and 20 more`, lines[40])
}

func TestUpgradeConfigs(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		yaml string
		want []string
		errs string
	}{
		"none":          {yaml: "{}"},
		"websocket":     {yaml: "{upgrade_configs: [{upgrade_type: WebSocket}]}", want: []string{"websocket"}},
		"not enabled":   {yaml: "{upgrade_configs: [{upgrade_type: websocket, enabled: false}, {upgrade_type: other, enabled: true}]}", want: []string{"other"}},
		"of no kind":    {yaml: "{upgrade_configs: [{}]}", errs: "upgrade_configs[0].upgrade_type: missing"},
		"CONNECT":       {yaml: "{upgrade_configs: [{upgrade_type: CONNECT}]}", errs: `upgrade_configs[0].upgrade_type: "CONNECT": not supported`},
		"twice":         {yaml: "{upgrade_configs: [{upgrade_type: a}, {upgrade_type: A}]}", errs: `upgrade_configs[1].upgrade_type: "A": there already`},
		"other filters": {yaml: "{upgrade_configs: [{upgrade_type: a, filters: [{name: x}]}]}", errs: "upgrade_configs[0].filters: not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := decode(t, listener(rds, "http_filters: ["+routerFilter+"]", "http2_protocol_options: {allow_connect: true}", strings.TrimSuffix(strings.TrimPrefix(tt.yaml, "{"), "}")), new(listenerv3.Listener))
			l, err := parser().Listener(m)
			if tt.errs != "" {
				require.ErrorContains(t, err, tt.errs)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, l.Chains[0].HTTP.Upgrades)
			require.True(t, l.Chains[0].HTTP.AllowConnect)
		})
	}
}

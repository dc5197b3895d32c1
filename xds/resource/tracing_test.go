package resource_test

import (
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/format"
	"github.com/fridaymesh/friday/proxy/tracing"
)

// tracedListener has tracing, and a route with fields of its own.
func tracedListener(tracing, route string) string {
	return listener(
		"tracing: "+tracing,
		"route_config: {name: r, validate_clusters: false, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: c}"+route+"}]}]}",
		"http_filters: ["+routerFilter+"]",
	)
}

// otlp is a provider of OpenTelemetry's.
func otlp(config string) string {
	return `{provider: {name: otel, typed_config: {"@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig, ` + config + `}}}`
}

func TestTracing(t *testing.T) {
	t.Setenv("FRIDAY_TEST_TEAM", "blue")
	parse := func(tracing, route string) (*config.HTTP, []string, []string) {
		l, err := parser().Listener(decode(t, tracedListener(tracing, route), new(listenerv3.Listener)))
		require.NoError(t, err)
		return l.Chains[0].HTTP, l.Clusters, l.LeftAside
	}
	h, clusters, _ := parse(`{
      client_sampling: {value: 100}, random_sampling: {value: 1}, max_path_tag_length: 64, operation: 'in %REQ(:METHOD)%', custom_tags: [
        {tag: literal, literal: {value: '100% sure'}}, {tag: team, environment: {name: FRIDAY_TEST_TEAM}}, {tag: none, environment: {name: FRIDAY_TEST_NONE, default_value: d}},
        {tag: agent, request_header: {name: user-agent, default_value: nobody}}, {tag: other, request_header: {name: x-none, default_value: nobody}},
        {tag: policy, metadata: {kind: {request: {}}, metadata_key: {key: rbac, path: [{key: id}]}}},
        {tag: route, metadata: {kind: {route: {}}, metadata_key: {key: a, path: [{key: b}]}, default_value: unknown}},
        {tag: path, value: '%REQ(:PATH)%'}]}`,
		", tracing: {random_sampling: {numerator: 5, denominator: TEN_THOUSAND}}, decorator: {operation: 'svc:80/*'}")
	c := h.Tracing
	require.Equal(t, tracing.Sampling{Client: 1, Random: 0.01, Overall: 1}, c.Sampling)
	require.Equal(t, 64, c.MaxPath)
	require.Nil(t, c.Collector)
	require.Equal(t, []string{"c"}, clusters)
	head := new(fasthttp.RequestHeader)
	head.SetMethod("POST")
	head.SetRequestURI("/p")
	head.Set("User-Agent", "curl")
	req := &proxy.Request{Header: head, Body: proxy.NoBody}
	req.SetMetadata("rbac", "id", "p1")
	got := map[string]string{}
	for _, tag := range c.Tags {
		got[tag.Name] = tag.Value.String(&format.Facts{Request: req})
	}
	require.Equal(t, map[string]string{
		"literal": "100% sure", "team": "blue", "none": "d", "agent": "curl", "other": "nobody", "policy": "p1", "route": "unknown", "path": "/p",
	}, got)
	require.Equal(t, "in POST", c.Name.String(&format.Facts{Request: req}))
	route := h.Table.VirtualHosts[0].Routes[0].Tracing
	require.Equal(t, &tracing.Sampling{Client: 1, Random: 0.0005, Overall: 1}, route.Sampling)
	require.Equal(t, "svc:80/*", route.Name.String(&format.Facts{Request: req}))

	h, clusters, _ = parse(otlp("service_name: embed, grpc_service: {envoy_grpc: {cluster_name: otel, authority: otel.example}, timeout: 2s, initial_metadata: [{key: Token, value: t}]}"), "")
	require.NotEmpty(t, h.Tracing.Collector.ID)
	h.Tracing.Collector.ID = ""
	require.Equal(t, &tracing.Collector{
		Service: "embed", Cluster: "otel", GRPC: true, Host: "otel.example", Timeout: 2 * time.Second, Headers: [][2]string{{"token", "t"}},
	}, h.Tracing.Collector)
	require.Contains(t, clusters, "otel")

	h, _, _ = parse(otlp("http_service: {http_uri: {uri: 'http://otel:4318/v1/traces', cluster: otel, timeout: 1s}, request_headers_to_add: [{header: {key: x-token, value: t}}]}"), "")
	h.Tracing.Collector.ID = ""
	require.Equal(t, &tracing.Collector{
		Cluster: "otel", Host: "otel:4318", Path: "/v1/traces", Timeout: time.Second, Headers: [][2]string{{"x-token", "t"}},
	}, h.Tracing.Collector)

	h, _, aside := parse(`{provider: {name: z, typed_config: {"@type": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/envoy.config.trace.v3.ZipkinConfig}}}`, "")
	require.Nil(t, h.Tracing)
	require.Len(t, aside, 1)
	require.Contains(t, aside[0], "tracing.provider.typed_config")
}

func TestTracingIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, tracing, want string }{
		{"nowhere", otlp("service_name: a"), ".provider.typed_config: missing: grpc_service or http_service"},
		{"two places", otlp("grpc_service: {envoy_grpc: {cluster_name: a}}, http_service: {http_uri: {uri: 'http://a/', cluster: a, timeout: 1s}}"), ".provider.typed_config: one of grpc_service and http_service, not both"},
		{"no cluster", otlp("grpc_service: {google_grpc: {target_uri: a, stat_prefix: b}}"), ".provider.typed_config.grpc_service.google_grpc: not supported"},
		{"no host", otlp("http_service: {http_uri: {uri: /v1/traces, cluster: a, timeout: 1s}}"), `.provider.typed_config.http_service.http_uri.uri: "/v1/traces": must have a host: http://collector:4318/v1/traces`},
		{"a bad name", "{operation: '%NO%'}", ".operation: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := parser().Listener(decode(t, tracedListener(c.tracing, ""), new(listenerv3.Listener)))
			require.ErrorContains(t, err, "filter_chains[0].filters[0].typed_config.tracing"+c.want)
		})
	}
}

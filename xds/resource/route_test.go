package resource_test

import (
	"strings"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/router"
	batchv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/batch/v1"
)

func TestRouteTable(t *testing.T) {
	t.Parallel()
	m := decode(t, `
name: r
validate_clusters: true
typed_per_filter_config:
  common: {"@type": type.googleapis.com/friday.filters.http.batch.v1.Batch, disabled: true}
  batch: {"@type": type.googleapis.com/friday.filters.http.batch.v1.Batch, disabled: true}
virtual_hosts:
- name: v
  domains: [example.com, "*.example.com", "example.*", "*"]
  typed_per_filter_config:
    batch: {"@type": type.googleapis.com/friday.filters.http.batch.v1.Batch, max_batch_size: 4}
  routes:
  - name: one
    match:
      path: /v1/embeddings
      case_sensitive: false
      headers:
      - {name: ":method", exact_match: POST}
      - {name: a, string_match: {prefix: x, ignore_case: true}, invert_match: true, treat_missing_header_as_empty: true}
      - {name: b, present_match: false}
      - {name: c}
      - {name: d, safe_regex_match: {google_re2: {}, regex: "a|ab"}}
      - {name: e, suffix_match: s}
      - {name: f, contains_match: s}
      - {name: g, prefix_match: s}
      query_parameters:
      - {name: q, string_match: {safe_regex: {regex: "[0-9]+"}, ignore_case: true}}
      - {name: r, present_match: true}
      - {name: s}
    route:
      timeout: 0s
      prefix_rewrite: /embed
      host_rewrite_literal: models
      weighted_clusters:
        total_weight: 100
        clusters:
        - {name: blue, weight: 90}
        - name: green
          weight: 10
          typed_per_filter_config:
            batch: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}
            foreign: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, is_optional: true, config: {"@type": type.googleapis.com/xds.type.v3.TypedStruct, type_url: a/b.C}}
            wrapped: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {"@type": type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/friday.filters.http.batch.v1.Batch, value: {max_batch_size: 2}}}
  - match: {safe_regex: {regex: "/v[12]/.*"}}
    decorator: {operation: x}
    route: {cluster: blue, timeout: 2.5s}
  - match: {prefix: /}
    direct_response: {status: 404, body: {inline_string: nothing here}}
`, new(routev3.RouteConfiguration))
	table, err := parser().RouteTable(m)
	require.NoError(t, err)
	require.True(t, table.ValidateClusters)
	require.Equal(t, "r", table.Name)
	require.Len(t, table.VirtualHosts, 1)
	host := table.VirtualHosts[0]
	require.Equal(t, []string{"example.com", "*.example.com", "example.*", "*"}, host.Domains)
	size := func(o config.Override) uint32 { return o.Config.(*batchv1.Batch).GetMaxBatchSize().GetValue() }
	require.Len(t, host.Overrides, 2)
	require.EqualValues(t, 4, size(host.Overrides["batch"]), "the virtual host's own wins over the table's")
	require.True(t, host.Overrides["common"].Config.(*batchv1.Batch).GetDisabled())

	require.Len(t, host.Routes, 3)
	one := host.Routes[0]
	require.Equal(t, "one", one.Name)
	require.Zero(t, one.Timeout)
	require.Equal(t, "/embed", *one.Forward.Rewrite.Prefix)
	require.Equal(t, "models", one.Forward.Rewrite.Host)
	require.Equal(t, "/v1/embeddings", one.Match.Path)
	require.True(t, one.Match.IgnoreCase)
	headers := one.Match.Headers
	require.Equal(t, `\A(?:a|ab)\z`, headers[4].Value.Regex.String())
	require.Equal(t, "ab", headers[4].Value.Regex.FindString("ab"), "the longer alternative")
	headers[4].Value.Regex = nil
	require.Equal(t, []router.HeaderMatch{
		{Name: ":method", Value: &router.StringMatch{Text: "POST"}},
		{Name: "a", Value: &router.StringMatch{Kind: router.Prefix, Text: "x", IgnoreCase: true}, Invert: true, TreatMissingAsEmpty: true},
		{Name: "b"},
		{Name: "c", Present: true},
		{Name: "d", Value: &router.StringMatch{Kind: router.Regex}},
		{Name: "e", Value: &router.StringMatch{Kind: router.Suffix, Text: "s"}},
		{Name: "f", Value: &router.StringMatch{Kind: router.Contains, Text: "s"}},
		{Name: "g", Value: &router.StringMatch{Kind: router.Prefix, Text: "s"}},
	}, headers)
	query := one.Match.Query
	require.Len(t, query, 3)
	require.Equal(t, router.Regex, query[0].Value.Kind)
	require.False(t, query[0].Value.IgnoreCase)
	require.Equal(t, []router.QueryMatch{{Name: "r", Present: true}, {Name: "s", Present: true}}, query[1:])
	require.Len(t, one.Clusters, 2)
	require.Equal(t, config.WeightedCluster{Name: "blue", Weight: 90}, one.Clusters[0])
	require.EqualValues(t, 10, one.Clusters[1].Weight)
	require.Len(t, one.Clusters[1].Overrides, 2, "the foreign one is excused")
	require.True(t, one.Clusters[1].Overrides["batch"].Disabled)
	require.EqualValues(t, 2, size(one.Clusters[1].Overrides["wrapped"]))

	require.True(t, host.Routes[1].Match.Regex.MatchString("/v1/x"))
	require.Equal(t, 2500*time.Millisecond, host.Routes[1].Timeout)
	require.Equal(t, &config.DirectResponse{Status: 404, Body: "nothing here"}, host.Routes[2].Direct)
	require.Equal(t, "/", host.Routes[2].Match.Prefix)
}

func TestRouteTableErrors(t *testing.T) {
	t.Parallel()
	hosts := func(routes ...string) string {
		return `{name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [` + strings.Join(routes, ", ") + `]}]}`
	}
	const at, to = "virtual_hosts[0].routes[0].", `route: {cluster: c}`
	for name, tt := range map[string]struct {
		yaml string
		want []string
	}{
		"nameless": {yaml: `{}`, want: []string{`name: missing`}},
		"domains": {yaml: `{name: r, virtual_hosts: [{name: a}, {name: b, domains: ["A.com", "*.b.*", "a*b", "*"]}, {domains: ["a.COM", "**"]}]}`, want: []string{
			`virtual_hosts[0].domains: value must contain at least 1 item(s)`,
			`virtual_hosts[2].name: value length must be at least 1 runes`,
			`virtual_hosts[1].domains[1]: "*.b.*": not a domain, *.suffix, prefix.* or *`,
			`virtual_hosts[1].domains[2]: "a*b": not a domain, *.suffix, prefix.* or *`,
			`virtual_hosts[2].domains[0]: "a.COM": stands at virtual_hosts[1].domains[0] already`,
			`virtual_hosts[2].domains[1]: "**": not a domain, *.suffix, prefix.* or *`,
		}},
		"no match, no action": {yaml: hosts(`{}`), want: []string{
			at + `match: value is required`,
			at + `route|redirect|direct_response|non_forwarding_action: value is required`,
		}},
		"an empty match":     {yaml: hosts(`{match: {}, ` + to + `}`), want: []string{at + `match.prefix|path|safe_regex|path_separated_prefix: value is required`}},
		"no cluster":         {yaml: hosts(`{match: {prefix: /}, route: {}}`), want: []string{at + `route.cluster|cluster_header|weighted_clusters: value is required`}},
		"a bad regex":        {yaml: hosts(`{match: {safe_regex: {regex: "a)(b"}}, ` + to + `}`), want: []string{at + `match.safe_regex.regex: "a)(b": error parsing regexp: unexpected ): ` + "`a)(b`"}},
		"a path that is not": {yaml: hosts(`{match: {path: ""}, ` + to + `}`), want: []string{at + `match.path: "": no request has an empty path`}},
		"hash policy": {yaml: hosts(`{match: {prefix: /}, route: {cluster: c, hash_policy: [{terminal: true}, {filter_state: {key: a}}]}}`), want: []string{
			at + `route.hash_policy[1].filter_state: not supported`,
			at + `route.hash_policy[0].header|cookie|connection_properties|query_parameter: value is required`,
		}},
		"retry policy": {yaml: hosts(`{match: {prefix: /}, route: {cluster: c, retry_policy: {retry_on: "5xx,sometimes", retry_priority: {name: a}, retry_back_off: {base_interval: 1s, max_interval: 0.5s}}}}`), want: []string{
			at + `route.retry_policy.retry_priority: not supported`,
			at + `route.retry_policy.retry_on: "5xx,sometimes": "sometimes" is not a condition that is known`,
			at + `route.retry_policy.retry_back_off.max_interval: 500ms: less than base_interval`,
		}},
		"header mutations": {yaml: hosts(`{match: {prefix: /}, ` + to + `, request_headers_to_remove: [Host], request_headers_to_add: [{header: {key: ":path", value: x}}, {header: {key: a, value: "%NO%"}}]}`), want: []string{
			at + `request_headers_to_add[0].header.key: ":path": :-prefixed or host headers may not be modified`,
			at + `request_headers_to_add[1].header.value: "%NO%": NO: not a command that is known`,
			at + `request_headers_to_remove[0]: "Host": :-prefixed or host headers may not be modified`,
		}},
		"mirror": {yaml: hosts(`{match: {prefix: /}, route: {cluster: c, request_mirror_policies: [{}]}}`), want: []string{
			at + `route.request_mirror_policies[0]: exactly one of cluster and cluster_header must be set`,
		}},
		"redirect": {yaml: hosts(`{match: {prefix: /}, redirect: {regex_rewrite: {pattern: {regex: "a("}, substitution: "\\9"}}}`), want: []string{at + `redirect.regex_rewrite.pattern.regex: "a(": error parsing regexp: missing closing ): ` + "`a(`"}},
		"more matches": {yaml: hosts(`{match: {path_separated_prefix: /a/, dynamic_metadata: [{}], headers: [{name: ":scheme"}, {name: ""}]}, ` + to + `}`), want: []string{
			at + `match.dynamic_metadata: not supported`,
			at + `match.headers[1].name: value length must be at least 1 runes`,
			at + `match.path_separated_prefix: /a/: value does not match regex pattern "^[^?#]+[^?#/]$"`,
			at + `match.headers[0].name: ":scheme": not supported yet, only :method, :path, :authority`,
		}},
		"weights": {yaml: hosts(`{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: a, weight: 0}, {weight: 0}, {name: b}]}}}`), want: []string{
			at + `route.weighted_clusters.clusters[1].name: exactly one of name and cluster_header must be set`,
			at + `route.weighted_clusters.clusters[2].weight: missing`,
			at + `route.weighted_clusters.clusters: total weight 0: must be 1 to 4294967295`,
		}},
		"weights beyond 32 bits": {yaml: hosts(`{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: a, weight: 4294967295}, {name: b, weight: 1}]}}}`), want: []string{
			at + `route.weighted_clusters.clusters: total weight 4294967296: must be 1 to 4294967295`,
		}},
		"rewrites": {yaml: hosts(`{match: {safe_regex: {regex: a}}, route: {cluster: c, prefix_rewrite: /b, regex_rewrite: {pattern: {regex: a}, substitution: "\\1"}}}`), want: []string{
			at + `route.regex_rewrite.substitution: "\\1": names a group that the pattern does not have`,
			at + `route: only one of prefix_rewrite, regex_rewrite and path_rewrite may be set`,
		}},
		"timeout": {yaml: hosts(`{match: {prefix: /}, route: {cluster: c, timeout: -1s}}`), want: []string{at + `route.timeout: -1s: must not be negative`}},
		"direct response": {yaml: hosts(`{match: {prefix: /}, direct_response: {status: 99, body: {filename: /x}}}`, `{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: `+strings.Repeat("x", 4097)+`}}}`), want: []string{
			at + `direct_response.body.filename: /x: not supported`,
			at + `direct_response.status: 99: value must be inside range [200, 600)`,
			`virtual_hosts[0].routes[1].direct_response.body: 4097 bytes: more than max_direct_response_body_size_bytes, 4096`,
		}},
		"overrides": {yaml: hosts(`{match: {prefix: /}, ` + to + `, typed_per_filter_config: {
			a: {"@type": type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/friday.filters.http.batch.v1.Batch, value: {max: 1}},
			b: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig},
			c: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, is_optional: true, config: {"@type": type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/friday.filters.http.batch.v1.Batch, value: {disabled: 7}}},
			d: {"@type": type.googleapis.com/xds.type.v3.TypedStruct, type_url: a/b.C}}}`), want: []string{
			at + `typed_per_filter_config["a"]: max: unknown field`,
			at + `typed_per_filter_config["b"].config: missing`,
			at + `typed_per_filter_config["c"].config: disabled: 7: not a bool`,
			at + `typed_per_filter_config["d"]: unknown filter type: "a/b.C" (known: ["type.googleapis.com/friday.filters.http.batch.v1.Batch"])`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := decode(t, tt.yaml, new(routev3.RouteConfiguration))
			table, err := parser().RouteTable(m)
			require.Nil(t, table)
			require.Equal(t, tt.want, lines(t, `route "`+m.GetName()+`": `, err))
		})
	}
}

func TestRouteTablesDoNotShareWhatTheyParsed(t *testing.T) {
	t.Parallel()
	m := decode(t, `{name: r, virtual_hosts: [{name: v, domains: ["*"]}]}`, new(routev3.RouteConfiguration))
	a, err := parser().RouteTable(m)
	require.NoError(t, err)
	b, err := parser().RouteTable(proto.CloneOf(m))
	require.NoError(t, err)
	require.Equal(t, a, b)
	require.False(t, a.ValidateClusters, "Envoy's default by RDS")
}

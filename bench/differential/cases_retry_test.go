//go:build interop

package differential

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func retryCases() []Case {
	policy := func(p string) Config { return one(`prefix: /`, `timeout: 5s, retry_policy: {`+p+`}`) }
	return []Case{
		{Name: "retry on 5xx", Config: policy(`retry_on: 5xx, num_retries: 2`), Requests: []Request{{Play: "status=500 first=1"}, {Play: "status=503 first=2"}, {Play: "status=503 first=3"}, {Play: "status=404"}, {Play: "abort first=1"}, {Method: "POST", Body: "again", Play: "status=500 first=2"}}},
		{Name: "retry once by default", Config: policy(`retry_on: 5xx`), Requests: []Request{{Play: "status=500 first=1"}, {Play: "status=500 first=2"}}},
		{Name: "no retries", Config: policy(`retry_on: 5xx, num_retries: 0`), Requests: []Request{{Play: "status=500 first=1"}}},
		{Name: "retry on gateway errors", Config: policy(`retry_on: gateway-error`), Requests: []Request{{Play: "status=500 first=1"}, {Play: "status=502 first=1"}, {Play: "status=503 first=1"}, {Play: "status=504 first=1"}}},
		{Name: "retry on statuses", Config: policy(`retry_on: retriable-status-codes, retriable_status_codes: [418, 429]`), Requests: []Request{{Play: "status=418 first=1"}, {Play: "status=429 first=1"}, {Play: "status=500 first=1"}}},
		{Name: "statuses alone", Config: policy(`retry_on: connect-failure, retriable_status_codes: [418]`), Requests: []Request{{Play: "status=418 first=1"}}},
		{Name: "retry on 409", Config: policy(`retry_on: retriable-4xx`), Requests: []Request{{Play: "status=409 first=1"}, {Play: "status=404 first=1"}}},
		{Name: "retry on headers", Config: policy(`retry_on: retriable-headers, retriable_headers: [{name: x-again, string_match: {exact: "yes"}}, {name: ":status", string_match: {exact: "418"}}]`), Requests: []Request{{Play: "set=x-again:yes first=1"}, {Play: "set=x-again:no first=1"}, {Play: "status=418 first=1"}}},
		{Name: "only some requests", Config: policy(`retry_on: 5xx, retriable_request_headers: [{name: ":method", string_match: {exact: GET}}]`), Requests: []Request{{Play: "status=500 first=1"}, {Method: "POST", Body: "x", Play: "status=500 first=1"}}},
		{Name: "retry on reset", Config: policy(`retry_on: reset, num_retries: 2`), Requests: []Request{{Play: "abort first=1"}, {Play: "status=500 first=1"}}},
		{Name: "connect-failure does not mean reset", Config: policy(`retry_on: connect-failure, num_retries: 2`), Requests: []Request{{Play: "abort first=1"}}},
		{Name: "nor does refused-stream", Config: policy(`retry_on: "refused-stream,unavailable,cancelled", num_retries: 2`), Requests: []Request{{Play: "abort first=1"}, {Play: "status=503 first=1"}}},
		{Name: "ratelimited answers", Config: policy(`retry_on: "5xx,envoy-ratelimited"`), Requests: []Request{{Play: "status=429 set=x-envoy-ratelimited:true first=1"}}},
		{Name: "ratelimited answers are not 5xx", Config: policy(`retry_on: 5xx`), Requests: []Request{{Play: "status=503 set=x-envoy-ratelimited:true first=1"}}},
		{Name: "the virtual host's policy", Config: Config{VirtualHosts: `[{name: v, domains: ["*"], retry_policy: {retry_on: 5xx, num_retries: 1}, routes: [{match: {prefix: /none}, route: {cluster: a, retry_policy: {retry_on: gateway-error}}}, {match: {prefix: /}, route: {cluster: a}}]}]`}, Requests: []Request{{Play: "status=500 first=1"}, {Path: "/none", Play: "status=500 first=1"}}},
		{
			Name:   "elsewhere",
			Config: Config{Routes: `[{match: {prefix: /}, route: {cluster: abc, retry_policy: {retry_on: 5xx, num_retries: 2, retry_host_predicate: [{name: p, typed_config: {'@type': type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}], host_selection_retry_max_attempts: 20}}}]`},
			Each: func(t *testing.T, s *side) any {
				t.Helper()
				for range 6 {
					a, err := s.send(t.Context(), &Request{Play: "status=503"})
					require.NoError(t, err)
					reached := map[string]bool{}
					for _, one := range a.Seen {
						reached[one.Endpoint] = true
					}
					assert.Len(t, reached, 3, "%s: each endpoint once", s.name)
				}
				return nil
			},
		},
		{
			Name:     "per try timeout",
			Config:   policy(`retry_on: 5xx, num_retries: 1, per_try_timeout: 0.3s`),
			Requests: []Request{{Play: "delay=2s first=1", Borders: borders(250, 1500)}, {Play: "delay=2s", Borders: borders(550, 1700)}},
		},
		{
			Name:     "timeout over all tries",
			Config:   one(`prefix: /`, `timeout: 0.5s, retry_policy: {retry_on: 5xx, num_retries: 9, per_try_timeout: 0.3s}`),
			Requests: []Request{{Play: "delay=5s", Borders: borders(450, 2000)}},
		},
		{Name: "timeout", Config: one(`prefix: /`, `timeout: 0.3s`), Requests: []Request{{Play: "delay=3s", Borders: borders(250, 2000)}, {}}},
		{Name: "no timeout", Config: one(`prefix: /`, `timeout: 0s`), Requests: []Request{{Play: "delay=600ms", Borders: borders(500)}}},
		{Name: "max stream duration", Config: one(`prefix: /`, `timeout: 0s, max_stream_duration: {max_stream_duration: 0.3s}`), Requests: []Request{{Play: "delay=3s", Borders: borders(250, 2000)}, {}}},
		{Name: "idle timeout", Config: one(`prefix: /`, `timeout: 0s, idle_timeout: 0.3s`), Requests: []Request{{Play: "delay=3s", Borders: borders(250, 2000)}, {}}},
		{
			Name:     "back-off",
			Config:   policy(`retry_on: 5xx, num_retries: 2, rate_limited_retry_back_off: {reset_headers: [{name: retry-after, format: SECONDS}], max_interval: 10s}`),
			Requests: []Request{{Play: "status=503 set=retry-after:1 first=1", Borders: borders(950, 4000)}, {Play: "status=503 set=retry-after:100 first=1", Borders: borders(950)}},
		},
		{Name: "connecting fails", Config: Config{Routes: `[{match: {prefix: /}, route: {cluster: gone}}]`}, Requests: get("/"), Allow: []string{"failure text"}},
		{Name: "no endpoint", Config: Config{Routes: `[{match: {prefix: /}, route: {cluster: empty}}]`}, Requests: get("/")},
		{Name: "the server closes", Config: Config{Routes: `[{match: {prefix: /}, route: {cluster: a}}]`}, Requests: []Request{{Play: "abort"}}, Allow: []string{"failure text"}},
	}
}

// borders are in milliseconds.
func borders(ms ...int) (all []time.Duration) {
	for _, n := range ms {
		all = append(all, time.Duration(n)*time.Millisecond)
	}
	return all
}

// shares sends n requests and asserts by chi-square (p = 0.001) that endpoints are reached
// in proportion to weights.
func shares(n int, weights map[string]float64) func(t *testing.T, s *side) any {
	return func(t *testing.T, s *side) any {
		t.Helper()
		count := map[string]float64{}
		for range n {
			a, err := s.send(t.Context(), &Request{})
			require.NoError(t, err)
			count[a.Header.Get("X-Endpoint")]++
		}
		var sum, chi float64
		free := -1.0
		for _, w := range weights {
			sum += w
		}
		for name, w := range weights {
			if w == 0 {
				assert.Zero(t, count[name], "%s: %s", s.name, name)
				continue
			}
			expected := float64(n) * w / sum
			chi += (count[name] - expected) * (count[name] - expected) / expected
			free++
		}
		// Wilson and Hilferty's approximation of the quantile.
		limit := free * math.Pow(1-2/(9*free)+3.09*math.Sqrt(2/(9*free)), 3)
		assert.Less(t, chi, limit, "%s: %v", s.name, count)
		return len(weights)
	}
}

func weightCases() []Case {
	weighted := func(fields string) Config {
		return Config{Routes: `[{match: {prefix: /}, route: {weighted_clusters: {` + fields + `}}}]`}
	}
	return []Case{
		{Name: "weighted clusters", Config: weighted(`clusters: [{name: a, weight: 50}, {name: b, weight: 30}, {name: c, weight: 20}]`), Each: shares(1500, map[string]float64{"a": 50, "b": 30, "c": 20})},
		{Name: "a weight of zero", Config: weighted(`clusters: [{name: a, weight: 0}, {name: b, weight: 3}, {name: c, weight: 1}]`), Each: shares(600, map[string]float64{"a": 0, "b": 3, "c": 1})},
		{Name: "weights by a header's number", Config: weighted(`header_name: x-n, clusters: [{name: a, weight: 10}, {name: b, weight: 20}, {name: c, weight: 70}]`), Requests: with("x-n: 0", "x-n: 9", "x-n: 10", "x-n: 29", "x-n: 30", "x-n: 99", "x-n: 100", "x-n: 12345678901")},
		{Name: "weights with clusters by header", Config: weighted(`clusters: [{cluster_header: x-to, weight: 1}]`), Requests: with("x-to: a", "x-to: b", "")},
		{
			Name:   "weights by hash",
			Config: Config{Routes: `[{match: {prefix: /}, route: {hash_policy: [{header: {header_name: x-k}}], weighted_clusters: {use_hash_policy: true, clusters: [{name: a, weight: 50}, {name: b, weight: 50}]}}}]`},
			Each: func(t *testing.T, s *side) any {
				t.Helper()
				reached := map[string]bool{}
				for i := range 40 {
					var first string
					for range 3 {
						a, err := s.send(t.Context(), &Request{Header: []string{"x-k: key" + strconv.Itoa(i)}})
						require.NoError(t, err)
						if first == "" {
							first = a.Header.Get("X-Endpoint")
						}
						assert.Equal(t, first, a.Header.Get("X-Endpoint"), "%s: one key, one cluster", s.name)
					}
					reached[first] = true
				}
				return len(reached)
			},
		},
	}
}

func mirrorCases() []Case {
	mirror := func(p string) Config { return one(`prefix: /`, `request_mirror_policies: [`+p+`]`) }
	return []Case{
		{Name: "mirror", Config: mirror(`{cluster: b}`), Requests: []Request{{Path: "/x?y", Settle: 2}, {Host: "h.test:80", Settle: 2}, {Method: "POST", Body: "hello", Settle: 2}}, Allow: []string{"mirrored requests"}},
		{Name: "mirror with the same host", Config: mirror(`{cluster: b, disable_shadow_host_suffix_append: true}`), Requests: []Request{{Settle: 2}}, Allow: []string{"mirrored requests"}},
		{Name: "mirror by header", Config: mirror(`{cluster_header: x-m}`), Requests: []Request{{Header: []string{"x-m: b"}, Settle: 2}}, Allow: []string{"mirrored requests"}},
		{Name: "two mirrors, one of nothing", Config: mirror(`{cluster: b}, {cluster: c, runtime_fraction: {default_value: {numerator: 0}}}`), Requests: []Request{{Settle: 2}}, Allow: []string{"mirrored requests"}},
		{Name: "mirror with other headers", Config: mirror(`{cluster: b, host_rewrite_literal: m.test, request_headers_mutations: [{append: {header: {key: x-mirror, value: "%REQ(:METHOD)%"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}, {remove: x-a}]}`), Requests: []Request{{Header: []string{"x-a: 1"}, Settle: 2}}, Allow: []string{"mirrored requests"}},
		{Name: "mirror that fails", Config: mirror(`{cluster: gone}`), Requests: []Request{{}}},
	}
}

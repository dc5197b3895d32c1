//go:build interop

package differential

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// member is an endpoint of a cluster; more are further fields of the LbEndpoint.
func member(name string, more ...string) string {
	return `{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: "${` + name + `}"}}}` + strings.Join(append([]string{""}, more...), ", ") + `}`
}

// group is a LocalityLbEndpoints of members; fields are its further ones.
func group(fields string, members ...string) string {
	return `{` + fields + ` lb_endpoints: [` + strings.Join(members, ", ") + `]}`
}

// fresh numbers the clusters: each is new, so that nothing is kept from a case before.
var fresh atomic.Int64

// pick is a STATIC cluster with one route to it.
func pick(fields string, groups ...string) Config {
	name := fmt.Sprint("x", fresh.Add(1))
	return Config{Routes: to(name), Clusters: `[` + static(name, fields, groups...) + `]`}
}

func to(name string) string {
	return `[{match: {prefix: /}, route: {cluster: ` + name + `, hash_policy: [{header: {header_name: key}}]}}]`
}

func static(name, fields string, groups ...string) string {
	return `{name: ` + name + `, connect_timeout: 1s, ` + fields + ` load_assignment: {cluster_name: ` + name + `, endpoints: [` + strings.Join(groups, ", ") + `]}}`
}

// byKey is which endpoint each of many keys leads to.
func byKey(t *testing.T, s *side) any {
	t.Helper()
	got := map[string]string{}
	for i := range 60 {
		key := fmt.Sprintf("caller-%d", i)
		got[key] = reached(t, s, &Request{Header: []string{"key: " + key}})
	}
	return got
}

// reached is the endpoint that answered, or the status where none did.
func reached(t *testing.T, s *side, r *Request) string {
	t.Helper()
	a, err := s.send(t.Context(), r)
	switch {
	case err != nil:
		return "no answer"
	case len(a.Seen) == 0:
		return fmt.Sprint(a.Status)
	}
	return a.Seen[len(a.Seen)-1].Endpoint
}

// counts is how often each endpoint is reached.
func counts(t *testing.T, s *side, n int) map[string]int {
	t.Helper()
	got := map[string]int{}
	for range n {
		got[reached(t, s, &Request{})]++
	}
	return got
}

// who is which endpoints are reached at all.
func who(n int) func(t *testing.T, s *side) any {
	return func(t *testing.T, s *side) any {
		t.Helper()
		var names []string
		for name := range counts(t, s, n) {
			names = append(names, name)
		}
		slices.Sort(names)
		return names
	}
}

// exactly is the number of times that each is reached.
func exactly(n int) func(t *testing.T, s *side) any {
	return func(t *testing.T, s *side) any { t.Helper(); return counts(t, s, n) }
}

// nearly says whether each is reached as often as expected, in percent, give or take
// what chance may do to 600 requests (five standard deviations at most).
func nearly(want map[string]float64) func(t *testing.T, s *side) any {
	return func(t *testing.T, s *side) any {
		t.Helper()
		const n = 600
		got := counts(t, s, n)
		ok := map[string]bool{}
		for name, percent := range want {
			share := 100 * float64(got[name]) / n
			ok[name] = share > percent-10 && share < percent+10
		}
		t.Logf("%s: %v", s.name, got)
		return ok
	}
}

// together sends requests at once, each as soon as the one before has reached its
// endpoint or been answered, and tells the statuses.
func together(n int, r Request) func(t *testing.T, s *side) any {
	return func(t *testing.T, s *side) any {
		t.Helper()
		var mu sync.Mutex
		var wg sync.WaitGroup
		var statuses []int
		for range n {
			wg.Go(func() {
				status := 0
				if a, err := s.send(t.Context(), &r); err == nil {
					status = a.Status
				}
				mu.Lock()
				defer mu.Unlock()
				statuses = append(statuses, status)
			})
			time.Sleep(50 * time.Millisecond)
		}
		wg.Wait()
		slices.Sort(statuses)
		return statuses
	}
}

// until asks again and again whether a number of requests reach just these, and tells
// whether they do at last.
func until(names ...string) func(t *testing.T, s *side) any {
	return again(who(20), func(got any) bool { return slices.Equal(got.([]string), names) })
}

// untilOne is until just one is reached, whoever it is: it returns how many are.
func untilOne(t *testing.T, s *side) any {
	t.Helper()
	ask := func(t *testing.T, s *side) any { t.Helper(); return len(counts(t, s, 6)) }
	return again(ask, func(got any) bool { return got == 1 })(t, s)
}

// again asks until what it gets is good, or patience is at its end, and tells the last.
func again(ask func(t *testing.T, s *side) any, good func(got any) bool) func(t *testing.T, s *side) any {
	return func(t *testing.T, s *side) any {
		t.Helper()
		var got any
		for deadline := time.Now().Add(patience / 2); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if got = ask(t, s); good(got) {
				break
			}
		}
		return got
	}
}

func hashCases() []Case {
	abcd := group("", member("a"), member("b"), member("c"), member("d"))
	weighted := group("", member("a"), member("b", "load_balancing_weight: 3"), member("c", "load_balancing_weight: 5"))
	return []Case{
		{Name: "ring hash", Config: pick("lb_policy: RING_HASH,", abcd), Each: byKey, Then: []Step{
			{Config: pick("lb_policy: RING_HASH,", group("", member("a"), member("b"), member("d"))), Each: byKey},
		}},
		{Name: "ring hash by weight", Config: pick("lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 200, maximum_ring_size: 3000},", weighted), Each: byKey},
		{Name: "ring hash with MurmurHash2", Config: pick("lb_policy: RING_HASH, ring_hash_lb_config: {hash_function: MURMUR_HASH_2},", abcd), Each: byKey},
		{Name: "ring hash by metadata", Config: pick("lb_policy: RING_HASH,", group("",
			member("a", "metadata: {filter_metadata: {envoy.lb: {hash_key: one}}}"), member("b", "metadata: {filter_metadata: {envoy.lb: {hash_key: two}}}"), member("c"))), Each: byKey},
		{Name: "ring hash by hostname", Config: pick("type: STRICT_DNS, lb_policy: RING_HASH, common_lb_config: {consistent_hashing_lb_config: {use_hostname_for_hashing: true}},", group("",
			`{endpoint: {hostname: h1, address: {socket_address: {address: 127.0.0.1, port_value: "${a}"}}}}`,
			`{endpoint: {hostname: h2, address: {socket_address: {address: 127.0.0.1, port_value: "${b}"}}}}`)), Each: byKey},
		{Name: "ring hash with localities", Config: pick("lb_policy: RING_HASH, common_lb_config: {locality_weighted_lb_config: {}},",
			group("locality: {zone: one}, load_balancing_weight: 1,", member("a"), member("b")),
			group("locality: {zone: two}, load_balancing_weight: 3,", member("c"))), Each: byKey},
		{Name: "maglev", Config: pick("lb_policy: MAGLEV,", abcd), Each: byKey, Then: []Step{
			{Config: pick("lb_policy: MAGLEV,", group("", member("d"), member("a"), member("c"))), Each: byKey},
		}},
		{Name: "maglev by weight, of another size", Config: pick("lb_policy: MAGLEV, maglev_lb_config: {table_size: 1009},", weighted), Each: byKey},
		{Name: "typed ring hash", Config: pick(`load_balancing_policy: {policies: [
			{typed_extension_config: {name: ring, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash, minimum_ring_size: 512}}}]},`, abcd), Each: byKey},
		{Name: "typed maglev", Config: pick(`load_balancing_policy: {policies: [
			{typed_extension_config: {name: maglev, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.maglev.v3.Maglev}}}]},`, abcd), Each: byKey},
		{Name: "an unhealthy endpoint of a ring", Config: pick("lb_policy: RING_HASH,", group("", member("a"), member("b", "health_status: UNHEALTHY"), member("c"))), Each: byKey},
	}
}

func balanceCases() []Case {
	return []Case{
		{Name: "round robin by weight", Config: pick("", group("", member("a", "load_balancing_weight: 3"), member("b", "load_balancing_weight: 1"))), Each: exactly(40)},
		{Name: "random", Config: pick("lb_policy: RANDOM,", group("", member("a"), member("b"))), Each: nearly(map[string]float64{"a": 50, "b": 50})},
		{Name: "least request", Config: pick("lb_policy: LEAST_REQUEST, least_request_lb_config: {choice_count: 2},", group("", member("a"), member("b"), member("c"))), Each: nearly(map[string]float64{"a": 33, "b": 33, "c": 33})},
		{Name: "least request by weight", Config: pick("lb_policy: LEAST_REQUEST,", group("", member("a", "load_balancing_weight: 4"), member("b"))), Each: nearly(map[string]float64{"a": 80, "b": 20})},
		{Name: "least request stays off who is busy", Config: pick(`load_balancing_policy: {policies: [
			{typed_extension_config: {name: least, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest, selection_method: FULL_SCAN}}}]},`,
			group("", member("a"), member("b"))), Each: func(t *testing.T, s *side) any {
			t.Helper()
			var wg sync.WaitGroup
			defer wg.Wait()
			busy := make(chan string, 1)
			wg.Go(func() { busy <- reached(t, s, &Request{Play: "delay=800ms"}) })
			time.Sleep(100 * time.Millisecond)
			names, _ := who(10)(t, s).([]string)
			return len(names) == 1 && names[0] != <-busy
		}},
		{Name: "priorities: the first that is healthy", Config: pick("", group("", member("a", "health_status: UNHEALTHY")), group("priority: 1,", member("b")), group("priority: 2,", member("c"))), Each: who(20)},
		{Name: "priorities: half of the first is ill", Config: pick("", group("", member("a"), member("b", "health_status: DRAINING")), group("priority: 1,", member("c"))), Each: nearly(map[string]float64{"a": 70, "b": 0, "c": 30})},
		{Name: "priorities: overprovisioned otherwise", Config: pickLoad("overprovisioning_factor: 100", group("", member("a"), member("b", "health_status: UNHEALTHY")), group("priority: 1,", member("c"))), Each: nearly(map[string]float64{"a": 50, "c": 50})},
		{Name: "priorities: all ill", Config: pick("", group("", member("a", "health_status: UNHEALTHY"), member("b", "health_status: TIMEOUT")), group("priority: 1,", member("c", "health_status: UNHEALTHY"))), Each: nearly(map[string]float64{"a": 33, "b": 33, "c": 33})},
		{Name: "priorities: too few healthy in both", Config: pick("", group("", member("a"), member("b", "health_status: UNHEALTHY"), member("c", "health_status: UNHEALTHY"), member("d", "health_status: UNHEALTHY")),
			group("priority: 1,", member("e"), member("f", "health_status: UNHEALTHY"))), Each: nearly(map[string]float64{"a": 8, "b": 8, "e": 66})},
		{Name: "panic", Config: pick("", group("", member("a"), member("b", "health_status: UNHEALTHY"), member("c", "health_status: UNHEALTHY"))), Each: who(30)},
		{Name: "no panic above the threshold", Config: pick("common_lb_config: {healthy_panic_threshold: {value: 30}},", group("", member("a"), member("b", "health_status: UNHEALTHY"), member("c", "health_status: UNHEALTHY"))), Each: who(30)},
		{Name: "no panic at all", Config: pick("common_lb_config: {healthy_panic_threshold: {value: 0}},", group("", member("a", "health_status: UNHEALTHY"), member("b", "health_status: UNHEALTHY"))), Requests: []Request{{}}},
		{Name: "fails on panic", Config: pick("common_lb_config: {zone_aware_lb_config: {fail_traffic_on_panic: true}},", group("", member("a"), member("b", "health_status: UNHEALTHY"), member("c", "health_status: UNHEALTHY"))), Requests: []Request{{}}},
		{Name: "degraded ones come last", Config: pick("", group("", member("a"), member("b", "health_status: DEGRADED"))), Each: nearly(map[string]float64{"a": 70, "b": 30}), Then: []Step{
			{Config: pick("", group("", member("a"), member("b"), member("c"), member("d", "health_status: DEGRADED"))), Each: who(40)},
			{Config: pick("", group("", member("a", "health_status: UNHEALTHY"), member("b", "health_status: DEGRADED"))), Each: who(10)},
		}},
		{Name: "localities by weight", Config: pick("common_lb_config: {locality_weighted_lb_config: {}},",
			group("locality: {zone: one}, load_balancing_weight: 3,", member("a"), member("b")),
			group("locality: {zone: two}, load_balancing_weight: 1,", member("c")),
			group("locality: {zone: three},", member("d"))), Each: nearly(map[string]float64{"a": 37.5, "b": 37.5, "c": 25, "d": 0})},
		{Name: "localities, one of them ill", Config: pick("common_lb_config: {locality_weighted_lb_config: {}},",
			group("locality: {zone: one}, load_balancing_weight: 1,", member("a"), member("b", "health_status: UNHEALTHY")),
			group("locality: {zone: two}, load_balancing_weight: 1,", member("c"), member("d"))), Each: nearly(map[string]float64{"a": 41, "c": 29, "d": 29})},
		{Name: "localities without weights", Config: pick("", group("locality: {zone: one}, load_balancing_weight: 9,", member("a")), group("locality: {zone: two}, load_balancing_weight: 1,", member("b"), member("c"))), Each: exactly(30)},
		{Name: "typed localities, after a policy that nobody knows", Config: pick(`load_balancing_policy: {policies: [
			{typed_extension_config: {name: not-known, typed_config: {"@type": type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/nobody.knows.v3.It}}},
			{typed_extension_config: {name: robin, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin, locality_lb_config: {locality_weighted_lb_config: {}}}}}]},`,
			group("locality: {zone: one}, load_balancing_weight: 3,", member("a")), group("locality: {zone: two}, load_balancing_weight: 1,", member("b"))), Each: nearly(map[string]float64{"a": 75, "b": 25})},
		{Name: "drop all", Config: pickLoad("drop_overloads: [{category: all, drop_percentage: {numerator: 100}}]", group("", member("a"))), Requests: []Request{{}}},
		{Name: "drop half", Config: pickLoad("drop_overloads: [{category: half, drop_percentage: {numerator: 500000, denominator: MILLION}}]", group("", member("a"))), Each: nearly(map[string]float64{"a": 50, "503": 50})},
	}
}

// pickLoad is pick with a policy of the ClusterLoadAssignment, by EDS: Envoy takes drops
// from there alone.
func pickLoad(policy string, groups ...string) Config {
	return discovered(fmt.Sprint("x", fresh.Add(1)), "", policy, groups...)
}

// discovered is a cluster by EDS with one route to it.
func discovered(name, fields, policy string, groups ...string) Config {
	return Config{
		Routes:    to(name),
		Clusters:  `[{name: ` + name + `, connect_timeout: 1s, ` + fields + ` type: EDS, eds_cluster_config: {eds_config: {ads: {}, resource_api_version: V3}}}]`,
		Endpoints: `[{cluster_name: ` + name + `, policy: {` + policy + `}, endpoints: [` + strings.Join(groups, ", ") + `]}]`,
	}
}

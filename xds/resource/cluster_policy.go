package resource

import (
	"strconv"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	providedv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/cluster_provided/v3"
	commonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/common/v3"
	leastv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/least_request/v3"
	maglevv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/maglev/v3"
	randomv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/random/v3"
	ringv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/ring_hash/v3"
	robinv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/round_robin/v3"
	wrrv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/wrr_locality/v3"

	"github.com/fridaymesh/friday/proxy/cluster"
)

// typedBalance reads the first policy of a type that is known, as Envoy does.
func (p *problems) typedBalance(path string, m *clusterv3.LoadBalancingPolicy, c *cluster.Config) {
	c.LocalityWeighted = false
	for i, one := range m.GetPolicies() {
		config := one.GetTypedExtensionConfig().GetTypedConfig()
		if table[config.MessageName()] == nil || !p.isPolicy(string(config.MessageName())) {
			continue
		}
		at := path + "." + index("policies", i) + ".typed_extension_config.typed_config"
		p.unpack(at, config.ProtoReflect())
		if p.under(at) {
			return
		}
		inner, err := config.UnmarshalNew()
		if err != nil {
			return // unpack has said so
		}
		p.typedPolicy(at, inner, c)
		return
	}
	p.addf(path+".policies", "none is of a type that is supported")
}

func (p *problems) isPolicy(name string) bool {
	const prefix = "envoy.extensions.load_balancing_policies."
	return len(name) > len(prefix) && name[:len(prefix)] == prefix
}

func (p *problems) typedPolicy(at string, m any, c *cluster.Config) {
	_, provided := m.(*providedv3.ClusterProvided)
	if original := c.Discovery == cluster.OriginalDestination; provided != original {
		p.addf(at, "ClusterProvided goes with type ORIGINAL_DST only, which goes with no other")
	}
	switch m := m.(type) {
	case *providedv3.ClusterProvided:
	case *robinv3.RoundRobin:
		c.Policy = cluster.RoundRobin
		p.slowStart(at+".slow_start_config", c, m.GetSlowStartConfig())
		locality(c, m.GetLocalityLbConfig())
	case *leastv3.LeastRequest:
		c.Policy = cluster.LeastRequest
		p.leastRequest(c, m.GetChoiceCount(), m.GetActiveRequestBias())
		p.slowStart(at+".slow_start_config", c, m.GetSlowStartConfig())
		c.Balance.FullScan = m.GetEnableFullScan().GetValue() || m.GetSelectionMethod() == leastv3.LeastRequest_FULL_SCAN
		locality(c, m.GetLocalityLbConfig())
	case *randomv3.Random:
		c.Policy = cluster.Random
		locality(c, m.GetLocalityLbConfig())
	case *ringv3.RingHash:
		c.Policy = cluster.RingHash
		p.ring(at, c, m.GetMinimumRingSize(), m.GetMaximumRingSize())
		c.Balance.Ring.Murmur = m.GetHashFunction() == ringv3.RingHash_MURMUR_HASH_2
		c.Balance.ByHostname = m.GetUseHostnameForHashing()
		p.balanceFactor(at+".hash_balance_factor", c, m.GetHashBalanceFactor())
		p.consistent(at, c, m.GetConsistentHashingLbConfig())
		c.LocalityWeighted = m.GetLocalityWeightedLbConfig() != nil
	case *maglevv3.Maglev:
		c.Policy = cluster.Maglev
		p.maglevSize(at+".table_size", c, m.GetTableSize())
		p.consistent(at, c, m.GetConsistentHashingLbConfig())
		c.LocalityWeighted = m.GetLocalityWeightedLbConfig() != nil
	case *wrrv3.WrrLocality:
		p.typedBalance(at+".endpoint_picking_policy", m.GetEndpointPickingPolicy(), c)
		c.LocalityWeighted = true
	default:
		p.add(at, strconv.Quote(c.Name), "not supported")
	}
}

func locality(c *cluster.Config, m *commonv3.LocalityLbConfig) {
	c.LocalityWeighted = m.GetLocalityWeightedLbConfig() != nil
	c.FailOnPanic = c.FailOnPanic || m.GetZoneAwareLbConfig().GetFailTrafficOnPanic()
}

func (p *problems) consistent(at string, c *cluster.Config, m *commonv3.ConsistentHashingLbConfig) {
	if m == nil {
		return
	}
	c.Balance.ByHostname = m.GetUseHostnameForHashing()
	p.balanceFactor(at+".consistent_hashing_lb_config.hash_balance_factor", c, m.GetHashBalanceFactor())
}

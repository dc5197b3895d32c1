package resource

import (
	"math/big"
	"strconv"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fridaymesh/friday/proxy/cluster"
)

// balance reads how an endpoint is chosen.
func (p *problems) balance(m *clusterv3.Cluster, c *cluster.Config) {
	p.common(m.GetCommonLbConfig(), c)
	c.LeaveAtOnce = m.GetIgnoreHealthOnHostRemoval()
	defer func() {
		if c.Balance.ByHostname && c.Discovery != cluster.StrictDNS {
			p.addf("use_hostname_for_hashing", "needs type STRICT_DNS, as in Envoy")
		}
	}()
	if m.GetLoadBalancingPolicy() != nil {
		p.typedBalance("load_balancing_policy", m.GetLoadBalancingPolicy(), c)
		return
	}
	if p.under("lb_policy") {
		return
	}
	original := c.Discovery == cluster.OriginalDestination
	if provided := m.GetLbPolicy() == clusterv3.Cluster_CLUSTER_PROVIDED; provided != original {
		p.add("lb_policy", m.GetLbPolicy().String(), "goes with type ORIGINAL_DST only, which goes with no other")
	}
	switch m.GetLbPolicy() { // the table refuses the others
	case clusterv3.Cluster_LEAST_REQUEST:
		c.Policy = cluster.LeastRequest
		l := m.GetLeastRequestLbConfig()
		p.leastRequest(c, l.GetChoiceCount(), l.GetActiveRequestBias())
		p.slowStart("least_request_lb_config.slow_start_config", c, l.GetSlowStartConfig())
	case clusterv3.Cluster_RANDOM:
		c.Policy = cluster.Random
	case clusterv3.Cluster_RING_HASH:
		c.Policy = cluster.RingHash
		r := m.GetRingHashLbConfig()
		p.ring("ring_hash_lb_config", c, r.GetMinimumRingSize(), r.GetMaximumRingSize())
		c.Balance.Ring.Murmur = r.GetHashFunction() == clusterv3.Cluster_RingHashLbConfig_MURMUR_HASH_2
	case clusterv3.Cluster_MAGLEV:
		c.Policy = cluster.Maglev
		p.maglevSize("maglev_lb_config.table_size", c, m.GetMaglevLbConfig().GetTableSize())
	case clusterv3.Cluster_LOAD_BALANCING_POLICY_CONFIG:
		p.addf("load_balancing_policy", "missing")
	default:
		c.Policy = cluster.RoundRobin
		p.slowStart("round_robin_lb_config.slow_start_config", c, m.GetRoundRobinLbConfig().GetSlowStartConfig())
	}
}

// common reads the common_lb_config.
func (p *problems) common(m *clusterv3.Cluster_CommonLbConfig, c *cluster.Config) {
	if t := m.GetHealthyPanicThreshold(); t != nil {
		c.Panic = new(t.GetValue())
	}
	c.LocalityWeighted = m.GetLocalityWeightedLbConfig() != nil
	c.FailOnPanic = m.GetZoneAwareLbConfig().GetFailTrafficOnPanic()
	c.IgnoreNew = m.GetIgnoreNewHostsUntilFirstHc()
	c.CloseOnChange = m.GetCloseConnectionsOnHostSetChange()
	hashing := m.GetConsistentHashingLbConfig()
	c.Balance.ByHostname = hashing.GetUseHostnameForHashing()
	p.balanceFactor("common_lb_config.consistent_hashing_lb_config.hash_balance_factor", c, hashing.GetHashBalanceFactor())
}

func (p *problems) balanceFactor(path string, c *cluster.Config, n *wrapperspb.UInt32Value) {
	if n == nil {
		return
	}
	if n.GetValue() < 100 {
		p.add(path, strconv.FormatUint(uint64(n.GetValue()), 10), "must be at least 100")
	}
	c.Balance.BalanceFactor = n.GetValue()
}

func (p *problems) leastRequest(c *cluster.Config, choices *wrapperspb.UInt32Value, bias *corev3.RuntimeDouble) {
	c.Balance.Choices = choices.GetValue()
	if bias != nil {
		if bias.GetDefaultValue() < 0 {
			p.add("active_request_bias.default_value", strconv.FormatFloat(bias.GetDefaultValue(), 'g', -1, 64), "must not be negative")
		}
		c.Balance.Bias = new(bias.GetDefaultValue())
	}
}

// slowStarter is one of Envoy's two SlowStartConfigs.
type slowStarter interface {
	GetSlowStartWindow() *durationpb.Duration
	GetAggression() *corev3.RuntimeDouble
	GetMinWeightPercent() *typev3.Percent
}

// slowStart reads m, whose getters take nil.
func (p *problems) slowStart(path string, c *cluster.Config, m slowStarter) {
	if m.GetSlowStartWindow() == nil {
		return
	}
	s := &cluster.SlowStart{Window: m.GetSlowStartWindow().AsDuration(), Aggression: 1}
	if a := m.GetAggression(); a != nil {
		s.Aggression = a.GetDefaultValue()
		if s.Aggression <= 0 {
			p.add(path+".aggression.default_value", strconv.FormatFloat(s.Aggression, 'g', -1, 64), "must be positive")
		}
	}
	if least := m.GetMinWeightPercent(); least != nil {
		s.MinPercent = new(least.GetValue())
	}
	if s.Window > 0 {
		c.Balance.SlowStart = s
	}
}

const mostPoints = 8 << 20

func (p *problems) ring(path string, c *cluster.Config, least, most *wrapperspb.UInt64Value) {
	r := &c.Balance.Ring
	r.Min, r.Max = 1024, mostPoints
	if least != nil {
		r.Min = least.GetValue()
	}
	if most != nil {
		r.Max = most.GetValue()
	}
	if r.Min > r.Max || r.Max > mostPoints {
		p.add(path+".minimum_ring_size", strconv.FormatUint(r.Min, 10),
			"must not be more than maximum_ring_size, "+strconv.FormatUint(r.Max, 10)+", and that not more than "+strconv.Itoa(mostPoints))
	}
}

// maglevSize reads the size of Maglev's.
func (p *problems) maglevSize(path string, c *cluster.Config, size *wrapperspb.UInt64Value) {
	if size == nil {
		return
	}
	n := size.GetValue()
	const most = 5000011 // as Envoy's
	if n > most || !new(big.Int).SetUint64(n).ProbablyPrime(0) {
		p.add(path, strconv.FormatUint(n, 10), "must be a prime, at most "+strconv.Itoa(most))
	}
	c.Balance.Table = n
}

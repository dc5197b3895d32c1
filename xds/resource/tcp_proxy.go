package resource

import (
	"strconv"

	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"

	"github.com/fridaymesh/friday/proxy/config"
)

// tcp reads a TcpProxy.
func (p *problems) tcp(path string, m *tcpv3.TcpProxy) *config.TCP {
	t := &config.TCP{
		IdleTimeout:     timeout(m.GetIdleTimeout()),
		ConnectAttempts: m.GetMaxConnectAttempts().GetValue(),
		MaxDuration:     m.GetMaxDownstreamConnectionDuration().AsDuration(),
		AccessLog:       accessLog(m.GetAccessLog()),
	}
	switch to := m.GetClusterSpecifier().(type) {
	case *tcpv3.TcpProxy_Cluster:
		t.Clusters = []config.WeightedCluster{{Name: to.Cluster, Weight: 1}}
		if to.Cluster == "" {
			p.addf(path+".cluster", "missing")
		}
	case *tcpv3.TcpProxy_WeightedClusters:
		var sum uint64
		for i, c := range to.WeightedClusters.GetClusters() {
			t.Clusters = append(t.Clusters, config.WeightedCluster{Name: c.GetName(), Weight: c.GetWeight()})
			if sum += uint64(c.GetWeight()); sum > 1<<32-1 {
				p.add(path+".weighted_clusters."+index("clusters", i)+".weight", strconv.FormatUint(sum, 10), "the sum of the weights is too large")
			}
		}
	}
	return t
}

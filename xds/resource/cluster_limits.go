package resource

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fridaymesh/friday/proxy/cluster"
)

func number(n *wrapperspb.UInt32Value, absent uint32) uint32 {
	if n == nil {
		return absent
	}
	return n.GetValue()
}

func length(d *durationpb.Duration, absent time.Duration) time.Duration {
	if d == nil {
		return absent
	}
	return d.AsDuration()
}

// clusterLimits reads the circuit breakers. Where there are any, what they do not say is as in
// Envoy.
func clusterLimits(m *clusterv3.CircuitBreakers) (out [2]cluster.Limits) {
	if m == nil {
		return out
	}
	for i, priority := range []corev3.RoutingPriority{corev3.RoutingPriority_DEFAULT, corev3.RoutingPriority_HIGH} {
		var t *clusterv3.CircuitBreakers_Thresholds
		for _, one := range m.GetThresholds() {
			if one.GetPriority() == priority {
				t = one
				break
			}
		}
		out[i] = cluster.Limits{
			MaxConnections: new(number(t.GetMaxConnections(), 1024)), MaxPending: new(number(t.GetMaxPendingRequests(), 1024)),
			MaxRequests: new(number(t.GetMaxRequests(), 1024)), MaxRetries: new(number(t.GetMaxRetries(), 3)),
		}
		if b := t.GetRetryBudget(); b != nil {
			out[i].Budget = &cluster.Budget{Percent: 20, Min: number(b.GetMinRetryConcurrency(), 3)}
			if b.GetBudgetPercent() != nil {
				out[i].Budget.Percent = b.GetBudgetPercent().GetValue()
			}
		}
	}
	return out
}

// outliers reads the outlier detection, with Envoy's defaults.
func outliers(m *clusterv3.OutlierDetection) *cluster.Outliers {
	if m == nil {
		return nil
	}
	base := length(m.GetBaseEjectionTime(), 30*time.Second)
	hosts, volume := number(m.GetSuccessRateMinimumHosts(), 5), number(m.GetSuccessRateRequestVolume(), 100)
	factor := number(m.GetSuccessRateStdevFactor(), 1900)
	failing := cluster.Rate{
		Hosts: number(m.GetFailurePercentageMinimumHosts(), 5), Volume: number(m.GetFailurePercentageRequestVolume(), 50),
		Threshold: number(m.GetFailurePercentageThreshold(), 85),
	}
	o := &cluster.Outliers{
		Interval:         length(m.GetInterval(), 10*time.Second),
		BaseEjection:     base,
		MaxEjection:      length(m.GetMaxEjectionTime(), max(base, 300*time.Second)),
		Jitter:           m.GetMaxEjectionTimeJitter().AsDuration(),
		MaxPercent:       number(m.GetMaxEjectionPercent(), 10),
		AlwaysOne:        m.GetAlwaysEjectOneHost().GetValue(),
		SplitLocal:       m.GetSplitExternalLocalOriginErrors(),
		NoUnejectByCheck: m.GetSuccessfulActiveHealthCheckUnejectHost() != nil && !m.GetSuccessfulActiveHealthCheckUnejectHost().GetValue(),

		Consecutive5xx:     cluster.Consecutive{Count: number(m.GetConsecutive_5Xx(), 5), Enforce: number(m.GetEnforcingConsecutive_5Xx(), 100)},
		ConsecutiveGateway: cluster.Consecutive{Count: number(m.GetConsecutiveGatewayFailure(), 5), Enforce: number(m.GetEnforcingConsecutiveGatewayFailure(), 0)},
		ConsecutiveLocal:   cluster.Consecutive{Count: number(m.GetConsecutiveLocalOriginFailure(), 5), Enforce: number(m.GetEnforcingConsecutiveLocalOriginFailure(), 100)},

		SuccessRate:      cluster.Rate{Hosts: hosts, Volume: volume, Factor: factor, Enforce: number(m.GetEnforcingSuccessRate(), 100)},
		LocalSuccessRate: cluster.Rate{Hosts: hosts, Volume: volume, Factor: factor, Enforce: number(m.GetEnforcingLocalOriginSuccessRate(), 100)},
		FailureRate:      failing,
		LocalFailureRate: failing,
	}
	o.FailureRate.Enforce = number(m.GetEnforcingFailurePercentage(), 0)
	o.LocalFailureRate.Enforce = number(m.GetEnforcingFailurePercentageLocalOrigin(), 0)
	return o
}

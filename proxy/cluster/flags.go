package cluster

import "strings"

// flags are why an endpoint is not simply healthy: Envoy's health flags.
type flags uint32

// The flags.
const (
	failedActive flags = 1 << iota
	failedOutlier
	failedEDS
	degradedActive
	degradedEDS
	pendingRemoval
	pendingActive
	excludedImmediate
	activeTimeout
	drainingEDS
)

// Of these, one is enough to be unhealthy or degraded; the rest only tells.
const (
	unhealthyFlags = failedActive | failedOutlier | failedEDS | drainingEDS
	degradedFlags  = degradedActive | degradedEDS
	controlFlags   = failedEDS | degradedEDS | drainingEDS // the control plane's
)

func (f flags) healthy() bool  { return f&unhealthyFlags == 0 }
func (f flags) degraded() bool { return f.healthy() && f&degradedFlags != 0 }

// flags are those that h stands for.
func (h Health) flags() flags {
	switch h {
	case HealthUnhealthy, HealthTimeout:
		return failedEDS
	case HealthDraining:
		return drainingEDS
	case HealthDegraded:
		return degradedEDS
	case HealthUnknown, HealthHealthy:
	}
	return 0
}

// String is as in Envoy's /clusters.
func (f flags) String() string {
	if f == 0 {
		return "healthy"
	}
	var b strings.Builder
	for i, name := range [...]string{
		"/failed_active_hc", "/failed_outlier_check", "/failed_eds_health", "/degraded_active_hc", "/degraded_eds_health",
		"/pending_dynamic_removal", "/pending_active_hc", "/excluded_via_immediate_hc_fail", "/active_hc_timeout", "/eds_status_draining",
	} {
		if f&(1<<i) != 0 {
			b.WriteString(name)
		}
	}
	return b.String()
}

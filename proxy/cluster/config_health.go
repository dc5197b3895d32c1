package cluster

import "time"

// Check is how endpoints are asked for their health: exactly one of HTTP, TCP and GRPC.
type Check struct {
	HTTP *HTTPCheck
	TCP  *TCPCheck
	GRPC *GRPCCheck

	// Timeout bounds one check.
	Timeout time.Duration
	// Interval is between checks of a healthy endpoint; the other intervals are it
	// where 0.
	Interval time.Duration
	// UnhealthyInterval is for an endpoint that is not healthy, the edge intervals for
	// one check after it became so.
	UnhealthyInterval, UnhealthyEdgeInterval, HealthyEdgeInterval time.Duration
	// NoTraffic is in their place while the cluster has never been used; default 60 s.
	// NoTrafficHealthy is for endpoints that are healthy; default NoTraffic.
	NoTraffic, NoTrafficHealthy time.Duration
	// InitialJitter is the most that the first check is put off, Jitter and
	// JitterPercent each later one.
	InitialJitter, Jitter time.Duration
	JitterPercent         uint32
	// UnhealthyAfter and HealthyAfter are how many checks in a row it takes.
	UnhealthyAfter, HealthyAfter uint32
	// NoReuse makes a connection for every check.
	NoReuse bool
	// LogFailures logs every failure, and not only the first.
	LogFailures bool
}

// HTTPCheck asks for a path.
type HTTPCheck struct {
	// Host is the Host header; empty: the endpoint's hostname, else the cluster's name.
	Host, Path string
	Method     string // empty: GET
	// Expected are the good statuses; empty: 200. Retriable count towards
	// UnhealthyAfter; all others make it unhealthy at once.
	Expected, Retriable []StatusRange
	// Set, Add and Remove are headers.
	Set, Add [][2]string
	Remove   []string
	HTTP2    bool
	// Send is the request's body, and Receive what must stand in the answer's, in this
	// order.
	Send    []byte
	Receive [][]byte
}

// StatusRange is half open.
type StatusRange struct{ Start, End int }

// TCPCheck connects and, where there are any, sends bytes and waits for others.
type TCPCheck struct {
	Send    []byte
	Receive [][]byte
}

// GRPCCheck asks grpc.health.v1.Health.
type GRPCCheck struct {
	Service string
	// Authority is the endpoint's hostname, else the cluster's name, where empty.
	Authority string
	Metadata  [][2]string
}

// EndpointCheck is how one endpoint's health check differs.
type EndpointCheck struct {
	// Address is host:port to ask in place of the endpoint's own, or empty.
	Address string
	// Hostname is the Host header.
	Hostname string
	Disabled bool
}

// Outliers is how endpoints are ejected for how they answer. Shares are percentages.
type Outliers struct {
	// Interval is between looks at rates and at who may come back.
	Interval time.Duration
	// BaseEjection times how often in a row an endpoint was ejected is how long it stays
	// away, up to MaxEjection, and up to Jitter longer.
	BaseEjection, MaxEjection, Jitter time.Duration
	// MaxPercent bounds who is away at once; AlwaysOne lets the first go nevertheless.
	MaxPercent uint32
	AlwaysOne  bool

	// Consecutive failures: any 5xx, gateway errors (502 to 504), and, where SplitLocal,
	// what never got as far as an answer.
	Consecutive5xx, ConsecutiveGateway, ConsecutiveLocal Consecutive
	// SplitLocal counts failures that are not the server's answer apart; else they count
	// as 5xx.
	SplitLocal bool

	// SuccessRate and LocalSuccessRate eject who is Factor/1000 standard deviations below
	// the average; FailureRate and LocalFailureRate who fails Threshold percent.
	SuccessRate, LocalSuccessRate, FailureRate, LocalFailureRate Rate

	// NoUnejectByCheck leaves an endpoint ejected although a health check succeeds.
	NoUnejectByCheck bool
}

// Consecutive ejects after Count failures in a row, Enforce percent of the times.
type Consecutive struct{ Count, Enforce uint32 }

// Rate compares endpoints that had at least Volume requests in an interval, where there
// are at least Hosts of them, and ejects Enforce percent of the times.
type Rate struct{ Hosts, Volume, Factor, Threshold, Enforce uint32 }

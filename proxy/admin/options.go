package admin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/fridaymesh/friday/proxy"
)

// Options is where what the door shows comes from, and what it may set off. The
// functions are called by several requests at once and must return soon. All are
// required, but for Public, which needs State and Registry only.
type Options struct {
	// State says whether requests are taken, else why not: a state in Envoy's
	// words, a colon and a reason, such as
	// "PRE_INITIALIZING: waiting for configuration", or the state alone
	// ("DRAINING").
	State func() (ready bool, reason string)
	// ConfigDump returns the configuration in force, secrets taken out. It is
	// usually an envoy.admin.v3.ConfigDump.
	ConfigDump func() (proto.Message, error)
	// Clusters returns the clusters in the order to show.
	Clusters func() []ClusterStatus
	// Drain stops taking connections: at once, or gracefully, telling callers to
	// go first. It does not wait for them.
	Drain func(graceful bool)
	// Purge drops what is cached of a model, of all where it is empty, and says how
	// many answers that were.
	Purge func(model string) int
	// Models are what is known of the models that are looked after.
	Models func() []proxy.ModelStatus
	// Quit begins the end of the process, as SIGTERM does. It does not wait for it.
	Quit func()

	Registry prometheus.Gatherer
	Level    zap.AtomicLevel
	Info     Info
}

// Info is what is known at the start.
type Info struct {
	Version string
	Started time.Time
	// NodeID and NodeCluster are what the control plane knows this process by.
	NodeID, NodeCluster string
	// CommandLine is the options given, by name. Secrets are not among them.
	CommandLine map[string]string
}

// ClusterStatus is one cluster and how its endpoints fare.
type ClusterStatus struct {
	Name string
	// AddedByAPI says that the control plane sent it.
	AddedByAPI bool
	// Limits by name and priority, such as default_priority::max_requests, in order.
	Limits []Number
	// Outlier are the figures of outlier detection; none where there is no such.
	Outlier   []Rate
	Endpoints []EndpointStatus
}

// Number and Rate are a figure and its name.
type (
	Number struct {
		Name  string
		Value uint64
	}
	Rate struct {
		Name  string
		Value float64
	}
)

// EndpointStatus is one endpoint.
type EndpointStatus struct {
	// Address is host:port.
	Address, Hostname string
	Healthy           bool
	// Flags are Envoy's health flags.
	Flags  string
	Weight uint32
	// Priority is 0 for those that are used first.
	Priority              uint32
	Region, Zone, SubZone string
	Canary                bool
	// Active is the requests in flight, Total those ever dispatched, of which the others
	// are how they ended.
	Active                                  int64
	Total                                   uint64
	Succeeded, Failed, TimedOut, NotReached uint64
	// SuccessRate and LocalSuccessRate are of the last interval of outlier detection, in
	// percent; negative: not known.
	SuccessRate, LocalSuccessRate float64
	// Connections is nil where they are not counted by endpoint.
	Connections *ConnectionStatus
}

// ConnectionStatus counts the connections to an endpoint.
type ConnectionStatus struct {
	Active int64
	Total  uint64
}

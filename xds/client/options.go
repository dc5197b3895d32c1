package client

import (
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/telemetry"
	"github.com/fridaymesh/friday/xds/resource"
)

// Options are what a Client is made with.
type Options struct {
	// Targets are the control planes, the best first: the first that answers is
	// followed, and left for a better one that is back. None: there is only the
	// static configuration.
	Targets []Target
	// Delta asks the control plane for changes only (api_type DELTA_GRPC).
	Delta bool
	// Servers are those of secrets, by the cluster that a secret's sds_config names.
	Servers map[string][]Target
	// Node is how the sidecar names itself.
	Node   *corev3.Node
	Parser *resource.Parser
	// Static is what the bootstrap holds itself; it is always in force.
	Static *config.Resources
	// Needs are the secrets that Static refers to.
	Needs []resource.Need
	// Identity takes the certificate that the control plane issues; nil: it is not asked
	// for one.
	Identity *Identity
	// Bootstrap is shown in the config dump; nil: not.
	Bootstrap *bootstrapv3.Bootstrap
	// Apply puts a configuration in force, whole, or returns an error and changes
	// nothing; the error's text goes to the control plane. It is called by one
	// goroutine at a time and must not keep it for long.
	Apply func(*config.Resources) error
	// StateFile keeps the last good configuration; empty: it is not kept.
	StateFile string
	// ReturnAfter is how often a better control plane than the one that is followed
	// is looked for; 0: 30 s.
	ReturnAfter time.Duration
	// DialOptions come after those that the client sets itself.
	DialOptions []grpc.DialOption

	Log     *zap.Logger
	Metrics *telemetry.Metrics
}

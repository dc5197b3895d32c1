package resource

import (
	"errors"
	"fmt"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fridaymesh/friday/filters"
	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/config"
)

// The type URLs of the resources that are understood.
const (
	ListenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
	RouteType    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	ClusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	EndpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	// ExtensionType is the configuration of a filter that is sent by itself (ECDS).
	ExtensionType = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
	SecretType    = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
)

const (
	// Unlimited stands for "no timeout" where a configuration says so (0s in xDS)
	// and 0 means the default. It is far from overflowing when added to a time.
	Unlimited = 100 * 365 * 24 * time.Hour
	// FetchTimeout is how long a cluster waits for its endpoints where
	// initial_fetch_timeout is absent, as in Envoy.
	FetchTimeout = 15 * time.Second
)

// Listener is a parsed Listener.
type Listener struct {
	*config.Listener
	// Validated are the inline tables that may name known clusters only.
	Validated []*config.RouteTable
	// Clusters are those that the inline tables and the chains of bytes lead to.
	Clusters []string
	// Tables are the names of the tables that come by RDS, and RoutesTimeout is how
	// long the listener waits for them before it goes on without; 0: for ever.
	Tables        []string
	RoutesTimeout time.Duration
	// Extensions are the filters whose configuration comes by ECDS.
	Extensions []*ExtensionUse
	// Secrets are those that its chains refer to.
	Secrets []Need
	// LeftAside are the filters that do nothing here, each with its path and why.
	LeftAside []string
}

// RouteTable is a parsed RouteConfiguration.
type RouteTable struct {
	*config.RouteTable
	// ValidateClusters says that it may name known clusters only.
	ValidateClusters bool
	// Clusters are those that it routes to, each once.
	Clusters []string
	// LeftAside is as a Listener's.
	LeftAside []string
}

// Cluster is a parsed Cluster.
type Cluster struct {
	*cluster.Config
	// EDS is the name under which its endpoints are asked for; empty where it has
	// them, or finds them by itself.
	EDS string
	// FetchTimeout is how long it waits for them before it goes on without; 0:
	// for ever.
	FetchTimeout time.Duration
	// Secrets are those that its TLS contexts refer to.
	Secrets []Need
	// LeftAside is as a Listener's.
	LeftAside []string
}

// Endpoints are a parsed ClusterLoadAssignment.
type Endpoints struct {
	Name      string
	Endpoints []cluster.EndpointConfig
	// Load is said of all of them together.
	Load cluster.Load
}

// Parser makes the data plane's configuration of xDS resources. Its methods are
// pure and safe for concurrent use. Their errors join one [*FieldError] a line.
type Parser struct {
	// Registry knows the HTTP filters.
	Registry *filters.Registry
}

// ErrType says that a resource is of another type than its response.
var ErrType = errors.New("unexpected resource type")

// ParseAny parses one resource of a response of type typeURL: parsed is a
// *Listener, *RouteTable, *Cluster, *Endpoints, *Secret or *Extension. The name is there, where it
// could be read, beside an error too.
func (r *Parser) ParseAny(typeURL string, resource *anypb.Any) (name string, parsed any, err error) {
	defer func() {
		if err != nil {
			parsed = nil // and not an interface that holds a nil pointer
		}
	}()
	if resource, err = unwrap(resource); err != nil {
		return "", nil, err
	}
	if resource.GetTypeUrl() != typeURL {
		return "", nil, fmt.Errorf("%w: %q in a response of %q", ErrType, resource.GetTypeUrl(), typeURL)
	}
	switch typeURL {
	case ListenerType:
		m := new(listenerv3.Listener)
		if err := decode(resource, m); err != nil {
			return "", nil, err
		}
		parsed, err = r.Listener(m)
		return m.GetName(), parsed, err
	case RouteType:
		m := new(routev3.RouteConfiguration)
		if err := decode(resource, m); err != nil {
			return "", nil, err
		}
		parsed, err = r.RouteTable(m)
		return m.GetName(), parsed, err
	case ClusterType:
		m := new(clusterv3.Cluster)
		if err := decode(resource, m); err != nil {
			return "", nil, err
		}
		parsed, err = r.Cluster(m)
		return m.GetName(), parsed, err
	case EndpointType:
		m := new(endpointv3.ClusterLoadAssignment)
		if err := decode(resource, m); err != nil {
			return "", nil, err
		}
		parsed, err = r.Endpoints(m)
		return m.GetClusterName(), parsed, err
	case SecretType:
		m := new(tlsv3.Secret)
		if err := decode(resource, m); err != nil {
			return "", nil, err
		}
		parsed, err = r.Secret(m)
		return m.GetName(), parsed, err
	}
	return r.parseMore(typeURL, resource)
}

// parseMore parses the types that no listener needs to have.
func (r *Parser) parseMore(typeURL string, resource *anypb.Any) (name string, parsed any, err error) {
	if typeURL == ExtensionType {
		m := new(corev3.TypedExtensionConfig)
		if err := decode(resource, m); err != nil {
			return "", nil, err
		}
		parsed, err = r.Extension(m)
		return m.GetName(), parsed, err
	}
	return "", nil, fmt.Errorf("%w: %q", ErrType, typeURL)
}

// unwrap takes a resource out of the envelope that a control plane may send it
// in (service.discovery.v3.Resource).
func unwrap(resource *anypb.Any) (*anypb.Any, error) {
	if resource.MessageName() != "envoy.service.discovery.v3.Resource" {
		return resource, nil
	}
	m := new(discoveryv3.Resource)
	if err := decode(resource, m); err != nil {
		return nil, err
	}
	return m.GetResource(), nil
}

func decode(a *anypb.Any, m proto.Message) error {
	if err := proto.Unmarshal(a.GetValue(), m); err != nil {
		text := strings.ReplaceAll(err.Error(), "\u00a0", " ") // protobuf-go varies it
		return fmt.Errorf("not a %s: %s", m.ProtoReflect().Descriptor().FullName(), text)
	}
	return nil
}

// timeout makes a duration where 0 means the default out of one where nil does
// and zero means none.
func timeout(d *durationpb.Duration) time.Duration {
	switch {
	case d == nil:
		return 0
	case d.AsDuration() <= 0:
		return Unlimited
	}
	return min(d.AsDuration(), Unlimited)
}

package server

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/fridaymesh/friday/proxy/admin"
	"github.com/fridaymesh/friday/proxy/admin/dashboard"
	"github.com/fridaymesh/friday/xds/bootstrap"
	"github.com/fridaymesh/friday/xds/client"
	"github.com/fridaymesh/friday/xds/resource"
)

// Sidecar is the whole process: a Server, its admin door and, where the bootstrap
// names one, the client of its control plane.
type Sidecar struct {
	Options

	Bootstrap *bootstrap.Bootstrap
	Parser    *resource.Parser
	// StateDir keeps the last good configuration; empty: nothing is kept.
	StateDir string
	// Probe, where not nil, must succeed for the sidecar to be ready.
	Probe *Probe
	// StatusAddress is where others than this host may ask for /ready, /live and
	// /metrics; empty: nowhere.
	StatusAddress string
	// DrainDelay is how long everything is served as before once the end has begun and
	// readiness fails.
	DrainDelay time.Duration
	// Takeover is a unix socket over which this process takes over from the one that
	// listens there, and may be taken over; empty: neither.
	Takeover string

	Level   zap.AtomicLevel
	Version string

	// leaving is when an operator has had the drain delay begin, in Unix nanoseconds; 0:
	// not yet.
	leaving atomic.Int64
}

func (c *Sidecar) client(s *Server) *client.Client {
	o := client.Options{
		Node:      c.Bootstrap.Node,
		Parser:    c.Parser,
		Static:    c.Bootstrap.Static,
		Bootstrap: c.Bootstrap.Source,
		Log:       c.Log.Named("xds"),
		Metrics:   s.Metrics(),
		Apply:     s.Apply,
		Servers:   map[string][]client.Target{},
		Needs:     c.Bootstrap.Needs,
	}
	for name, t := range c.Bootstrap.Servers {
		o.Servers[name] = targets(t, nil)
	}
	if ads := c.Bootstrap.ADS; ads != nil {
		if slices.ContainsFunc(ads.Targets, func(t bootstrap.Target) bool { return t.Token != nil }) {
			o.Identity = client.NewIdentity(c.kept("identity.pb"))
		}
		o.Targets, o.Delta = targets(ads.Targets, o.Identity), ads.Delta
	}
	o.StateFile = c.kept("xds.pb")
	return client.New(o)
}

// kept is where a file is that outlives the process; empty: nowhere.
func (c *Sidecar) kept(name string) string {
	if c.StateDir == "" {
		return ""
	}
	return filepath.Join(c.StateDir, name)
}

// targets are for the client. Who has an identity shows it.
func targets(all []bootstrap.Target, identity *client.Identity) []client.Target {
	out := make([]client.Target, len(all))
	for i, t := range all {
		out[i] = client.Target{URI: t.URI, Metadata: t.Metadata}
		if t.Token != nil {
			out[i].Token = t.Token.Header
		}
		if t.TLS != nil {
			own := *t.TLS
			if identity != nil {
				own.Issued = identity.Issued
			}
			out[i].TLS = own.Config()
		}
	}
	return out
}

// state is what /ready says.
func (c *Sidecar) state(s *Server, xds *client.Client) (ready bool, words string) {
	ready, words = s.State()
	switch {
	case words == "DRAINING":
		return false, words
	case !ready || !xds.Ready():
		return false, "PRE_INITIALIZING: waiting for configuration"
	case c.Probe != nil:
		if err := c.Probe.Check(context.Background()); err != nil {
			return false, "PRE_INITIALIZING: the model server is not ready: " + err.Error()
		}
	}
	for _, m := range s.Models() {
		if m.Required && !m.Serving {
			return false, "PRE_INITIALIZING: model " + m.Model + " is " + strings.TrimSpace(m.State+" "+m.LastError)
		}
	}
	return true, words
}

// drain is what an operator asks for. The process stays.
func (c *Sidecar) drain(s *Server, graceful bool) {
	if !graceful || c.DrainDelay == 0 {
		s.Drain()
		return
	}
	s.Leave()
	if c.leaving.CompareAndSwap(0, time.Now().UnixNano()) {
		time.AfterFunc(c.DrainDelay, s.Drain)
	}
}

// delay is how long everything is still to be served once the end has been ordered:
// nothing where nobody routes here, the rest where an operator has had it begin.
func (c *Sidecar) delay(s *Server) time.Duration {
	if began := c.leaving.Load(); began != 0 {
		return c.DrainDelay - time.Since(time.Unix(0, began))
	}
	if ready, _ := s.State(); !ready {
		return 0
	}
	return c.DrainDelay
}

// admin wires the door to what it shows.
func (c *Sidecar) admin(s *Server, xds *client.Client, quit func()) admin.Options {
	return admin.Options{
		State:      func() (bool, string) { return c.state(s, xds) },
		ConfigDump: func() (proto.Message, error) { return xds.ConfigDump(), nil },
		Clusters:   func() []admin.ClusterStatus { return clusterStatus(s, c.Bootstrap.ADS != nil) },
		Refusals:   func() []dashboard.Refusal { return refusals(xds.ClientConfig(false)) },
		Drain:      func(graceful bool) { c.drain(s, graceful) },
		Purge:      s.Purge,
		Models:     s.Models,
		Quit:       quit,
		Registry:   s.Registry(),
		Level:      c.Level,
		Info: admin.Info{
			Version: c.Version, Started: time.Now(),
			NodeID: c.Bootstrap.Node.GetId(), NodeCluster: c.Bootstrap.Node.GetCluster(),
		},
	}
}

package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/fridaymesh/friday/proxy/admin"
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

	Level   zap.AtomicLevel
	Version string
}

// Run serves until ctx is done, then drains and returns nil. It returns an error
// where it cannot start.
func (c *Sidecar) Run(ctx context.Context) (err error) {
	s, err := New(c.Options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }() //nolint:contextcheck // the drain begins when ctx has ended
	xds := c.client(s)
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Bootstrap.AdminAddress)
	if err != nil {
		return fmt.Errorf("admin door: %w", err)
	}
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	door := &http.Server{
		Handler:           admin.New(c.admin(s, xds, quit)), //nolint:contextcheck // the probe has a timeout of its own
		ReadHeaderTimeout: 10 * time.Second,
	}
	c.Log.Info("admin door open", zap.Stringer("address", ln.Addr()))

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := door.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("admin door: %w", err)
		}
		return nil
	})
	g.Go(func() error { return xds.Run(gctx) })
	g.Go(func() error {
		<-gctx.Done()
		c.Log.Info("draining")
		s.Drain()    //nolint:contextcheck // the drain begins when ctx has ended
		s.WaitIdle() //nolint:contextcheck // the drain begins when ctx has ended
		c.Log.Info("drained")
		return door.Close()
	})
	return g.Wait()
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
	}
	if c.Bootstrap.ADS != nil {
		o.Targets = c.Bootstrap.ADS.Targets
	}
	if c.StateDir != "" {
		o.StateFile = filepath.Join(c.StateDir, "xds.pb")
	}
	return client.New(o)
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
	return true, words
}

// admin wires the door to what it shows.
func (c *Sidecar) admin(s *Server, xds *client.Client, quit func()) admin.Options {
	return admin.Options{
		State:      func() (bool, string) { return c.state(s, xds) },
		ConfigDump: func() (proto.Message, error) { return xds.ConfigDump(), nil },
		Clusters:   func() []admin.ClusterStatus { return clusterStatus(s, c.Bootstrap.ADS != nil) },
		Drain:      func(bool) { s.Drain() },
		Quit:       quit,
		Registry:   s.Registry(),
		Level:      c.Level,
		Info: admin.Info{
			Version: c.Version, Started: time.Now(),
			NodeID: c.Bootstrap.Node.GetId(), NodeCluster: c.Bootstrap.Node.GetCluster(),
		},
	}
}

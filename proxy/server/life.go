package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/fridaymesh/friday/proxy/admin"
	"github.com/fridaymesh/friday/proxy/listener/takeover"
	"github.com/fridaymesh/friday/proxy/telemetry"
	"github.com/fridaymesh/friday/xds/client"
)

// life is a Sidecar from its beginning to its end.
type life struct {
	// Set once.
	*Sidecar

	s       *Server
	xds     *client.Client
	xdsOver chan struct{}
	stopXDS context.CancelFunc
	door    *http.Server
	doorLn  net.Listener
	claim   *takeover.Claim // nil: there is nobody to take over from
	left    chan struct{}   // closed when a successor serves
}

// Run serves until ctx is done or a successor has taken over, then drains and returns
// nil. It returns an error where it cannot start.
func (c *Sidecar) Run(ctx context.Context) (err error) {
	l := &life{Sidecar: c, xdsOver: make(chan struct{}), left: make(chan struct{})}
	if err := l.succeed(ctx); err != nil {
		return err
	}
	if l.claim != nil {
		defer func() { err = errors.Join(err, l.claim.Close()) }()
		c.Inherit = func(address string) (net.Listener, error) { return l.claim.Listener(listenerSocket + address) }
	}
	if l.s, err = New(c.Options); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.s.Close()) }() //nolint:contextcheck // the drain begins when ctx has ended
	l.xds = c.client(l.s)
	inherited, err := l.listenAdmin(ctx)
	if err != nil {
		return err
	}
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	telemetry.RegisterReady(l.s.Registry(), func() bool { //nolint:contextcheck // the probe has a timeout of its own
		ready, _ := c.state(l.s, l.xds)
		return ready
	})
	l.door = adminDoor(admin.New(c.admin(l.s, l.xds, quit)), l.xds) //nolint:contextcheck // the probe has a timeout of its own
	g, gctx := errgroup.WithContext(ctx)
	xctx, stopXDS := context.WithCancel(gctx)
	l.stopXDS = stopXDS
	defer stopXDS()
	g.Go(func() error {
		defer close(l.xdsOver)
		return l.xds.Run(xctx)
	})
	g.Go(func() error {
		if inherited && !l.ready(gctx) { // until then whoever asks is told of the one that serves
			return l.doorLn.Close()
		}
		return l.serveAdmin()
	})
	g.Go(func() error { return l.follow(gctx) })
	g.Go(func() error {
		select {
		case <-gctx.Done():
			l.end() //nolint:contextcheck // the drain begins when ctx has ended
		case <-l.left:
			l.handOver() //nolint:contextcheck // as above
		}
		quit()
		return l.door.Close()
	})
	return g.Wait()
}

// listenAdmin opens the admin door, or inherits it.
func (l *life) listenAdmin(ctx context.Context) (inherited bool, err error) {
	address := l.Bootstrap.AdminAddress
	if l.claim != nil {
		if l.doorLn, err = l.claim.Listener(adminSocket + address); err != nil {
			return false, fmt.Errorf("admin door: %w", err)
		}
	}
	if inherited = l.doorLn != nil; !inherited {
		if l.doorLn, err = (&net.ListenConfig{}).Listen(ctx, "tcp", address); err != nil {
			return false, fmt.Errorf("admin door: %w", err)
		}
	}
	return inherited, nil
}

func (l *life) serveAdmin() error {
	l.Log.Info("admin door open", zap.Stringer("address", l.doorLn.Addr()))
	if err := l.door.Serve(l.doorLn); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin door: %w", err)
	}
	return nil
}

// ready waits until a configuration is in force; false where ctx ends first.
func (l *life) ready(ctx context.Context) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if ready, _ := l.s.State(); ready && l.xds.Ready() {
			return true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
}

// end ends by itself.
func (l *life) end() {
	ready, _ := l.s.State() // where it was never ready nobody routes here
	if d := l.DrainDelay; d > 0 && ready {
		l.Log.Info("not ready any more; draining begins after the delay", zap.Duration("drain_delay", d))
		l.s.Leave()
		time.Sleep(d)
	}
	l.Log.Info("draining")
	l.s.Drain()
	l.s.WaitIdle()
	l.Log.Info("drained")
}

// linger is how long connections that a successor does not have may take for one more
// request, whose answer tells their caller to open another.
const linger = 10 * time.Second

// handOver ends because a successor serves. What it has accepted itself, it serves.
func (l *life) handOver() {
	l.Log.Info("handed over; draining")
	ctx, cancel := context.WithTimeout(context.Background(), min(linger, l.s.opts.DrainTimeout/2))
	defer cancel()
	l.s.Linger(ctx)
	l.s.Drain()
	l.s.WaitIdle()
	l.Log.Info("drained")
}

package server

import (
	"context"
	"errors"
	"net"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

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
	doors   []*opening
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
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	telemetry.RegisterReady(l.s.Registry(), func() bool { //nolint:contextcheck // the probe has a timeout of its own
		ready, _ := c.state(l.s, l.xds)
		return ready
	})
	if err := l.open(ctx, quit); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	xctx, stopXDS := context.WithCancel(gctx)
	l.stopXDS = stopXDS
	defer stopXDS()
	g.Go(func() error {
		defer close(l.xdsOver)
		return l.xds.Run(xctx)
	})
	for _, d := range l.doors {
		g.Go(func() error {
			if d.inherited && !l.ready(gctx) { // until then whoever asks is told of the one that serves
				return d.ln.Close()
			}
			return d.serve(l.Log)
		})
	}
	g.Go(func() error { return l.follow(gctx) })
	g.Go(func() error {
		select {
		case <-gctx.Done():
			l.end() //nolint:contextcheck // the drain begins when ctx has ended
		case <-l.left:
			l.handOver() //nolint:contextcheck // as above
		}
		quit()
		return l.closeDoors()
	})
	return g.Wait()
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
	if d := l.delay(l.s); d > 0 {
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

package client

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/keepalive"
)

const (
	// maxResponse bounds one response of the control plane.
	maxResponse = 256 << 20
	// pingAfter and pingTimeout find out that a silent control plane is gone.
	pingAfter, pingTimeout = 30 * time.Second, 10 * time.Second
	// connectTimeout bounds an attempt to connect.
	connectTimeout = 10 * time.Second
	// silence is how long a control plane may take to answer anything where there
	// is another one to ask.
	silence = 15 * time.Second
	// returnAfter is how often a better control plane than the one that is
	// followed is looked for. Each return that fails doubles it, up to maxReturn.
	returnAfter, maxReturn = 30 * time.Second, 10 * time.Minute
)

var (
	errSilent = errors.New("no answer, and there is another control plane")
	errBetter = errors.New("a control plane that stands before it is back")
)

// backoff is how long to wait before the next attempt after so many failures: 1 s
// × 1.6, at most 30 s, ± 20%. jitter is 0 to 1.
func backoff(failures int, jitter float64) time.Duration {
	seconds := min(math.Pow(1.6, float64(failures-1)), 30)
	return time.Duration(seconds * (0.8 + 0.4*jitter) * float64(time.Second))
}

// afterSuccess is how long to wait after a stream that was of use, so that a
// control plane that restarts does not get all its sidecars at once. jitter is 0
// to 1.
func afterSuccess(jitter float64) time.Duration {
	return time.Duration(jitter * float64(200*time.Millisecond))
}

// feed is a source of resources: the control plane, or a server of secrets. One
// goroutine follows it, one stream after another.
type feed struct {
	// Set once.
	c       *Client
	source  string // empty for the control plane
	targets []Target
	delta   bool
	kinds   []kind
	// wake says that the state has changed.
	wake chan struct{}

	// Guarded by c.mu.
	acks []kind // what was refused and is in force by now
	stop context.CancelFunc

	// The goroutine's own.
	patience time.Duration // until a better target is looked for
}

// follow opens one stream after another: to the first target that answers, in
// their order.
func (f *feed) follow(ctx context.Context) {
	failures, at := 0, 0
	f.patience = f.c.returnAfter
	for ctx.Err() == nil {
		received, err := f.stream(ctx, at)
		if ctx.Err() != nil {
			return
		}
		jitter := rand.Float64() // #nosec G404 -- spreads load
		wait := afterSuccess(jitter)
		target := f.targets[at].URI
		switch {
		case errors.Is(err, errBetter):
			failures, at, wait = 0, 0, 0
			f.patience = min(2*f.patience, maxReturn)
		case received:
			if at == 0 {
				f.patience = f.c.returnAfter
			}
			failures, at = 0, 0
		case at+1 < len(f.targets):
			at++
			wait = 0
		default:
			at = 0
			failures++
			wait = backoff(failures, jitter)
		}
		f.c.log.Warn("no stream to the control plane; what is in force goes on",
			zap.String("target", target), zap.Error(err), zap.Duration("retry_in", wait))
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (f *feed) dial(t Target) (*grpc.ClientConn, error) {
	return grpc.NewClient(t.URI, append([]grpc.DialOption{
		grpc.WithTransportCredentials(t.credentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxResponse)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: grpcbackoff.DefaultConfig, MinConnectTimeout: connectTimeout}),
		grpc.WithNoProxy(),
	}, f.c.opts.DialOptions...)...)
}

// stream opens one stream and follows it to its end. received says whether it
// was of any use.
func (f *feed) stream(ctx context.Context, at int) (received bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t := f.targets[at]
	// A connection for each attempt: the name is resolved anew, and gRPC's own
	// back-off does not add itself to ours.
	outgoing, err := t.outgoing(ctx, f.c.opts.Identity)
	if err != nil {
		return false, err
	}
	conn, err := f.dial(t)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	w, err := f.open(outgoing, conn, t.URI)
	if err != nil {
		return false, err
	}
	s := &stream{c: f.c, feed: f, wire: w, target: t.URI}
	updates := make(chan *update)
	var wg sync.WaitGroup
	defer wg.Wait() // after cancel: defers run last to first, so cancel here too
	defer cancel(nil)
	var broke error
	answered := make(chan struct{})
	wg.Go(func() {
		defer close(updates)
		broke = f.receive(ctx, w, updates, sync.OnceFunc(func() { close(answered) }))
	})
	if len(f.targets) > 1 {
		wg.Go(func() { f.watch(ctx, at, answered, cancel) })
	}
	err = s.run(ctx, updates)
	if why := context.Cause(ctx); errors.Is(why, errBetter) || errors.Is(why, errSilent) {
		return s.received, why
	}
	if err == nil || errors.Is(err, io.EOF) {
		// The stream is over, and only Recv says why. It closes updates when it
		// has.
		for range updates { // thrown away
		}
		err = broke
	}
	return s.received, err
}

// receive hands on what comes until the stream ends, and says why it did.
func (f *feed) receive(ctx context.Context, w wire, updates chan<- *update, answered func()) error {
	for {
		u, typeURL, err := w.recv()
		if err != nil {
			return err
		}
		answered()
		if u == nil {
			f.c.log.Warn("response of a type that was not asked for", zap.String("type_url", typeURL))
			continue
		}
		select {
		case updates <- u:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watch gives up a stream for another target: where it is silent from the
// beginning, or where a target that stands before it is back.
func (f *feed) watch(ctx context.Context, at int, answered <-chan struct{}, give func(error)) {
	timer := time.NewTimer(silence)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
		give(errSilent)
		return
	case <-answered:
	}
	for at > 0 {
		timer.Reset(f.patience)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		for _, better := range f.targets[:at] {
			if f.reaches(ctx, better) {
				give(errBetter)
				return
			}
		}
	}
}

// reaches says whether a connection to t can be made.
func (f *feed) reaches(ctx context.Context, t Target) bool {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := f.dial(t)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }() // it was a question only
	conn.Connect()
	for {
		switch at := conn.GetState(); at {
		case connectivity.Ready:
			return true
		case connectivity.TransientFailure, connectivity.Shutdown:
			return false
		default:
			if !conn.WaitForStateChange(ctx, at) {
				return false
			}
		}
	}
}

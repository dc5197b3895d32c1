package client

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const (
	// maxResponse bounds one response of the control plane.
	maxResponse = 256 << 20
	// pingAfter and pingTimeout find out that a silent control plane is gone.
	pingAfter, pingTimeout = 30 * time.Second, 10 * time.Second
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

// follow opens one stream after another.
func (c *Client) follow(ctx context.Context) {
	failures := 0
	for attempt := 0; ctx.Err() == nil; attempt++ {
		target := c.opts.Targets[attempt%len(c.opts.Targets)]
		received, err := c.stream(ctx, target)
		if ctx.Err() != nil {
			return
		}
		jitter := rand.Float64() // #nosec G404 -- spreads load
		wait := afterSuccess(jitter)
		if received {
			failures = 0
		} else {
			failures++
			wait = backoff(failures, jitter)
		}
		c.log.Warn("no stream to the control plane; what is in force goes on",
			zap.String("target", target), zap.Error(err), zap.Duration("retry_in", wait))
		c.wait(ctx, wait)
	}
}

// wait lets time pass without a stream.
func (c *Client) wait(ctx context.Context, d time.Duration) {
	end := time.Now().Add(d)
	for {
		now := time.Now()
		if !now.Before(end) {
			return
		}
		until := end
		if at, ok := c.deadline(); ok && at.Before(until) {
			until = at
		}
		timer := time.NewTimer(time.Until(until))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case now = <-timer.C:
			if now.Before(end) {
				c.tick(now)
			}
		}
	}
}

// stream opens one stream and follows it to its end. received says whether it
// was of any use.
func (c *Client) stream(ctx context.Context, target string) (received bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A connection for each attempt: the name is resolved anew, and gRPC's own
	// back-off does not add itself to ours.
	conn, err := grpc.NewClient(target, append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxResponse)),
		grpc.WithNoProxy(),
	}, c.opts.DialOptions...)...)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ads, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		return false, err
	}
	s := &stream{c: c, ads: ads, node: c.opts.Node}
	responses := make(chan *discoveryv3.DiscoveryResponse)
	var wg sync.WaitGroup
	defer wg.Wait() // after cancel: defers run last to first, so cancel here too
	defer cancel()
	var broke error
	wg.Go(func() {
		defer close(responses)
		for {
			resp, err := ads.Recv()
			if err != nil {
				broke = err
				return
			}
			select {
			case responses <- resp:
			case <-ctx.Done():
				broke = ctx.Err()
				return
			}
		}
	})
	err = s.run(ctx, target, responses)
	if err == nil || errors.Is(err, io.EOF) {
		// The stream is over, and only Recv says why. It closes responses when it
		// has.
		for range responses { // thrown away
		}
		err = broke
	}
	return s.received, err
}

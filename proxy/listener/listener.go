package listener

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy/telemetry"
)

// Listener accepts on one address.
type Listener struct {
	// Set once.
	ln    net.Listener
	watch *Watch
	log   *zap.Logger

	wg sync.WaitGroup

	mu     sync.Mutex
	conns  map[*Conn]struct{}
	closed bool
}

// Listen binds address (IP:port); 0.0.0.0 is IPv4 only, as everywhere but in Go.
// It accepts nothing until Serve.
func Listen(ctx context.Context, address string, watch *Watch, log *zap.Logger) (*Listener, error) {
	network := "tcp"
	if ap, err := netip.ParseAddrPort(address); err == nil && ap.Addr().Is4() {
		network = "tcp4"
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return On(ln, watch, log), nil
}

// On is Listen on a socket that is there.
func On(ln net.Listener, watch *Watch, log *zap.Logger) *Listener {
	return &Listener{ln: ln, watch: watch, log: log, conns: make(map[*Conn]struct{})}
}

// Socket is the listening socket; nil where it is none of the system's.
func (l *Listener) Socket() syscall.Conn {
	s, _ := l.ln.(syscall.Conn)
	return s
}

// Addr is the bound address.
func (l *Listener) Addr() net.Addr { return l.ln.Addr() }

// Serve accepts until Close and calls serve for each connection, in a goroutine
// of its own; the connection is closed when serve returns. Out of descriptors it
// waits and tries again.
func (l *Listener) Serve(serve func(*Conn)) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.wg.Add(1) // whoever waits also waits for what has been accepted just before Close
	l.mu.Unlock()
	defer l.wg.Done()
	var delay time.Duration
	for {
		nc, err := l.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			l.log.Warn("accept failed", zap.String(telemetry.FieldListener, l.Addr().String()), zap.Error(err), zap.Duration("retry_in", delay))
			time.Sleep(delay)
			continue
		}
		delay = 0
		if err := l.adopt(nc, serve); err != nil {
			l.log.Warn("connection refused", zap.Error(errors.Join(err, nc.Close())))
		}
	}
}

func (l *Listener) adopt(nc net.Conn, serve func(*Conn)) error {
	c := &Conn{Conn: nc}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.watch.add(c); err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	l.conns[c] = struct{}{}
	l.wg.Go(func() {
		defer l.release(c)
		serve(c)
	})
	return nil
}

func (l *Listener) release(c *Conn) {
	_ = c.Close() // it may well be closed already
	l.watch.remove(c)
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

// Close stops accepting. Connections go on, also one that has been accepted in this
// moment.
func (l *Listener) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	return l.ln.Close()
}

// Wait returns when every connection has ended, or with ctx's error. It is called after
// Close.
func (l *Listener) Wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() { l.wg.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Abort closes every connection under whoever serves it.
func (l *Listener) Abort() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Close() // there is nobody to tell
	}
}

// Connections is how many are open.
func (l *Listener) Connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

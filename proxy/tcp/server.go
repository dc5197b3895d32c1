package tcp

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/exchange"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// Server relays the connections of one listener.
type Server struct {
	// Set once.
	metrics  *telemetry.Metrics
	recorder *telemetry.Recorder
}

// New makes a Server.
func New(m *telemetry.Metrics, r *telemetry.Recorder) *Server {
	return &Server{metrics: m, recorder: r}
}

// Conn is a connection whose sides end one by one.
type Conn interface {
	net.Conn
	CloseWrite() error
}

// ServeConn relays c to one of t's clusters until both sides have ended, one has
// broken off, or ctx is done. It closes nothing but what it has opened.
func (s *Server) ServeConn(ctx context.Context, c Conn, t *config.ActiveTCP) {
	if t.MaxDuration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.MaxDuration)
		defer cancel()
	}
	x := telemetry.Relay{Listener: t.Listener, Remote: c.RemoteAddr(), Local: c.LocalAddr(), Start: time.Now()}
	name, cl := t.Choose()
	x.Cluster = name
	active := s.metrics.TCPActive.WithLabelValues(t.Listener, name)
	active.Inc()
	defer active.Dec()
	defer func() {
		x.Duration = time.Since(x.Start)
		s.recorder.Relayed(&x, t.AccessLog == config.LogAll, t.AccessLog != config.LogNone)
	}()
	if cl == nil {
		x.Err = &proxy.Error{Flag: proxy.FlagNoCluster, Message: "no such cluster"}
		return
	}
	req := &proxy.Request{Body: proxy.NoBody, Remote: c.RemoteAddr(), Local: c.LocalAddr(), Protocol: "tcp", Cluster: name}
	exchange.Connection(req, c)
	up, err := cl.Connect(ctx, req, int(t.ConnectAttempts))
	x.Upstream = req.Trace.Upstream
	if err != nil {
		x.Err = proxy.AsError(ctx, err)
		return
	}
	defer func() { _ = up.Close() }()          // it may well be closed already
	r := newRelay(c, up.(Conn), t.IdleTimeout) //nolint:forcetypeassert // Connect's connections have sides
	stop := context.AfterFunc(ctx, func() { r.cut(context.Cause(ctx)) })
	x.Received, x.Sent, err = r.run()
	stop()
	if err != nil && (t.MaxDuration == 0 || !errors.Is(err, context.DeadlineExceeded)) {
		x.Err = &proxy.Error{Flag: proxy.FlagUpstreamReset, Message: "cut", Err: err}
	}
}

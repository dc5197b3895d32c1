package h2

import (
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/exchange"
	"github.com/fridaymesh/friday/proxy/http2"
)

// Preface is what every connection begins with (RFC 9113 section 3.4). No HTTP/1.1
// request does.
const Preface = http2.Preface

const (
	// maxStreams is how many requests a connection may have in flight. A gRPC channel
	// is one connection, and a batch may hold as many.
	maxStreams = 1000
	// streamWindow and connWindow bound what is received and not read yet (RFC 9113
	// section 5.2). The connection's is so much larger that a few requests that wait
	// with their bodies unread do not hold up the others.
	streamWindow = 256 << 10
	connWindow   = 4 << 20
)

// Server serves the HTTP/2 connections of one listener.
type Server struct {
	*exchange.Codec // set once

	config http2.Config // set once; of every connection

	mu    sync.Mutex
	conns map[*conn]struct{}
}

// New makes a Server. The limits that concern a whole connection (head size,
// idle time) are those in force when it is made.
func New(o exchange.Options) *Server {
	active := o.Listener()
	return &Server{
		Codec: exchange.NewCodec(o),
		config: http2.Config{
			MaxStreams: maxStreams, StreamWindow: streamWindow, ConnWindow: connWindow,
			MaxHeaderBytes: uint32(active.HTTP.MaxHeaderBytes), // #nosec G115 -- at most 8 MiB
			IdleTimeout:    active.HTTP.IdleTimeout,
			HeadTimeout:    active.HTTP.HeadersTimeout,
			Connect:        active.HTTP.AllowConnect && len(active.HTTP.Upgrades) > 0,
		},
		conns: make(map[*conn]struct{}),
	}
}

// ServeConn serves one connection, which begins with Preface, to the end of the last
// request that came over it.
func (s *Server) ServeConn(nc net.Conn) {
	if nc.SetReadDeadline(time.Time{}) != nil { // that of the preface
		return
	}
	c := &conn{nc: nc, begun: time.Now()}
	cfg := s.config
	cfg.Accept = func(st *http2.Stream) {
		c.total.Add(1)
		c.serving.Add(1)
		go s.serve(c, st)
	}
	c.Conn = http2.NewConn(nc, cfg)
	s.mu.Lock()
	if s.Refusing() {
		s.mu.Unlock()
		return
	}
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	if d := s.Listener().HTTP.Limits.MaxConnectionDuration; d < config.Unlimited {
		t := time.AfterFunc(d, c.expire)
		defer t.Stop()
	}
	s.Log.Debug("connection ended", zap.Error(c.Serve()))
	c.serving.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// Idle says that there are no connections.
func (s *Server) Idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns) == 0
}

// Drain sends GOAWAY on every connection: what runs, or is on its way, ends, nothing
// new begins, and the connection is closed after that. New connections are refused. It
// does not wait.
func (s *Server) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Refuse()
	for c := range s.conns {
		c.Shutdown()
	}
}

package h2

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/exchange"
)

// Preface is what every connection begins with (RFC 9113 section 3.4). No HTTP/1.1
// request does.
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

const (
	// maxStreams is how many requests a connection may have in flight. A gRPC channel
	// is one connection, and a batch may hold as many.
	maxStreams = 1000
	// streamWindow and connWindow bound what is received and not read yet (RFC 9113
	// section 5.2). The connection's is so much larger that a few requests that wait
	// with their bodies unread do not hold up the others.
	streamWindow = 256 << 10
	connWindow   = 4<<20 - 1 // net/http's limit
)

// Server serves the HTTP/2 connections of one listener.
type Server struct {
	*exchange.Codec // set once

	http *http.Server // set once

	mu    sync.Mutex
	conns map[*conn]struct{}
}

// New makes a Server. The limits that concern a whole connection (head size,
// idle time) are those in force when it is made.
func New(o exchange.Options) *Server {
	active := o.Listener()
	s := &Server{Codec: exchange.NewCodec(o), conns: make(map[*conn]struct{})}
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		Protocols:         new(http.Protocols),
		MaxHeaderBytes:    active.HTTP.MaxHeaderBytes,
		ReadHeaderTimeout: active.HTTP.HeadersTimeout, // of the preface, which has arrived
		IdleTimeout:       active.HTTP.IdleTimeout,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: connWindow,
			MaxReceiveBufferPerStream:     streamWindow,
		},
		DisableGeneralOptionsHandler: true, // OPTIONS * is the server's to answer
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	s.http.Protocols.SetUnencryptedHTTP2(true)
	if log, err := zap.NewStdLogAt(s.Log, zap.DebugLevel); err == nil { // the level is known to it
		s.http.ErrorLog = log
	}
	return s
}

// ServeConn serves one connection, which begins with Preface, to the end of the last
// request that came over it.
func (s *Server) ServeConn(nc net.Conn) {
	c := newConn(nc)
	s.mu.Lock()
	if s.Refusing() {
		s.mu.Unlock()
		return
	}
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	if d := s.Listener().HTTP.Limits.MaxConnectionDuration; d < config.Unlimited {
		t := time.AfterFunc(d, c.expire)
		defer t.Stop()
	}
	one := &only{c: c, closed: make(chan struct{})}
	err := s.http.Serve(one)
	if !one.taken.Load() {
		return // the drain was quicker
	}
	s.Log.Debug("connection handed over", zap.Error(err))
	<-c.done
	c.wait()
}

// Idle says that there are no connections.
func (s *Server) Idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns) == 0
}

// Drain sends GOAWAY on every connection: what runs ends, nothing new begins, and a
// connection that serves nothing is closed a second later unless its caller closes it
// at once. New connections are refused. It does not wait.
func (s *Server) Drain() {
	s.mu.Lock()
	s.Refuse()
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // only to begin it: whoever waits, waits for the connections
	_ = s.http.Shutdown(ctx)
}

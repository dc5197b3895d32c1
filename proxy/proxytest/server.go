package proxytest

import (
	"bufio"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// Script answers one request. It runs on the connection's goroutine: what it
// writes goes out at once, and when it returns the server reads the rest of the
// request's body, then the next request, unless the script ended the connection
// or the caller asked for its end.
type Script func(x *Exchange)

// Server is a model server on a loopback socket.
type Server struct {
	// Set once.
	t        testing.TB
	listener net.Listener
	script   Script
	done     sync.WaitGroup
	quit     chan struct{} // closed by Close

	mu          sync.Mutex
	changed     chan struct{} // closed and replaced whenever what follows changes
	closed      bool
	connections int
	open        map[net.Conn]bool // whether it waits for a request
	requests    []*Request
}

// NewServer starts a server that answers every request by script. It ends with
// the test.
func NewServer(t testing.TB, script Script) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // ends with the test
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	s := &Server{t: t, listener: l, script: script, open: map[net.Conn]bool{}, changed: make(chan struct{}), quit: make(chan struct{})}
	s.done.Go(s.accept)
	t.Cleanup(s.Close)
	return s
}

// Address is the server's host:port.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Close stops listening, closes every connection and waits for the scripts.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.quit)
	}
	for c := range s.open {
		_ = c.Close() // scripts see it
	}
	s.mu.Unlock()
	_ = s.listener.Close() // once more does no harm
	s.done.Wait()
}

// Refuse stops listening and leaves the connections alone: who dials now is
// refused.
func (s *Server) Refuse() { _ = s.listener.Close() } // accept ends

// Connections counts the connections ever accepted.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connections
}

// Open counts the connections open just now.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// Requests returns the requests whose heads have been read, in order of arrival.
func (s *Server) Requests() []*Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// WaitRequests waits until n requests have arrived and returns them.
func (s *Server) WaitRequests(n int) []*Request {
	s.t.Helper()
	s.Wait("requests", func() bool { return len(s.requests) >= n })
	return s.Requests()
}

// WaitOpen waits until n connections are open.
func (s *Server) WaitOpen(n int) {
	s.t.Helper()
	s.Wait("open connections", func() bool { return len(s.open) == n })
}

// CloseIdle waits until some connection waits for a request, and closes all that
// do, as servers with a keep-alive timeout do.
func (s *Server) CloseIdle() { s.endIdle((*net.TCPConn).Close) }

// ResetIdle does it with a reset instead of an orderly end.
func (s *Server) ResetIdle() { s.endIdle(reset) }

func (s *Server) endIdle(end func(*net.TCPConn) error) {
	s.t.Helper()
	s.Wait("an idle connection", func() bool {
		found := false
		for c, idle := range s.open {
			if idle {
				_ = end(c.(*net.TCPConn)) //nolint:forcetypeassert // the listener is TCP's
				found = true
			}
		}
		return found
	})
}

// Wait waits until condition holds, which is asked under the server's lock each
// time something has changed.
func (s *Server) Wait(what string, condition func() bool) {
	s.t.Helper()
	patience := time.NewTimer(Patience)
	defer patience.Stop()
	for {
		s.mu.Lock()
		ok, changed := condition(), s.changed
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-patience.C:
			s.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// change runs f under the lock and wakes who waits.
func (s *Server) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		n, closed := 0, false
		s.change(func() {
			s.connections++
			n, closed = s.connections, s.closed
			s.open[c] = true
		})
		if closed {
			_ = c.Close() // nobody is told
		}
		s.done.Go(func() { s.serve(c, n) })
	}
}

// serve runs the n-th connection, from 1 on.
func (s *Server) serve(c net.Conn, n int) {
	defer s.change(func() { delete(s.open, c) })
	defer c.Close() //nolint:errcheck // mostly closed already
	br := bufio.NewReader(c)
	for {
		req, err := readRequest(br)
		if err != nil {
			return
		}
		req.Connection = n
		x := &Exchange{Request: req, s: s, conn: c, br: br}
		s.change(func() {
			s.open[c] = false
			req.Number = len(s.requests) + 1
			s.requests = append(s.requests, req)
		})
		s.script(x)
		if !x.finish() {
			return
		}
	}
}

package standin

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// ErrCallerGone is why the work for a caller that left was given up.
var ErrCallerGone = errors.New("standin: caller gone")

// errHangUp ends a connection as [Config.HangUp] says.
var errHangUp = errors.New("standin: hang up")

// Server is a stand-in that serves. It has its own loop on a connection, because
// it must notice a caller that leaves while the call waits, which fasthttp's
// server does not, and be fast enough to load a proxy, which net/http's is not.
type Server struct {
	config      Config
	accelerator *accelerator
	counters    counters
	done        chan struct{}
	wg          sync.WaitGroup

	mu     sync.Mutex
	closed bool
	open   map[io.Closer]struct{} // listeners and connections
}

// New makes a server of a configuration, whose zero numbers become the defaults.
func New(c Config) (*Server, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return &Server{
		config: c, accelerator: newAccelerator(c),
		done: make(chan struct{}), open: make(map[io.Closer]struct{}),
	}, nil
}

// Serve accepts connections on ln until Close, and then returns nil.
func (s *Server) Serve(ln net.Listener) error {
	if !s.keep(ln) {
		return ln.Close()
	}
	defer s.drop(ln)
	for {
		nc, err := ln.Accept()
		if err != nil {
			select {
			case <-s.done:
				return nil
			default:
				return fmt.Errorf("standin: %w", err)
			}
		}
		if !s.keep(nc) {
			_ = nc.Close()
			return nil
		}
		s.counters.connections.Add(1)
		s.counters.open.Add(1)
		s.wg.Go(func() {
			defer s.counters.open.Add(-1)
			defer s.drop(nc)
			c := &conn{Server: s, nc: nc, br: bufio.NewReaderSize(nc, 16<<10)}
			c.serve()
		})
	}
}

// Close ends everything at once, also what is being served, and waits for it.
func (s *Server) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.done)
	}
	for c := range s.open {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}

func (s *Server) keep(c io.Closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.open[c] = struct{}{}
	return true
}

func (s *Server) drop(c io.Closer) {
	_ = c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

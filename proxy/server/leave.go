package server

import (
	"context"
	"maps"
	"slices"
	"sync"
	"syscall"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy/telemetry"
)

// A server ends in three steps. Leave makes it say that it is not ready, and has every
// answer tell its caller to come back elsewhere, while everything is served as before:
// time for those who route to it to hear of it. Drain stops accepting and closes what
// serves nothing. WaitIdle waits for the rest.
//
// Where a successor has the sockets there is nobody to be told: HandOver stops
// accepting, and Linger gives connections a while to end by their next answer. A connection that is
// closed while its caller is about to use it is a failed request.

// Leave makes the server say that it is not ready, and has connections closed after
// their next answer. Everything is served as before; no more configuration is taken.
func (s *Server) Leave() {
	if s.state.Swap(draining) == draining {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.running {
		r.leave()
	}
}

// Drain does what Leave does, stops accepting, and has connections closed as soon as
// they serve nothing. It does not wait.
func (s *Server) Drain() {
	s.HandOver()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.running {
		r.drain()
	}
}

// Sockets are what is listened on, by configured address.
func (s *Server) Sockets() map[string]syscall.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]syscall.Conn, len(s.doors))
	if s.shut.Load() {
		return all
	}
	for address, d := range s.doors {
		if socket := d.ln.Socket(); socket != nil {
			all[address] = socket
		}
	}
	return all
}

// HandOver does what Leave does and stops accepting: who has the sockets, too, accepts
// now. Connections that have been accepted go on.
func (s *Server) HandOver() {
	s.Leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut.Store(true)
	for _, d := range s.doors {
		_ = d.ln.Close() // it accepts nothing any more, whatever it says
	}
}

// Linger waits, after HandOver, until every connection has ended or ctx is over.
func (s *Server) Linger(ctx context.Context) {
	s.mu.Lock()
	doors := slices.Collect(maps.Values(s.doors))
	s.mu.Unlock()
	for _, d := range doors {
		_ = d.ln.Wait(ctx) // whoever is left is drained
	}
}

// WaitIdle waits, after Drain, for what runs until the drain timeout, and ends the
// rest.
func (s *Server) WaitIdle() {
	s.mu.Lock()
	all := append([]*running(nil), s.draining...)
	for _, r := range s.running {
		all = append(all, r)
	}
	doors := slices.Collect(maps.Values(s.doors))
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.DrainTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, r := range all {
		wg.Go(func() {
			if r.wait(ctx) != nil {
				s.log.Warn("drain timeout: ending what still runs",
					zap.String(telemetry.FieldListener, r.name()), zap.Int("connections", r.hall.size()))
				r.abort() //nolint:contextcheck // ctx is over
			}
		})
	}
	wg.Wait()
	for _, d := range doors {
		_ = d.ln.Wait(ctx) // their connections have ended, and are being let go of
	}
}

// Close drains, waits and lets go of everything.
func (s *Server) Close() error {
	s.Drain()
	s.WaitIdle()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.builder.Close()
	return s.watch.Close()
}

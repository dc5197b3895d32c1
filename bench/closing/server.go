package closing

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Server answers every POST with 1 KiB and closes a connection that has been idle for
// a time between Least and Most, drawn anew after each answer. As real servers do, it
// closes without looking whether a request has just come: then the caller gets a
// reset, not an end.
type Server struct {
	Least, Most time.Duration
	// Accepted, Closed and Answered count the connections, those closed while idle,
	// and the requests.
	Accepted, Closed, Answered atomic.Int64

	ln net.Listener
	wg sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// Listen begins to serve.
func (s *Server) Listen(ctx context.Context, address string) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	s.ln, s.conns = ln, make(map[net.Conn]struct{})
	s.wg.Go(s.accept)
	return nil
}

// Address is where it listens.
func (s *Server) Address() string { return s.ln.Addr().String() }

// Close ends it.
func (s *Server) Close() error {
	err := s.ln.Close()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close() // it may well be closed already
	}
	s.mu.Unlock()
	s.wg.Wait()
	return err
}

func (s *Server) accept() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.Accepted.Add(1)
		s.mu.Lock()
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.wg.Go(func() {
			s.serve(c)
			_ = c.Close() // as above
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

func (s *Server) serve(c net.Conn) {
	br := bufio.NewReader(c)
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("x", answerSize))
	var h fasthttp.RequestHeader
	for {
		idle := s.Least + rand.N(s.Most-s.Least+1) // #nosec G404 -- no secret
		if c.SetReadDeadline(time.Now().Add(idle)) != nil {
			return
		}
		if _, err := br.Peek(1); err != nil {
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				s.Closed.Add(1)
			}
			return
		}
		if c.SetReadDeadline(time.Time{}) != nil || h.Read(br) != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, br, int64(max(0, h.ContentLength()))); err != nil {
			return
		}
		s.Answered.Add(1)
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

const answerSize = 1024

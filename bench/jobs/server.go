package jobs

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Server answers every request at once, or after a pause.
type Server struct {
	// Answered counts the requests.
	Answered atomic.Int64
	// Pause is how long each takes.
	Pause time.Duration

	ln  net.Listener
	srv fasthttp.Server
}

// Listen serves until Close.
func (s *Server) Listen(ctx context.Context) error {
	var err error
	if s.ln, err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return fmt.Errorf("stand-in: %w", err)
	}
	s.srv.Handler = func(c *fasthttp.RequestCtx) {
		if string(c.Path()) != Endpoint {
			c.SetStatusCode(fasthttp.StatusNotFound)
			return
		}
		if s.Pause > 0 {
			time.Sleep(s.Pause)
		}
		s.Answered.Add(1)
		c.SetContentType("application/json")
		c.SetBodyString(`{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.25]}],"model":"m","usage":{"prompt_tokens":2,"total_tokens":2}}`)
	}
	go func() { _ = s.srv.Serve(s.ln) }() // it ends with Close
	return nil
}

// Address is host:port.
func (s *Server) Address() string { return s.ln.Addr().String() }

// Close ends it.
func (s *Server) Close() error { return s.srv.Shutdown() }

package h1

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/exchange"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// Server serves the connections of one listener.
type Server struct {
	*exchange.Codec // set once

	fast   *fasthttp.Server // set once
	limits config.Limits    // set once

	mu    sync.Mutex
	conns map[net.Conn]fasthttp.ConnState // what fasthttp is doing with each screen
	// tunnels are those that are no longer HTTP.
	tunnels map[net.Conn]*serving
}

// New makes a Server. The limits that concern a whole connection (head size,
// idle time) are those in force when it is made.
func New(o exchange.Options) *Server {
	active := o.Listener()
	s := &Server{
		Codec: exchange.NewCodec(o), limits: active.HTTP.Limits,
		conns: make(map[net.Conn]fasthttp.ConnState), tunnels: make(map[net.Conn]*serving),
	}
	s.fast = &fasthttp.Server{
		Handler:        s.handle,
		ErrorHandler:   s.malformed,
		ExpectHandler:  s.expect,
		ConnState:      s.setState,
		Logger:         quiet{},
		ReadBufferSize: active.HTTP.MaxHeaderBytes,
		ReadTimeout:    min(active.HTTP.HeadersTimeout, s.limits.RequestTimeout),
		IdleTimeout:    active.HTTP.IdleTimeout,
		// Bodies are pulled; their limit is kept by body.go. fasthttp reads the
		// smaller of 8 KiB and its own limit before it calls the handler: one byte.
		StreamRequestBody:  true,
		MaxRequestBodySize: 1,
		HeaderReceived: func(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
			expectation(h)
			return fasthttp.RequestConfig{ReadTimeout: maxIdleBody} // HeadersTimeout has done its work
		},
		MaxRequestsPerConn: s.limits.MaxRequestsPerConnection,
		// A connection that serves nothing holds no buffer to write; each answer is
		// flushed at its end, whatever else was asked meanwhile.
		ReduceMemoryUsage: true,
		// Nothing is added, nothing is rewritten.
		DisablePreParseMultipartForm:  true,
		DisableHeaderNamesNormalizing: true,
		NoDefaultServerHeader:         true,
		NoDefaultDate:                 true,
		NoDefaultContentType:          true,
		SecureErrorLogMessage:         true,
	}
	return s
}

// quiet drops fasthttp's own log: what it has to say reaches the access log.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

// ServeConn serves one connection to its end. Its first byte must have arrived:
// fasthttp gives a new connection the head's timeout for that too, and answers 408
// to one that was opened ahead of need.
func (s *Server) ServeConn(nc net.Conn) {
	c := newScreen(nc, s.limits)
	s.mu.Lock()
	if s.Refusing() {
		s.mu.Unlock()
		return
	}
	s.conns[c] = fasthttp.StateNew
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	if d := s.limits.MaxConnectionDuration; d < config.Unlimited {
		t := time.AfterFunc(d, func() { s.expire(c) })
		defer t.Stop()
	}
	if err := s.fast.ServeConn(c); err != nil {
		s.Log.Debug("connection ended", zap.Error(proxy.Quiet(err)))
	}
	s.leave(c)
}

func (s *Server) setState(c net.Conn, state fasthttp.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.conns[c]; !ok {
		return
	}
	s.conns[c] = state
	if state == fasthttp.StateIdle && (s.Refusing() || c.(*screen).expired.Load()) { //nolint:forcetypeassert // ServeConn made it
		// An answer may still wait to be sent with that to a pipelined request,
		// which is then read at once.
		time.AfterFunc(idleGrace, func() { s.closeIdle(c) })
	}
}

// idleGrace is how long a connection must serve nothing to be closed at a drain.
const idleGrace = 10 * time.Millisecond

func (s *Server) closeIdle(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state, ok := s.conns[c]; ok && !busy(state) {
		shut(c)
	}
}

// shut closes a connection under whoever reads from it, at once.
func shut(c net.Conn) { _ = c.(*screen).Conn.Close() } //nolint:forcetypeassert // ServeConn made it; it may well be closed already

// expire ends a connection that is old enough after its next answer.
func (s *Server) expire(c *screen) {
	c.expired.Store(true)
	s.closeIdle(c)
}

// busy says that a connection serves something: a request (the first byte of a new
// connection's is there, see ServeConn), or as a tunnel, which goes on until the drain's
// time is over.
func busy(state fasthttp.ConnState) bool {
	return state == fasthttp.StateNew || state == fasthttp.StateActive || state == fasthttp.StateHijacked
}

// Idle says that there are no connections.
func (s *Server) Idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns) == 0
}

// Drain closes the connections that serve nothing, has the others closed after
// their answer, and refuses new ones. It does not wait.
func (s *Server) Drain() {
	s.Refuse()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, state := range s.conns {
		if !busy(state) {
			shut(c)
		}
	}
}

// expect answers Expect: 100-continue (RFC 9110 section 10.1.1): a body over the
// limit is refused before it is sent.
func (s *Server) expect(ctx *fasthttp.RequestCtx) int {
	limit := s.Listener().HTTP.MaxBodyBytes
	if int64(ctx.Request.Header.ContentLength()) <= limit {
		return fasthttp.StatusContinue
	}
	pe := exchange.TooLarge(limit)
	s.refuse(ctx, pe, 0)
	return pe.Status
}

// malformed answers what is not HTTP (RFC 9112 section 2.2, RFC 6585 section 5).
func (s *Server) malformed(ctx *fasthttp.RequestCtx, err error) {
	pe := &proxy.Error{Status: fasthttp.StatusBadRequest, Flag: proxy.FlagDownstreamProtocol, Err: proxy.Quiet(err)}
	if why, ok := errors.AsType[*proxy.Error](err); ok { // the screen's
		pe = why
	} else if _, ok := errors.AsType[*fasthttp.ErrSmallBuffer](err); ok {
		pe.Status, pe.Flag = fasthttp.StatusRequestHeaderFieldsTooLarge, proxy.FlagDownstreamTooLarge
		if c, ok := ctx.Conn().(*screen); ok && c.state == inStart {
			pe.Status = fasthttp.StatusRequestURITooLong // not even its first line
		}
	} else if ne, ok := errors.AsType[net.Error](err); (ok && ne.Timeout()) || errors.Is(err, fasthttp.ErrTimeout) {
		pe.Status, pe.Flag = fasthttp.StatusRequestTimeout, proxy.FlagTimeout
	}
	took := time.Duration(0)
	if began := ctx.ConnTime(); !began.IsZero() { // it is, of a head that was not read
		took = time.Since(began)
	}
	s.refuse(ctx, pe, took)
}

// refuse answers what never becomes a request, and records it.
func (s *Server) refuse(ctx *fasthttp.RequestCtx, pe *proxy.Error, took time.Duration) {
	resp := pe.Response()
	ctx.Response.Reset()
	resp.Header.CopyTo(&ctx.Response.Header)
	ctx.Response.SetBodyString(pe.Message)
	ctx.Response.SetConnectionClose()
	s.Record(s.Listener(), &telemetry.Exchange{
		Request: &proxy.Request{
			Header: &ctx.Request.Header, Body: proxy.NoBody, Protocol: protocol,
			Remote: ctx.RemoteAddr(), Local: ctx.LocalAddr(),
		},
		Status: pe.Status, Err: pe, Duration: took, Sent: int64(len(pe.Message)),
	})
}

package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/rueidis"
	"go.uber.org/zap"
)

// Use is what a server is used for.
type Use struct {
	Log *zap.Logger
	// Up is 1 while the server is used, 0 else.
	Up prometheus.Gauge
	// Watched is what keys begin with whose changes are looked after: they can be read
	// from memory, which the server keeps true (client-side caching), and Ready is asked
	// when one has changed. Empty: none.
	Watched string
	// Ready is asked before a new connection is used, and after Look; an error means that
	// the connection cannot be used. May be nil.
	Ready func(l *Link) error
}

// Server is the server. Its methods are safe for concurrent use, also after Close: then
// it cannot be used.
type Server struct {
	// Set once.
	o      Options
	use    Use
	ctx    context.Context //nolint:containedctx // the server's life
	cancel context.CancelFunc
	ended  sync.WaitGroup

	// link is nil while the server cannot be used.
	link atomic.Pointer[Link]
	// cut asks for the link to be made anew, look for Ready to be asked.
	cut, look chan struct{}
}

var _ io.Closer = (*Server)(nil)

// Open makes a Server. It does not wait for it.
func Open(o Options, use Use) *Server {
	s := &Server{o: o, use: use, cut: make(chan struct{}, 1), look: make(chan struct{}, 1)}
	s.use.Log = use.Log.Named("shared").With(zap.String("address", o.Address))
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.use.Up.Set(0)
	s.ended.Go(s.run)
	return s
}

// Close ends it.
func (s *Server) Close() error {
	s.cancel()
	s.ended.Wait()
	return nil
}

// Context ends with the server.
func (s *Server) Context() context.Context { return s.ctx }

// Log is where what happens to the server is told.
func (s *Server) Log() *zap.Logger { return s.use.Log }

// Link is the connection that works as far as anybody knows; nil: none does.
func (s *Server) Link() *Link { return s.link.Load() }

// Look has Ready asked again, soon.
func (s *Server) Look() {
	select {
	case s.look <- struct{}{}:
	default:
	}
}

// Link is a connection that works as far as anybody knows.
type Link struct {
	rueidis.Client

	server *Server
	// inARow counts the questions in a row that were late or refused.
	inARow atomic.Int32
}

const (
	// mostInARow is how many questions in a row may be late or refused before the link is
	// cut.
	mostInARow = 5
	// leastPause and mostPause are how long it stays so; each time twice as long, until
	// the server was well for steady.
	leastPause, mostPause = 100 * time.Millisecond, 5 * time.Second
	steady                = 10 * time.Second
)

// Question is the context of a question, which has its deadline.
func (l *Link) Question() (context.Context, context.CancelFunc) {
	return context.WithTimeout(l.server.ctx, l.server.o.Timeout)
}

// Judge draws the conclusion from what became of a question: a connection that is gone
// cuts the link at once, a server that is late or refuses does when it goes on.
func (l *Link) Judge(err error) {
	if err == nil {
		l.inARow.Store(0)
		return
	}
	_, refused := rueidis.IsRedisErr(err)
	if (refused || errors.Is(err, context.DeadlineExceeded)) && l.inARow.Add(1) < mostInARow {
		return
	}
	s := l.server
	if s.link.CompareAndSwap(l, nil) {
		s.use.Up.Set(0)
		if s.ctx.Err() == nil {
			s.use.Log.Warn("the shared store is not used for now", zap.Error(err))
		}
		select {
		case s.cut <- struct{}{}:
		default:
		}
	}
}

// run makes links, one after the other.
func (s *Server) run() {
	pause, said := leastPause, ""
	for s.ctx.Err() == nil {
		l, err := s.connect()
		if err != nil {
			if text := err.Error(); text != said && s.ctx.Err() == nil {
				said = text
				s.use.Log.Warn("the shared store cannot be used", zap.Error(err))
			}
			s.sleep(pause)
			pause = min(2*pause, mostPause)
			continue
		}
		said = ""
		began := time.Now()
		s.use.Log.Info("the shared store is used")
		s.keep(l)
		if s.ctx.Err() != nil {
			return
		}
		if time.Since(began) > steady {
			pause = leastPause
		}
		s.sleep(pause)
		pause = min(2*pause, mostPause)
	}
}

// keep has a link used until it is cut.
func (s *Server) keep(l *Link) {
	defer l.Close()
	s.use.Up.Set(1)
	s.link.Store(l)
	for {
		select {
		case <-s.ctx.Done():
			s.link.Store(nil)
			s.use.Up.Set(0)
			return
		case <-s.cut:
			return
		case <-s.look:
			if err := s.ready(l); err != nil {
				l.Judge(err)
				s.Look() // for the next link
			}
		}
	}
}

func (s *Server) ready(l *Link) error {
	if s.use.Ready == nil {
		return nil
	}
	return s.use.Ready(l)
}

// connect makes a link to a server that answers in time.
func (s *Server) connect() (*Link, error) {
	client, err := s.client(s.use.Watched == "")
	if errors.Is(err, rueidis.ErrNoCache) {
		s.use.Log.Info("the shared store tells of no changes: they are asked for each time", zap.Error(err))
		client, err = s.client(true)
	}
	if err != nil {
		return nil, err
	}
	l := &Link{Client: client, server: s}
	ping := func(most time.Duration) error {
		ctx, cancel := context.WithTimeout(s.ctx, most)
		defer cancel()
		return client.Do(ctx, client.B().Ping().Build()).Error()
	}
	err = errors.Join(ping(Patience), s.ready(l))
	if err == nil {
		if err = ping(s.o.Timeout); err != nil {
			err = fmt.Errorf("no answer to PING within the timeout %v: %w", s.o.Timeout, err)
		}
	}
	if err != nil {
		client.Close()
		return nil, err
	}
	return l, nil
}

// client connects. plain does without being told of changes.
func (s *Server) client(plain bool) (rueidis.Client, error) {
	o := rueidis.ClientOption{
		InitAddress: []string{s.o.Address},
		SelectDB:    s.o.Database,
		DialCtxFn: func(ctx context.Context, address string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return s.o.dial(s.ctx, ctx, address)
		},
		AuthCredentialsFn: func(rueidis.AuthCredentialsContext) (rueidis.AuthCredentials, error) {
			password, err := s.o.password()
			return rueidis.AuthCredentials{Username: s.o.Username, Password: password}, err
		},
		ClientName:          "friday",
		DisableCache:        plain,
		Dialer:              net.Dialer{Timeout: Patience},
		ConnWriteTimeout:    Patience,
		CacheSizeEachConn:   1 << 20, // what is watched only
		ReadBufferEachConn:  64 << 10,
		WriteBufferEachConn: 64 << 10,
		PipelineMultiplex:   -1,   // one connection
		AlwaysPipelining:    true, // a deadline ends a question, not the connection
		DisableRetry:        true,
	}
	if !plain {
		o.ClientTrackingOptions = []string{"PREFIX", s.use.Watched, "BCAST"}
		o.OnInvalidations = func([]rueidis.RedisMessage) { s.Look() }
	}
	return rueidis.NewClient(o)
}

func (s *Server) sleep(d time.Duration) {
	timer := time.NewTimer(d/2 + rand.N(d)) // #nosec G404 -- not a secret
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
	}
}

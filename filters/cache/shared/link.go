package shared

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"
)

// link is a client that works as far as anybody knows.
type link struct {
	store  *Store
	client rueidis.Client
	// inARow counts the look-ups in a row that were late or refused.
	inARow atomic.Int32
}

const (
	// patience is how many look-ups in a row may be late or refused before the link is
	// cut.
	patience = 5
	// leastPause and mostPause are how long it stays so; each time twice as long, until
	// the server was well for steady.
	leastPause, mostPause = 100 * time.Millisecond, 5 * time.Second
	steady                = 10 * time.Second
)

// judge draws the conclusion from a failure: a connection that is gone cuts the link at
// once, a server that is late or refuses does when it goes on.
func (l *link) judge(err error) {
	_, refused := rueidis.IsRedisErr(err)
	if (refused || errors.Is(err, context.DeadlineExceeded)) && l.inARow.Add(1) < patience {
		return
	}
	if l.store.link.CompareAndSwap(l, nil) {
		l.store.meters.up.Set(0)
		if l.store.ctx.Err() == nil {
			l.store.log.Warn("the shared store is not used for now", zap.Error(err))
		}
		select {
		case l.store.cut <- struct{}{}:
		default:
		}
	}
}

// run makes links, one after the other.
func (s *Store) run() {
	pause, said := leastPause, ""
	for s.ctx.Err() == nil {
		l, err := s.connect()
		if err != nil {
			if text := err.Error(); text != said && s.ctx.Err() == nil {
				said = text
				s.log.Warn("the shared store cannot be used", zap.Error(err))
			}
			s.sleep(pause)
			pause = min(2*pause, mostPause)
			continue
		}
		said = ""
		began := time.Now()
		s.log.Info("the shared store is used")
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
func (s *Store) keep(l *link) {
	defer l.client.Close()
	s.meters.up.Set(1)
	s.link.Store(l)
	for {
		select {
		case <-s.ctx.Done():
			s.link.Store(nil)
			s.meters.up.Set(0)
			return
		case <-s.cut:
			return
		case <-s.look:
			if err := errors.Join(s.flush(l), s.review(l)); err != nil {
				l.judge(err)
				s.wake() // for the next link
			}
		}
	}
}

// connect makes a link to a server that answers in time.
func (s *Store) connect() (*link, error) {
	client, err := s.client(false)
	if errors.Is(err, rueidis.ErrNoCache) {
		s.log.Info("the shared store tells of no changes: marks are read for each look-up", zap.Error(err))
		client, err = s.client(true)
	}
	if err != nil {
		return nil, err
	}
	l := &link{store: s, client: client}
	ping := func(most time.Duration) error {
		ctx, cancel := context.WithTimeout(s.ctx, most)
		defer cancel()
		return client.Do(ctx, client.B().Ping().Build()).Error()
	}
	err = errors.Join(ping(connectTimeout), s.flush(l), s.review(l))
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
func (s *Store) client(plain bool) (rueidis.Client, error) {
	return rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{s.o.Address},
		SelectDB:    s.o.Database,
		DialCtxFn: func(ctx context.Context, address string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return s.o.dial(s.ctx, ctx, address)
		},
		AuthCredentialsFn: func(rueidis.AuthCredentialsContext) (rueidis.AuthCredentials, error) {
			password, err := s.o.password()
			return rueidis.AuthCredentials{Username: s.o.Username, Password: password}, err
		},
		ClientName:            "friday",
		ClientTrackingOptions: []string{"PREFIX", s.marks(), "BCAST"},
		OnInvalidations:       func([]rueidis.RedisMessage) { s.wake() },
		DisableCache:          plain,
		Dialer:                net.Dialer{Timeout: connectTimeout},
		ConnWriteTimeout:      connectTimeout,
		CacheSizeEachConn:     1 << 20, // marks only
		ReadBufferEachConn:    64 << 10,
		WriteBufferEachConn:   64 << 10,
		PipelineMultiplex:     -1,   // one connection
		AlwaysPipelining:      true, // a deadline ends a look-up, not the connection
		DisableRetry:          true,
	})
}

func (s *Store) sleep(d time.Duration) {
	timer := time.NewTimer(d/2 + rand.N(d)) // #nosec G404 -- not a secret
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
	}
}

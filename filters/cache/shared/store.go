package shared

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"
)

// Key is what something is found under.
type Key = [sha256.Size]byte

// Store is the second tier. Its methods are safe for concurrent use, also after Close:
// then there is nothing in it.
type Store struct {
	// Set once.
	o      Options
	log    *zap.Logger
	meters meters
	ctx    context.Context //nolint:containedctx // the store's life
	cancel context.CancelFunc
	ended  sync.WaitGroup

	// link is nil while the server cannot be used.
	link atomic.Pointer[link]
	// cut asks for the link to be made anew, look for the marks to be read again.
	cut, look chan struct{}
	writes    chan write
	queued    atomic.Int64 // bytes in writes

	// Guarded by mu.
	mu      sync.Mutex
	known   map[string]known // by the mark's key
	pending map[string]chan struct{}
	told    map[string]Purged
}

var _ io.Closer = (*Store)(nil)

// Open makes a Store. It does not wait for the server.
func Open(o Options, env Env) *Store {
	s := &Store{
		o: o, log: env.Log.Named("shared").With(zap.String("address", o.Address)), meters: newMeters(env.Metrics, o.Address),
		cut: make(chan struct{}, 1), look: make(chan struct{}, 1), writes: make(chan write, maxQueue),
		known: make(map[string]known), pending: make(map[string]chan struct{}), told: make(map[string]Purged),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.meters.up.Set(0)
	s.ended.Go(s.run)
	s.ended.Go(s.write)
	return s
}

// Close ends it. What is still to be written is dropped.
func (s *Store) Close() error {
	s.cancel()
	s.ended.Wait()
	return nil
}

// Get looks up keys of a model. What is not known, or cannot be had in time, is nil; of
// none, the list is nil. The Stamp is for writing what the server answers instead.
func (s *Store) Get(model string, keys []Key) ([][]byte, Stamp) {
	l := s.usable()
	if l == nil {
		s.meters.down.Add(float64(len(keys)))
		return nil, Stamp{}
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.o.Timeout)
	defer cancel()
	began := time.Now()
	values, stamp, err := l.get(ctx, model, keys)
	s.meters.seconds.Observe(time.Since(began).Seconds())
	switch {
	case err == nil:
		l.inARow.Store(0)
	case errors.Is(err, context.DeadlineExceeded):
		s.meters.late.Add(float64(len(keys)))
	default:
		s.meters.failed.Add(float64(len(keys)))
	}
	if err != nil {
		l.judge(err)
		return nil, Stamp{}
	}
	found := 0
	for _, v := range values {
		if v != nil {
			found++
		}
	}
	s.meters.hit.Add(float64(found))
	s.meters.miss.Add(float64(len(keys) - found))
	return values, stamp
}

func (l *link) get(ctx context.Context, model string, keys []Key) ([][]byte, Stamp, error) {
	stamp, err := l.stamp(ctx, model)
	if err != nil || !stamp.whole() || len(keys) == 0 {
		return nil, stamp, err
	}
	names := make([]string, len(keys))
	for i := range keys {
		names[i] = l.store.name(&keys[i], stamp)
	}
	got, err := rueidis.MGet(l.client, ctx, names)
	if err != nil {
		return nil, stamp, err
	}
	values := make([][]byte, len(keys))
	for i, name := range names {
		m := got[name]
		if m.IsNil() {
			continue
		}
		if values[i], err = m.AsBytes(); err != nil {
			return nil, stamp, err
		}
	}
	return values, stamp, nil
}

// usable is the link where there is one, and no purge waits to be told to the server.
func (s *Store) usable() *link {
	l := s.link.Load()
	if l == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) > 0 {
		return nil
	}
	return l
}

// name is the key of the store that an entry is under.
func (s *Store) name(k *Key, stamp Stamp) string {
	h := sha256.New()
	_, _ = io.WriteString(h, stamp.all+" "+stamp.model+" ")
	_, _ = h.Write(k[:])
	return s.o.Prefix + "e:" + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

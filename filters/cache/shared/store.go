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

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/rueidis"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy/redis"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// Key is what something is found under.
type Key = [sha256.Size]byte

// Env is what the house lends.
type Env struct {
	Log     *zap.Logger
	Metrics *telemetry.Metrics
}

// Store is the second tier. Its methods are safe for concurrent use, also after Close:
// then there is nothing in it.
type Store struct {
	// Set once.
	prefix string
	server *redis.Server
	meters meters
	ended  sync.WaitGroup

	writes chan write
	queued atomic.Int64 // bytes in writes

	// Guarded by mu.
	mu      sync.Mutex
	known   map[string]known // by the mark's key
	pending map[string]chan struct{}
	told    map[string]Purged
}

var _ io.Closer = (*Store)(nil)

// Open makes a Store. It does not wait for the server.
func Open(o redis.Options, env Env) *Store {
	s := &Store{
		prefix: o.Prefix, meters: newMeters(env.Metrics, o.Address), writes: make(chan write, maxQueue),
		known: make(map[string]known), pending: make(map[string]chan struct{}), told: make(map[string]Purged),
	}
	s.server = redis.Open(o, redis.Use{
		Log: env.Log, Up: env.Metrics.CacheSharedUp.WithLabelValues(o.Address), Watched: s.marks(),
		Ready: func(l *redis.Link) error { return errors.Join(s.flush(l), s.review(l)) },
	})
	s.ended.Go(s.write)
	return s
}

// Close ends it. What is still to be written is dropped.
func (s *Store) Close() error {
	err := s.server.Close()
	s.ended.Wait()
	return err
}

// meters are the metrics of one store.
type meters struct {
	hit, miss, late, failed, down prometheus.Counter // items looked up
	stored, dropped, unstored     prometheus.Counter // items to be written
	seconds                       prometheus.Observer
}

func newMeters(m *telemetry.Metrics, address string) meters {
	items := func(result string) prometheus.Counter { return m.CacheSharedItems.WithLabelValues(address, result) }
	writes := func(result string) prometheus.Counter {
		return m.CacheSharedWrites.WithLabelValues(address, result)
	}
	return meters{
		hit: items("hit"), miss: items("miss"), late: items("late"), failed: items("failed"), down: items("down"),
		stored: writes("stored"), dropped: writes("dropped"), unstored: writes("failed"),
		seconds: m.CacheSharedSeconds.WithLabelValues(address),
	}
}

// Get looks up keys of a model. What is not known, or cannot be had in time, is nil; of
// none, the list is nil. The Stamp is for writing what the server answers instead.
func (s *Store) Get(model string, keys []Key) ([][]byte, Stamp) {
	l := s.usable()
	if l == nil {
		s.meters.down.Add(float64(len(keys)))
		return nil, Stamp{}
	}
	ctx, cancel := l.Question()
	defer cancel()
	began := time.Now()
	values, stamp, err := s.get(ctx, l, model, keys)
	s.meters.seconds.Observe(time.Since(began).Seconds())
	l.Judge(err)
	switch {
	case err == nil:
	case errors.Is(err, context.DeadlineExceeded):
		s.meters.late.Add(float64(len(keys)))
		return nil, Stamp{}
	default:
		s.meters.failed.Add(float64(len(keys)))
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

func (s *Store) get(ctx context.Context, l *redis.Link, model string, keys []Key) ([][]byte, Stamp, error) {
	stamp, err := s.stamp(ctx, l, model)
	if err != nil || !stamp.whole() || len(keys) == 0 {
		return nil, stamp, err
	}
	names := make([]string, len(keys))
	for i := range keys {
		names[i] = s.name(&keys[i], stamp)
	}
	got, err := rueidis.MGet(l, ctx, names)
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
func (s *Store) usable() *redis.Link {
	l := s.server.Link()
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
	return s.prefix + "e:" + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

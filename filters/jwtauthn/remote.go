package jwtauthn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy"
)

// maxKeys is the longest answer that is read, in bytes.
const maxKeys = 1 << 20

// source is what tells the keys of a Remote, for as long as configurations name it.
type source struct {
	remote Remote
	log    *zap.Logger
	ctx    context.Context //nolint:containedctx // the source's life
	cancel context.CancelFunc
	ended  sync.WaitGroup

	// Guarded by mu.
	mu      sync.Mutex
	picker  proxy.Picker // of the snapshot in force
	next    proxy.Picker // of the one that is being built
	keys    *Keys
	until   time.Time
	running *fetch
}

// fetch is a question that is being asked.
type fetch struct {
	done chan struct{}
	keys *Keys // nil: none came
}

var _ io.Closer = (*source)(nil)

func newSource(r Remote, log *zap.Logger) *source {
	s := &source{remote: r, log: log}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// use has keys be asked for by way of picker once the snapshot is in force.
func (s *source) use(picker proxy.Picker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = picker
}

// InForce says that the snapshot is, and begins to ask ahead of requests.
func (s *source) InForce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.picker = s.next
	if s.remote.Ahead && s.keys == nil && s.running == nil && s.ctx.Err() == nil {
		s.begin()
	}
}

// Close gives up what is being asked.
func (s *source) Close() error {
	s.cancel()
	s.ended.Wait()
	return nil
}

// get returns the keys, asking for them where they are not known or too old. It waits for
// as long as ctx lasts. nil: there are none to be had.
func (s *source) get(ctx context.Context) *Keys {
	s.mu.Lock()
	if s.keys != nil && (s.remote.Ahead || time.Now().Before(s.until)) {
		defer s.mu.Unlock()
		return s.keys
	}
	f := s.running
	if f == nil {
		if s.ctx.Err() != nil {
			s.mu.Unlock()
			return nil
		}
		f = s.begin() //nolint:contextcheck // it is asked for all who wait, not for this one
	}
	s.mu.Unlock()
	select {
	case <-f.done:
		return f.keys
	case <-ctx.Done():
		return nil
	}
}

// begin asks in the background. REQUIRES: mu is held, and nothing is being asked.
func (s *source) begin() *fetch {
	f := &fetch{done: make(chan struct{})}
	s.running = f
	s.ended.Go(func() {
		keys, err := s.ask()
		s.mu.Lock()
		s.running = nil
		if f.keys = keys; keys != nil {
			s.keys, s.until = keys, time.Now().Add(s.remote.Fresh)
		}
		s.mu.Unlock()
		close(f.done)
		if err != nil && s.ctx.Err() == nil {
			s.log.Warn("the keys of a provider cannot be had", zap.String("uri", s.remote.Host+s.remote.Path), zap.Error(err))
		}
		if s.remote.Ahead {
			s.later(err == nil)
		}
	})
	return f
}

// early is how long before keys are too old they are asked for anew.
const early = 5 * time.Second

// later asks again when it is time.
func (s *source) later(well bool) {
	pause := s.remote.Again
	if well {
		pause = max(s.remote.Again, s.remote.Fresh-early)
	}
	if !s.sleep(pause) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil && s.ctx.Err() == nil {
		s.begin()
	}
}

// ask asks, and where that fails again as often as is to be.
func (s *source) ask() (*Keys, error) {
	pause := s.remote.Base
	for i := 0; ; i++ {
		keys, err := s.once()
		if err == nil || i >= s.remote.Retries || !s.sleep(pause) {
			return keys, err
		}
		pause = min(2*pause, s.remote.Most)
	}
}

// sleep is false where the source ends first.
func (s *source) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// once asks once.
func (s *source) once() (keys *Keys, err error) {
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("panic while asking for keys", zap.Any("panic", v), zap.ByteString("stack", debug.Stack()))
			keys, err = nil, fmt.Errorf("panic: %v", v)
		}
	}()
	ctx, cancel := context.WithTimeout(s.ctx, s.remote.Timeout)
	defer cancel()
	s.mu.Lock()
	picker := s.picker
	s.mu.Unlock()
	if picker == nil {
		return nil, fmt.Errorf("cluster %q: not known", s.remote.Cluster)
	}
	h := new(fasthttp.RequestHeader)
	h.DisableNormalizing()
	h.SetNoDefaultContentType(true)
	h.SetMethod(http.MethodGet)
	h.SetRequestURI(s.remote.Path)
	h.SetHost(s.remote.Host)
	h.Set("accept-encoding", "identity")
	h.Set("user-agent", "friday")
	req := &proxy.Request{Header: h, Body: proxy.NoBody, Protocol: "http1", Start: time.Now(), Cluster: s.remote.Cluster}
	endpoint, err := picker.Pick(ctx, req)
	if err != nil {
		return nil, err
	}
	req.Endpoint = endpoint
	resp, err := endpoint.Handler.Handle(ctx, req)
	if err != nil {
		return nil, err
	}
	defer resp.Close() //nolint:errcheck // read to the end, or given up
	if status := resp.Header.StatusCode(); status != http.StatusOK {
		return nil, fmt.Errorf("status %d", status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxKeys+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if len(text) > maxKeys {
		return nil, errors.New("the answer is too long")
	}
	return ParseKeys(text)
}

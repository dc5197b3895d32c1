package config

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/fridaymesh/friday/proxy"
)

// limit ends a request's context when one of its times has passed.
type limit struct {
	ctx     context.Context //nolint:containedctx // the request's
	request *watchedBody    // nil where nobody asks
	cancels []context.CancelFunc
}

// after ends the context after d, for cause; d 0: never.
func (l *limit) after(d time.Duration, cause error) {
	if d <= 0 {
		return
	}
	ctx, cancel := context.WithTimeoutCause(l.ctx, d, cause)
	l.ctx, l.cancels = ctx, append(l.cancels, cancel)
}

// watch looks for the end of the request's body.
func (l *limit) watch(req *proxy.Request) {
	if _, whole := req.Body.(*proxy.BytesBody); !whole && req.Body != proxy.NoBody {
		l.request = &watchedBody{Body: req.Body}
		req.Body = l.request
	}
}

// judge makes 408 of a duration's 504 where the caller has not sent all of its request.
func (l *limit) judge(err error) error {
	pe := proxy.AsError(l.ctx, err)
	if pe.Flag != proxy.FlagDuration || l.request == nil || l.request.ended.Load() {
		return pe
	}
	early := *pe
	early.Status = http.StatusRequestTimeout
	return &early
}

func (l *limit) end() {
	for _, cancel := range l.cancels {
		cancel()
	}
}

// watchedBody knows whether it has been read to its end.
type watchedBody struct {
	proxy.Body

	ended atomic.Bool
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.Body.Read(p)
	if err != nil {
		b.ended.Store(true)
	}
	return n, err
}

// timedBody keeps the route's limits running until the answer has been read.
type timedBody struct {
	proxy.Body

	limit *limit
}

// Read says why, where a limit ended it.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.Body.Read(p)
	if err != nil && b.limit.ctx.Err() != nil {
		return n, proxy.AsError(b.limit.ctx, err)
	}
	return n, err
}

func (b *timedBody) Close() error {
	err := b.Body.Close()
	b.limit.end()
	return err
}

// Ready is the inner body's.
func (b *timedBody) Ready() int {
	if r, ok := b.Body.(interface{ Ready() int }); ok {
		return r.Ready()
	}
	return 0
}

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
	request *movingBody     // nil where all of it was there from the start
	cancels []context.CancelFunc
	idle    *time.Timer
	silence time.Duration // after which idle fires
}

// after ends the context after d, for cause; d 0: never.
func (l *limit) after(d time.Duration, cause error) {
	if d <= 0 {
		return
	}
	ctx, cancel := context.WithTimeoutCause(l.ctx, d, cause)
	l.ctx, l.cancels = ctx, append(l.cancels, cancel)
}

// watch ends the context when nothing has moved for d.
func (l *limit) watch(req *proxy.Request, d time.Duration) {
	if d > 0 {
		ctx, cancel := context.WithCancelCause(l.ctx)
		l.ctx, l.cancels = ctx, append(l.cancels, func() { cancel(nil) })
		l.silence = d
		l.idle = time.AfterFunc(d, func() { cancel(proxy.ErrIdle) })
	}
	if _, whole := req.Body.(*proxy.BytesBody); !whole && req.Body != proxy.NoBody {
		l.request = &movingBody{Body: req.Body, limit: l}
		req.Body = l.request
	}
}

// judge makes 504 of a limit's 408 where the caller has sent all of its request.
func (l *limit) judge(err error) error {
	pe := proxy.AsError(l.ctx, err)
	if (pe.Flag != proxy.FlagIdle && pe.Flag != proxy.FlagDuration) || l.request != nil && !l.request.ended.Load() {
		return pe
	}
	late := *pe
	late.Status = http.StatusGatewayTimeout
	return &late
}

// moved says that something has.
func (l *limit) moved() {
	if l.idle != nil && l.ctx.Err() == nil {
		l.idle.Reset(l.silence)
	}
}

func (l *limit) end() {
	if l.idle != nil {
		l.idle.Stop()
	}
	for _, cancel := range l.cancels {
		cancel()
	}
}

// movingBody is a request's body that tells when it moves.
type movingBody struct {
	proxy.Body

	limit *limit
	ended atomic.Bool
}

func (b *movingBody) Read(p []byte) (int, error) {
	n, err := b.Body.Read(p)
	b.limit.moved()
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
	b.limit.moved()
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

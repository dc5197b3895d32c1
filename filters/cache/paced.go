package cache

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// paced is a stream that is given again event by event, gap after gap.
type paced struct {
	ctx    context.Context //nolint:containedctx // the caller's, which Read has to heed
	gap    time.Duration
	length int64
	once   sync.Once
	closed chan struct{}

	// For who reads.
	rest, event []byte
	begun       bool
}

var _ proxy.Body = (*paced)(nil)

func newPaced(ctx context.Context, text []byte, gap time.Duration) *paced {
	return &paced{ctx: ctx, gap: gap, length: int64(len(text)), closed: make(chan struct{}), rest: text}
}

func (p *paced) Read(b []byte) (int, error) {
	if len(p.event) == 0 {
		if len(p.rest) == 0 {
			return 0, io.EOF
		}
		if err := p.wait(); err != nil {
			return 0, err
		}
		p.event, p.rest = cutEvent(p.rest)
	}
	n := copy(b, p.event)
	p.event = p.event[n:]
	return n, nil
}

// wait waits before each event but the first. That [DONE] comes by itself is nothing to
// wait for.
func (p *paced) wait() error {
	if !p.begun || bytes.HasPrefix(p.rest, []byte("data: [DONE]")) {
		p.begun = true
		return nil
	}
	timer := time.NewTimer(p.gap)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-p.closed:
		return io.ErrClosedPipe
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}

// cutEvent cuts after the first blank line.
func cutEvent(text []byte) (event, rest []byte) {
	at := len(text)
	for _, end := range [...]string{"\n\n", "\r\n\r\n"} {
		if i := bytes.Index(text[:at], []byte(end)); i >= 0 {
			at = i + len(end)
		}
	}
	return text[:at], text[at:]
}

func (p *paced) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *paced) Len() int64                        { return p.length }
func (p *paced) Trailer() *fasthttp.ResponseHeader { return nil }

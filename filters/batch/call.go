package batch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/proxy"
)

// maxAnswerBytes is the largest answer to a merged call.
const maxAnswerBytes = 64 << 20

// batch is entries that were taken out of the queue together, from their dispatch
// until each is answered or back in the queue. A goroutine of its own runs it.
//
// What belongs to a caller (its head, its body, which its call refers to) is
// touched under mu only, and only while the caller has not left: a caller that
// leaves takes mu first, so that it waits for a merge or a split to end, and
// leaves a copy of its call where a split will need it.
type batch struct {
	// Set once.
	group   *group
	members []*entry

	// The goroutine's.
	slot     slot
	released bool
	extra    int // calls beyond the first

	// Guarded by mu.
	mu      sync.Mutex
	current *merged
}

// merged is one upstream call of a batch.
type merged struct {
	ctx    context.Context //nolint:containedctx // the call's own, ended by its callers together
	cancel context.CancelCauseFunc
	req    *proxy.Request
	next   proxy.Handler
	items  int

	// Guarded by batch.mu. A member that was answered is nil: its entry is the
	// caller's again.
	members []*entry
	live    int // members whose callers have not left
}

func (b *batch) run() {
	defer b.release(0, 0)
	b.mu.Lock()
	b.members = present(b.members)
	b.mu.Unlock()
	if len(b.members) == 1 && !b.members[0].piece && b.handOver(b.members[0]) {
		return
	}
	b.serve(b.members)
}

// handOver gives the slot to a member that is alone after the others have left.
func (b *batch) handOver(e *entry) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.left {
		return false
	}
	b.group.mu.Lock()
	defer b.group.mu.Unlock()
	e.batch = nil
	b.slot.items = e.call.Items
	b.released = true
	b.group.grant(e, b.slot)
	return true
}

// release gives the slot back, once.
func (b *batch) release(answered int, took time.Duration) {
	if !b.released {
		b.released = true
		b.slot.release(answered, took)
	}
}

// leave is for a caller that has gone; it is false where e is in b no more.
func (b *batch) leave(ctx context.Context, e *entry) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.group.mu.Lock()
	here := e.batch == b
	b.group.mu.Unlock()
	if !here {
		return false
	}
	if e.done {
		return true
	}
	e.left = true
	m := b.current
	if m == nil || !slices.Contains(m.members, e) {
		return true
	}
	if m.live--; m.live == 0 {
		m.cancel(context.Cause(ctx))
		return true
	}
	e.call = e.detach()
	return true
}

// detach makes e's call anew, of memory that stays when the caller has gone. It
// is nil where that cannot be done.
func (e *entry) detach() *inference.Call {
	whole := e.call
	if e.piece {
		whole = e.whole
	}
	body := proxy.NewBytesBody(bytes.Clone(whole.Body))
	call, err := inference.Of(&proxy.Request{Header: e.req.Header, Body: body}, maxCallBytes)
	if err != nil || call == nil || call.Items != whole.Items {
		return nil
	}
	if e.piece {
		return call.Slice(e.from, e.from+e.call.Items)
	}
	return call
}

// present are the members whose callers have not left. REQUIRES: mu is held.
func present(members []*entry) []*entry {
	if !slices.ContainsFunc(members, func(e *entry) bool { return e == nil || e.left }) {
		return members
	}
	out := make([]*entry, 0, len(members))
	for _, e := range members {
		if e != nil && !e.left {
			out = append(out, e)
		}
	}
	return out
}

// begin makes one request of those who are still there; nil where nobody is.
func (b *batch) begin(members []*entry) *merged {
	b.mu.Lock()
	defer b.mu.Unlock()
	members = slices.Clone(present(members))
	if len(members) == 0 {
		return nil
	}
	first := members[0]
	m := &merged{members: members, live: len(members), next: first.next}
	calls := make([]*inference.Call, len(members))
	for i, e := range members {
		calls[i] = e.call
		m.items += e.call.Items
	}
	body := inference.Merge(calls)
	if len(calls) == 1 {
		body = bytes.Clone(body) // it was the caller's
	}
	m.req = &proxy.Request{
		Header: mergedHead(first.req.Header, len(body)),
		Body:   proxy.NewBytesBody(body),
		Remote: first.req.Remote, Local: first.req.Local, Protocol: first.req.Protocol,
		Start: first.req.Start,
		Route: first.req.Route, Cluster: first.req.Cluster, Endpoint: b.slot.endpoint,
		Trace: proxy.Trace{Model: first.call.Model, BatchSize: m.items},
	}
	m.ctx, m.cancel = context.WithCancelCause(context.Background())
	b.current = m
	return m
}

// mergedHead is the first caller's head, as far as it is true of the merged call.
// The answer has to come uncompressed, to be cut apart.
func mergedHead(first *fasthttp.RequestHeader, length int) *fasthttp.RequestHeader {
	h := new(fasthttp.RequestHeader)
	first.CopyTo(h)
	lines := h.AppendBytes(nil)
	for line := range bytes.SplitSeq(lines, []byte{'\n'}) {
		name, _, ok := bytes.Cut(line, []byte{':'})
		if !ok {
			continue
		}
		switch {
		case bytes.EqualFold(name, []byte("expect")), bytes.EqualFold(name, []byte(debugHeader)):
			h.DelBytes(name)
		case bytes.EqualFold(name, []byte("accept-encoding")):
			h.DelBytes(name)
			h.SetBytesK(name, "identity")
		}
	}
	h.SetContentLength(length)
	return h
}

// try sends one call for members. Those that are still to be served come back,
// with what to do about them and why.
func (b *batch) try(members []*entry) (rest []*entry, do remedy, why string) {
	m := (*merged)(nil)
	defer func() {
		v := recover()
		if v != nil {
			b.group.state.log.Error("panic in a merged call", zap.Any("panic", v), zap.ByteString("stack", debug.Stack()))
			rest, do, why = members, apart, "panic"
		}
		if m != nil {
			rest = b.end(m)
		}
	}()
	if m = b.begin(members); m == nil {
		return nil, share, ""
	}
	resp, err := m.next.Handle(m.ctx, m.req)
	if err != nil {
		if do, why = judgeError(proxy.AsError(m.ctx, err)); do == share {
			b.shareError(m, proxy.AsError(m.ctx, err))
		}
		return nil, do, why
	}
	defer resp.Close() //nolint:errcheck // read to the end, or given up
	body, err := readAll(resp.Body)
	if err != nil {
		if errors.Is(err, errTooLarge) {
			return nil, apart, "too_large"
		}
		return nil, halve, "reset"
	}
	return b.answered(m, resp, body)
}

// answered is the rest of try, for a call that got an answer.
func (b *batch) answered(m *merged, resp *proxy.Response, body []byte) ([]*entry, remedy, string) {
	do, why := judge(resp.Header.StatusCode(), resp.Header.ContentEncoding())
	if do != split {
		if do == share {
			b.share(m, &resp.Header, body)
		}
		return nil, do, why
	}
	if b.extra == 0 {
		// The server is free again; cutting its answer apart need not keep it waiting.
		b.slot.items = m.items
		b.release(m.items, time.Since(b.slot.start))
	}
	if err := b.split(m, &resp.Header, body); err != nil {
		b.group.state.log.Warn("the answer to a merged call cannot be cut apart: the model is not batched for a while",
			zap.String("cluster", m.req.Cluster), zap.String("model", m.req.Trace.Model), zap.Error(err))
		return nil, distrusted, "mismatch"
	}
	return nil, share, ""
}

// split answers each member with its part.
func (b *batch) split(m *merged, h *fasthttp.ResponseHeader, body []byte) error {
	head := new(fasthttp.ResponseHeader)
	h.CopyTo(head)
	dropBound(head)
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.live == 0 {
		return nil
	}
	calls := make([]*inference.Call, len(m.members))
	for i, e := range m.members {
		if calls[i] = e.call; e.call == nil {
			return errors.New("a caller left in between")
		}
	}
	parts, err := inference.Split(calls, body)
	if err != nil {
		return err
	}
	for i := range m.members {
		m.answer(i, outcome{head: head, body: parts[i]})
	}
	return nil
}

// dropBound takes out what speaks of the bytes of the whole answer.
func dropBound(h *fasthttp.ResponseHeader) {
	var names [][]byte
	for name := range h.All() {
		switch string(bytes.ToLower(name)) {
		case "etag", "content-md5", "digest", "content-digest", "repr-digest":
			names = append(names, bytes.Clone(name))
		}
	}
	for _, name := range names {
		h.DelBytes(name)
	}
}

// share gives everyone the same answer.
func (b *batch) share(m *merged, h *fasthttp.ResponseHeader, body []byte) {
	head := new(fasthttp.ResponseHeader)
	h.CopyTo(head)
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range m.members {
		m.answer(i, outcome{head: head, body: body})
	}
}

func (b *batch) shareError(m *merged, err *proxy.Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range m.members {
		own := *err
		m.answer(i, outcome{err: &own})
	}
}

// answer delivers, and forgets the member. REQUIRES: the batch's mu is held.
func (m *merged) answer(i int, out outcome) {
	e := m.members[i]
	m.members[i] = nil
	if e.left {
		return
	}
	out.items, out.attempts, out.upstream = m.items, m.req.Trace.Attempts, m.req.Trace.Upstream
	e.done, e.out = true, out
	e.ready <- struct{}{}
}

// end closes the call; those who have not been answered come back.
func (b *batch) end(m *merged) []*entry {
	m.cancel(nil)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.current = nil
	return present(m.members)
}

var errTooLarge = errors.New("answer too large")

// readAll reads a body into memory of its own.
func readAll(body proxy.Body) ([]byte, error) {
	n := body.Len()
	if n > maxAnswerBytes {
		return nil, errTooLarge
	}
	// One byte more than announced, so that the end is seen without growing.
	buf := make([]byte, 0, max(n+1, 4096))
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, len(buf))
		}
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(buf) > maxAnswerBytes {
			return nil, errTooLarge
		}
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

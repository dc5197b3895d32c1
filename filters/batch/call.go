package batch

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/proxy"
)

// batch is entries that were taken out of the queue together, from their dispatch
// until each is answered or back in the queue. A goroutine of its own runs it.
//
// What belongs to a caller (its head, its body, which its call refers to) is
// touched under mu only, and only while the caller has not left: a caller that
// leaves takes mu first, so that it waits for a merge or a split to end, and
// leaves a copy of its call where a split will need it.
type batch struct {
	// Set once.
	group *group

	// The goroutine's.
	members  []*entry
	slot     slot
	released bool
	extra    int // calls beyond the first

	// Guarded by mu.
	mu      sync.Mutex
	current *merged
}

func (b *batch) run() {
	defer b.release(0, false)
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
	b.slot.resize(1, e.Items)
	b.group.model.mu.Lock()
	defer b.group.model.mu.Unlock()
	e.batch = nil
	b.released = true
	b.group.grant(e, b.slot)
	return true
}

// release gives the slot back, once.
func (b *batch) release(answered int, good bool) {
	if !b.released {
		b.released = true
		b.slot.release(answered, good)
	}
}

// leave is for a caller that has gone; it is false where e is in b no more.
func (b *batch) leave(ctx context.Context, e *entry) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.group.model.mu.Lock()
	here := e.batch == b
	b.group.model.mu.Unlock()
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

package server

import (
	"context"
	"sync"

	"github.com/fridaymesh/friday/proxy/listener"
)

// hall holds the connections of a listener. Those that have not sent a byte yet wait,
// and a drain closes them.
type hall struct {
	mu     sync.Mutex
	conns  map[*listener.Conn]bool // whether it waits
	closed bool
	empty  chan struct{} // made by wait, closed when the last one leaves
}

// enter says whether the connection may wait.
func (h *hall) enter(c *listener.Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	if h.conns == nil {
		h.conns = make(map[*listener.Conn]bool)
	}
	h.conns[c] = true
	return true
}

// begun says that the connection does not wait any more.
func (h *hall) begun(c *listener.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns[c] = false
}

func (h *hall) leave(c *listener.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
	if len(h.conns) == 0 && h.empty != nil {
		close(h.empty)
		h.empty = nil
	}
}

// close closes the connections that wait, and lets none enter any more.
func (h *hall) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for c, waits := range h.conns {
		if waits {
			_ = c.Close() // it may well be closed already
		}
	}
}

// wait returns when all have left, or with ctx's error. It is called after close.
func (h *hall) wait(ctx context.Context) error {
	h.mu.Lock()
	if len(h.conns) == 0 {
		h.mu.Unlock()
		return nil
	}
	if h.empty == nil {
		h.empty = make(chan struct{})
	}
	empty := h.empty
	h.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// size is how many there are.
func (h *hall) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.conns)
}

// abort closes every connection under whoever serves it.
func (h *hall) abort() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.conns {
		_ = c.Close() // there is nobody to tell
	}
}

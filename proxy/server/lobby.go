package server

import (
	"net"
	"sync"
)

// lobby holds the connections that have not sent a byte yet, so that a drain can
// close them.
type lobby struct {
	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

// enter says whether the connection may wait.
func (l *lobby) enter(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	if l.conns == nil {
		l.conns = make(map[net.Conn]struct{})
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *lobby) leave(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// close closes the connections that wait, and lets none enter any more.
func (l *lobby) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for c := range l.conns {
		_ = c.Close() // it may well be closed already
	}
}

package main

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// link is a connection's way to the server that can be made slow, cut in the middle of what
// passes, or lose it.
type link struct {
	listener net.Listener
	to       string
	delay    atomic.Int64 // of each piece, either way
	cut      atomic.Int64 // answers are cut with a reset after so many bytes; 0: not

	mu    sync.Mutex
	conns map[net.Conn]bool
	ended sync.WaitGroup
}

func newLink(ctx context.Context, to string) (*link, error) {
	l := &link{to: to, conns: map[net.Conn]bool{}}
	var err error
	if l.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	l.ended.Go(func() {
		for {
			c, err := l.listener.Accept()
			if err != nil {
				return
			}
			l.ended.Go(func() { l.serve(ctx, c) })
		}
	})
	return l, nil
}

func (l *link) address() string { return l.listener.Addr().String() }

// close ends the link with all its connections.
func (l *link) close() {
	_ = l.listener.Close()
	l.mu.Lock()
	for c := range l.conns {
		_ = c.Close()
	}
	l.mu.Unlock()
	l.ended.Wait()
}

func (l *link) hold(c net.Conn) func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = true
	return func() {
		_ = c.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, c)
	}
}

func (l *link) serve(ctx context.Context, c net.Conn) {
	let := l.hold(c)
	defer let()
	up, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.to)
	if err != nil {
		return
	}
	letUp := l.hold(up)
	defer letUp()
	var both sync.WaitGroup
	both.Go(func() { l.relay(up, c, false) })
	l.relay(c, up, true)
	both.Wait()
}

// relay copies until either side ends, and then ends both.
func (l *link) relay(dst, src net.Conn, answers bool) {
	defer func() { _, _ = dst.Close(), src.Close() }()
	p := make([]byte, 32<<10)
	for {
		n, err := src.Read(p)
		if n > 0 {
			if d := l.delay.Load(); d > 0 {
				time.Sleep(time.Duration(d))
			}
			if most := l.cut.Load(); answers && most > 0 && int64(n) > most {
				_, _ = dst.Write(p[:most])
				if tcp, ok := dst.(*net.TCPConn); ok {
					_ = tcp.SetLinger(0) // the end is a reset
				}
				return
			}
			if _, err := dst.Write(p[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

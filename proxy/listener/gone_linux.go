package listener

import (
	"errors"
	"fmt"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Watch notices that callers leave while they wait for their answer.
//
// Problem: who serves a request does not read the connection, so nothing tells
// that the caller has closed it until an answer is written, which for a language
// model may be minutes of wasted work later.
//
// Ways not taken: a goroutine that reads a byte ahead for each request (as
// net/http does) costs its start, a deadline to end it and the byte's replay for
// every request, and is blind once a pipelined byte has been read; polling costs
// while nothing happens.
//
// Way taken: the kernel is asked once per connection, when it is accepted, to
// report its end: EPOLLRDHUP, edge triggered. It is reported even while unread
// bytes wait before it. A request costs nothing, one goroutine serves all
// connections, and idle nothing runs.
type Watch struct {
	epoll int
	wake  [2]int // a pipe that ends the wait
	done  chan struct{}

	mu     sync.Mutex
	nextID uint64
	conns  map[uint64]*Conn
}

// NewWatch starts watching. Close ends it.
func NewWatch() (*Watch, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	w := &Watch{epoll: epoll, done: make(chan struct{}), conns: make(map[uint64]*Conn)}
	if err := unix.Pipe2(w.wake[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, errors.Join(fmt.Errorf("pipe2: %w", err), unix.Close(epoll))
	}
	// Identity 0 is the pipe's: connections count from 1.
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, w.wake[0], &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		return nil, errors.Join(fmt.Errorf("epoll_ctl: %w", err), w.closeAll())
	}
	go w.run()
	return w, nil
}

func (w *Watch) add(c *Conn) error {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.nextID++
	c.id = w.nextID
	w.conns[c.id] = c
	w.mu.Unlock()
	event := unix.EpollEvent{
		Events: unix.EPOLLRDHUP | unix.EPOLLET,
		Fd:     int32(uint32(c.id)), Pad: int32(uint32(c.id >> 32)), // #nosec G115 -- the two halves of the identity
	}
	cerr := raw.Control(func(fd uintptr) {
		err = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, int(fd), &event)
	})
	if err = errors.Join(cerr, err); err != nil {
		w.remove(c)
	}
	return err
}

// remove forgets a connection; closing it has taken it out of the kernel's set.
func (w *Watch) remove(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c.id)
}

func (w *Watch) run() {
	defer close(w.done)
	events := make([]unix.EpollEvent, 128)
	for {
		n, err := unix.EpollWait(w.epoll, events, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return
		}
		for _, e := range events[:n] {
			id := uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32 // #nosec G115 -- the two halves of the identity
			if id == 0 {
				return
			}
			w.mu.Lock()
			c := w.conns[id]
			w.mu.Unlock()
			if c != nil {
				c.setGone()
			}
		}
	}
}

// Close ends the watch; connections go on unwatched.
func (w *Watch) Close() error {
	if _, err := unix.Write(w.wake[1], []byte{0}); err != nil {
		return fmt.Errorf("wake: %w", err)
	}
	<-w.done
	return w.closeAll()
}

func (w *Watch) closeAll() error {
	return errors.Join(unix.Close(w.epoll), unix.Close(w.wake[0]), unix.Close(w.wake[1]))
}

package tcp

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// relay carries bytes both ways between two connections.
type relay struct {
	// Set once.
	down, up Conn
	idle     time.Duration

	last atomic.Int64 // when something was carried last
	over atomic.Bool
	once sync.Once
	why  error // of the first that broke off; set by once
}

func newRelay(down, up Conn, idle time.Duration) *relay {
	r := &relay{down: down, up: up, idle: idle}
	r.last.Store(time.Now().UnixNano())
	return r
}

// run returns when both directions have ended, with the bytes of each; err is why one
// was cut.
func (r *relay) run() (received, sent int64, err error) {
	var wg sync.WaitGroup
	wg.Go(func() { received = r.carry(r.up, r.down) })
	sent = r.carry(r.down, r.up)
	wg.Wait()
	return received, sent, r.why
}

// carry copies src to dst. The end of src is told to dst alone: the other direction
// goes on.
func (r *relay) carry(dst, src Conn) (n int64) {
	buf := buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer buffers.Put(buf)
	for {
		m, err := r.read(src, *buf)
		if m > 0 {
			if werr := r.write(dst, (*buf)[:m]); werr != nil {
				r.cut(werr)
				return n
			}
			n += int64(m)
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			if err := dst.CloseWrite(); err != nil {
				r.cut(err)
			}
			return n
		default:
			r.cut(err)
			return n
		}
	}
}

var (
	errIdle = errors.New("nothing was sent for longer than idle_timeout")
	errOver = errors.New("the other direction has broken off")
)

// read waits as long as something is carried in either direction.
func (r *relay) read(src Conn, p []byte) (int, error) {
	for {
		until := time.Unix(0, r.last.Load()).Add(r.idle)
		if err := src.SetReadDeadline(until); err != nil {
			return 0, err
		}
		if r.over.Load() { // before the deadline was set, which has undone cut's
			return 0, errOver
		}
		n, err := src.Read(p)
		if n > 0 {
			r.last.Store(time.Now().UnixNano())
			return n, err
		}
		switch {
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return n, err
		case r.over.Load():
			return 0, errOver
		case time.Since(time.Unix(0, r.last.Load())) >= r.idle:
			return 0, errIdle
		}
	}
}

func (r *relay) write(dst Conn, p []byte) error {
	if err := dst.SetWriteDeadline(time.Now().Add(r.idle)); err != nil {
		return err
	}
	if r.over.Load() {
		return errOver
	}
	_, err := dst.Write(p)
	return err
}

// cut ends both directions, whoever reads or writes.
func (r *relay) cut(why error) {
	r.once.Do(func() { r.why = why })
	r.over.Store(true)
	past := time.Unix(1, 0)
	_ = r.down.SetDeadline(past) // it may well be closed already
	_ = r.up.SetDeadline(past)   // as above
}

// buffers serve what is carried.
var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }} //nolint:gochecknoglobals // a pool is shared by nature

package takeover

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// Source is the process that may be taken over.
type Source interface {
	// Sockets are the listening sockets, by name. It is asked anew each time.
	Sockets() map[string]syscall.Conn
	// Leave is called once, when the successor serves. When it returns, this process
	// accepts nothing any more and writes nothing that both may write.
	Leave(successor int)
}

// Offer waits for a successor.
type Offer struct {
	// Set once.
	path string
	ln   *net.UnixListener
	self fs.FileInfo
	src  Source
	log  *zap.Logger

	wg sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[*net.UnixConn]struct{}
	taker  int // its process id; 0: there is none
	left   bool
}

// NewOffer listens on path, in place of whoever has listened there before. Only this
// process's user may connect. A successor waits until Open: made before this process's
// own predecessor leaves, there is no moment in which a successor would find nobody.
func NewOffer(path string, src Source, log *zap.Logger) (*Offer, error) {
	// The mode must be right before anybody can find it, and the name must not be
	// missing for a moment.
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("takeover: %w", err)
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("takeover: %w", err)
	}
	ln.SetUnlinkOnClose(false)
	o := &Offer{path: path, ln: ln, src: src, log: log, conns: make(map[*net.UnixConn]struct{})}
	err = os.Chmod(fresh, 0o600)
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err == nil {
		o.self, err = os.Lstat(path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("takeover: %w", err), ln.Close(), os.Remove(fresh))
	}
	return o, nil
}

// Open begins to answer. It is called once, before Close.
func (o *Offer) Open() { o.wg.Go(o.accept) }

func (o *Offer) accept() {
	for {
		c, err := o.ln.AcceptUnix()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				o.log.Error("takeover: no more successors are heard", zap.Error(err))
			}
			return
		}
		o.mu.Lock()
		if o.closed {
			o.mu.Unlock()
			_ = c.Close() // nobody was promised anything
			return
		}
		o.conns[c] = struct{}{}
		o.wg.Go(func() { o.serve(c) })
		o.mu.Unlock()
	}
}

// serve answers one successor.
func (o *Offer) serve(c *net.UnixConn) {
	pid, err := trust(c)
	if err == nil {
		err = o.begin(pid)
	}
	if err != nil {
		o.log.Warn("takeover refused", zap.Error(err))
		refuse(c, err)
		o.forget(c)
		return
	}
	err = o.answer(c, pid)
	o.forget(c)
	if o.end() {
		return
	}
	o.log.Warn("takeover: the successor has gone before it was ready; going on", zap.Int("successor", pid), zap.Error(err))
}

// refuse answers the first question, which must be read before the connection is closed:
// whoever asks would find it broken, and not hear why.
func refuse(c *net.UnixConn, why error) {
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, f, _ := receive(c); f != nil {
		_ = f.Close() // unasked for
	}
	_ = send(c, message{Error: why.Error()}, nil) // it may have gone
}

// begin takes pid for the successor, unless there is one.
func (o *Offer) begin(pid int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.left:
		return errors.New("this process has been taken over already")
	case o.taker != 0:
		return fmt.Errorf("process %d is taking over just now", o.taker)
	}
	o.taker = max(pid, 1)
	return nil
}

// end says whether the successor has become one.
func (o *Offer) end() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.taker = 0
	return o.left
}

func (o *Offer) forget(c *net.UnixConn) {
	_ = c.Close() // once more does no harm
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.conns, c)
}

// answer answers the successor's questions until it has gone.
func (o *Offer) answer(c *net.UnixConn, pid int) error {
	given := map[string]bool{}
	for {
		q, f, err := receive(c)
		if f != nil {
			_ = f.Close() // unasked for
		}
		if err != nil {
			return err
		}
		a, socket := message{}, syscall.Conn(nil)
		switch q.Ask {
		case askHello:
			a = message{Protocol: protocol, PID: os.Getpid()}
			if q.Protocol != protocol {
				a.Error = fmt.Sprintf("protocol %d is spoken here, not %d", protocol, q.Protocol)
			}
			o.log.Info("takeover begins", zap.Int("successor", pid))
		case askTake:
			socket = o.src.Sockets()[q.Name]
			a.Name = q.Name
		case askRest:
			for name, s := range o.src.Sockets() {
				if !given[name] {
					a.Name, socket = name, s
					break
				}
			}
		case askReady:
			o.mu.Lock()
			o.left = true
			o.mu.Unlock()
			o.src.Leave(pid)
		default:
			a.Error = fmt.Sprintf("%q: not understood", q.Ask)
		}
		if socket != nil {
			a.Found, given[a.Name] = true, true
		}
		if err := send(c, a, socket); err != nil {
			return err
		}
	}
}

// Close ends the offer. The socket's name goes, unless a successor has it by now.
func (o *Offer) Close() error {
	o.mu.Lock()
	o.closed = true
	for c := range o.conns {
		_ = c.Close() // the successor will see it
	}
	o.mu.Unlock()
	err := o.ln.Close()
	if now, lerr := os.Lstat(o.path); lerr == nil && os.SameFile(now, o.self) {
		err = errors.Join(err, os.Remove(o.path))
	}
	o.wg.Wait()
	return err
}

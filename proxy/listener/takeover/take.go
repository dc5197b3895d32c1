package takeover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// patience is how long the older process may take for an answer; to Ready it must end
// what it does with files that both write.
const patience = 30 * time.Second

// Claim is a successor's side of a takeover.
type Claim struct {
	// Predecessor is the older process's id.
	Predecessor int

	mu   sync.Mutex
	c    *net.UnixConn
	rest map[string]net.Listener // given unasked
}

// Take begins to take over from the process that listens on path; nil where there is
// none.
func Take(ctx context.Context, path string) (*Claim, error) {
	nc, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, nil //nolint:nilnil // nobody is there, which is no error
	}
	if err != nil {
		return nil, fmt.Errorf("takeover: %w", err)
	}
	c := nc.(*net.UnixConn) //nolint:forcetypeassert // unix was asked for
	claim := &Claim{c: c}
	_, err = trust(c)
	if err == nil {
		var a message
		a, _, err = claim.ask(message{Ask: askHello, Protocol: protocol, PID: os.Getpid()})
		claim.Predecessor = a.PID
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("takeover: %s: %w", path, err), c.Close())
	}
	return claim, nil
}

// ask puts one question.
func (c *Claim) ask(q message) (message, *os.File, error) {
	if err := c.c.SetDeadline(time.Now().Add(patience)); err != nil {
		return message{}, nil, err
	}
	if err := send(c.c, q, nil); err != nil {
		return message{}, nil, err
	}
	a, f, err := receive(c.c)
	if err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	if err != nil && f != nil {
		err = errors.Join(err, f.Close())
		f = nil
	}
	return a, f, err
}

// Listener returns the older process's socket of that name; nil where it has none, or
// has gone.
func (c *Claim) Listener(name string) (net.Listener, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ln := c.rest[name]; ln != nil {
		delete(c.rest, name)
		return ln, nil
	}
	if c.c == nil {
		return nil, nil //nolint:nilnil // there is none, which is no error
	}
	_, f, err := c.ask(message{Ask: askTake, Name: name})
	if err != nil || f == nil {
		return nil, err
	}
	return listener(f)
}

func listener(f *os.File) (net.Listener, error) {
	ln, err := net.FileListener(f)
	return ln, errors.Join(err, f.Close())
}

// Ready says that this process serves. What the older one listens on and was not asked
// for comes over, too, and is kept for Listener: those who connect there wait. Then
// the older one leaves. Where it has gone by itself meanwhile, that is the error.
func (c *Claim) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.c == nil {
		return net.ErrClosed
	}
	c.rest = make(map[string]net.Listener)
	for {
		a, f, err := c.ask(message{Ask: askRest})
		if err != nil {
			return c.end(err)
		}
		if f == nil {
			break
		}
		ln, err := listener(f)
		if err != nil {
			return c.end(err)
		}
		c.rest[a.Name] = ln
	}
	_, _, err := c.ask(message{Ask: askReady})
	return c.end(err)
}

// end closes the connection. mu is held.
func (c *Claim) end(err error) error {
	if c.c == nil {
		return err
	}
	err = errors.Join(err, c.c.Close())
	c.c = nil
	return err
}

// Forget closes the sockets that Listener was not asked for, and returns their names.
func (c *Claim) Forget() (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, ln := range c.rest {
		names = append(names, name)
		_ = ln.Close() // nobody has accepted from it
	}
	c.rest = nil
	return names
}

// Close ends the takeover: before Ready the older process goes on as if nothing had
// been.
func (c *Claim) Close() error {
	c.Forget()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end(nil)
}

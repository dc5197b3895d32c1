// Package sidecar runs the programs friday and fridayd as their users do, for
// measurements and demonstrations, and reads what they tell about themselves.
package sidecar

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fridaymesh/friday/bench/exposition"
	"github.com/fridaymesh/friday/bench/process"
)

// patience is how long a program may take to become ready.
const patience = 20 * time.Second

// Binaries is the folder with the programs: dir where it is named, else that of
// the running program where friday is beside it, else ./bin.
func Binaries(dir string) (string, error) {
	candidates := []string{dir}
	if dir == "" {
		candidates = []string{"bin"}
		if self, err := os.Executable(); err == nil {
			candidates = []string{filepath.Dir(self), "bin"}
		}
	}
	for _, c := range candidates {
		if _, err := os.Stat(filepath.Join(c, "friday")); err == nil {
			return filepath.Abs(c)
		}
	}
	return "", fmt.Errorf("the program friday is not in %s; build it first with \"go build -o bin/ ./cmd/... ./bench/cmd/...\" or make build", strings.Join(candidates, " or "))
}

// Sidecar is a running friday.
type Sidecar struct {
	*process.Process
	// Listen is where callers go, Admin its admin door; both host:port.
	Listen, Admin string
}

// Proxy starts "friday proxy --upstream" and returns when it is ready. args go to
// it as well.
func Proxy(ctx context.Context, g *process.Group, bin, name, upstream, listen, admin string, args ...string) (*Sidecar, error) {
	args = append([]string{"proxy", "--upstream", upstream, "--listen", listen, "--admin", admin}, args...)
	return start(ctx, g, bin, name, listen, admin, args)
}

// Meshed starts "friday proxy --xds" and returns when it is ready. listen is what
// the control plane's policy says.
func Meshed(ctx context.Context, g *process.Group, bin, node, xds, stateDir, listen, admin string, args ...string) (*Sidecar, error) {
	return start(ctx, g, bin, "friday", listen, admin, append([]string{
		"proxy", "--xds", xds, "--node-id", node, "--node-cluster", node, "--admin", admin, "--state-dir", stateDir,
	}, args...))
}

// Configured starts "friday proxy --config" and returns when it is ready. listen is
// what the file, or its control plane, says.
func Configured(ctx context.Context, g *process.Group, bin, name, file, listen, admin string, args ...string) (*Sidecar, error) {
	return start(ctx, g, bin, name, listen, admin, append([]string{"proxy", "--config", file, "--admin", admin}, args...))
}

func start(ctx context.Context, g *process.Group, bin, name, listen, admin string, args []string) (*Sidecar, error) {
	p, err := g.Start(name, nil, filepath.Join(bin, "friday"), args...)
	if err != nil {
		return nil, err
	}
	s := &Sidecar{Process: p, Listen: listen, Admin: admin}
	if err := p.Await(ctx, patience, process.OK("http://"+admin+"/ready")); err != nil {
		return nil, err
	}
	return s, p.Await(ctx, patience, process.Listening(listen))
}

// Control starts fridayd over a folder of policies and returns when it is ready.
func Control(ctx context.Context, g *process.Group, bin, policies, listen, admin string) (*process.Process, error) {
	p, err := g.Start("fridayd", nil, filepath.Join(bin, "fridayd"),
		"--policies", policies, "--listen", listen, "--admin", admin)
	if err != nil {
		return nil, err
	}
	return p, p.Await(ctx, patience, process.Listening(listen))
}

// Batches is what the batcher has sent: items, in upstream calls.
type Batches = exposition.Batches

// Batches asks the sidecar's metrics what its batcher has sent so far.
func (s *Sidecar) Batches(ctx context.Context) (Batches, error) {
	text, err := process.Get(ctx, "http://"+s.Admin+"/metrics")
	if err != nil {
		return Batches{}, err
	}
	return Batches{Items: exposition.Sum(string(text), "friday_batch_size_sum"), Calls: exposition.Sum(string(text), "friday_batch_size_count")}, nil
}

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Group is the programs of one run.
type Group struct {
	dir string // of the logs

	mu      sync.Mutex
	running []*Process
}

// NewGroup keeps the logs of its programs under dir, one file each.
func NewGroup(dir string) (*Group, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("logs: %w", err)
	}
	return &Group{dir: dir}, nil
}

// File is the path of a file beside the logs, for what a program of that name is to
// read.
func (g *Group) File(name string) string {
	return filepath.Join(g.dir, strings.ReplaceAll(name, " ", "-"))
}

// Process is a program that was started.
type Process struct {
	// Name is what people call it, Log the file that it writes to.
	Name, Log string

	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // set before done is closed
}

// Start runs a program in a process group of its own, so that a Ctrl-C at the
// terminal reaches only the one who started it, who ends the others in order.
func (g *Group) Start(name string, env []string, program string, args ...string) (*Process, error) {
	return g.start(name, env, attributes(), program, args)
}

// StartAs is Start as another user, and the group of the same number; root may.
func (g *Group) StartAs(name string, uid uint32, program string, args ...string) (*Process, error) {
	as := attributes()
	as.Credential = &syscall.Credential{Uid: uid, Gid: uid}
	return g.start(name, nil, as, program, args)
}

func (g *Group) start(name string, env []string, as *syscall.SysProcAttr, program string, args []string) (*Process, error) {
	p := &Process{Name: name, Log: g.File(name + ".log"), done: make(chan struct{})}
	log, err := os.Create(p.Log)
	if err != nil {
		return nil, fmt.Errorf("%s: log: %w", name, err)
	}
	defer func() { _ = log.Close() }()     // the program has its own copy
	p.cmd = exec.Command(program, args...) // #nosec G204 -- what this package is for
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = as
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	g.mu.Lock()
	g.running = append(g.running, p)
	g.mu.Unlock()
	return p, nil
}

// Close ends all programs, the last started first.
func (g *Group) Close() {
	g.mu.Lock()
	running := g.running
	g.running = nil
	g.mu.Unlock()
	for _, p := range slices.Backward(running) {
		_ = p.Stop(5 * time.Second)
	}
}

// Tails is the ends of all logs, for the one who looks for what went wrong.
func (g *Group) Tails(lines int) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var b strings.Builder
	for _, p := range g.running {
		b.WriteString(p.Tail(lines))
	}
	return b.String()
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop sends SIGTERM, waits, and sends SIGKILL to the whole group of a program
// that takes longer than patience. It returns how the program ended; nil: with
// exit code 0.
func (p *Process) Stop(patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-timer.C:
		kill(p.PID())
		<-p.done
	}
	return p.err
}

// Kill ends the program at once, as kill -9 does, and returns when it has ended.
func (p *Process) Kill() {
	kill(p.PID())
	<-p.done
}

// Tail is the end of the program's log with a heading.
func (p *Process) Tail(lines int) string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	state := "running"
	select {
	case <-p.done:
		state = "ended: " + p.cmd.ProcessState.String()
	default:
	}
	return fmt.Sprintf("--- %s (%s), the end of %s:\n%s\n", p.Name, state, p.Log, strings.Join(all[max(0, len(all)-lines):], "\n"))
}

// ErrEnded is why waiting for a program's readiness was given up.
var ErrEnded = errors.New("the program has ended")

// Await asks ready every 50 ms until it says nil. It gives up when the program
// has ended, or after limit with what ready said last.
func (p *Process) Await(ctx context.Context, limit time.Duration, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s: %w (%s)", p.Name, ErrEnded, p.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("%s: not ready after %v: %w", p.Name, limit, err)
		case <-tick.C:
		}
	}
}

// CPU is the processor time, user and system, that the program and those that it has
// started and that still run have used so far; 0 where the system does not tell.
func (p *Process) CPU() time.Duration {
	var sum time.Duration
	for _, pid := range group(p.PID()) {
		sum += cpuOf(pid)
	}
	return sum
}

// Memory is how many bytes of memory the program and those that it has started hold
// (their resident sets; what they share counts for each); 0 where the system does not
// tell.
func (p *Process) Memory() int64 {
	var sum int64
	for _, pid := range group(p.PID()) {
		sum += memoryOf(pid)
	}
	return sum
}

// PeakMemory is the most that the program itself has held; 0 where the system does not
// tell.
func (p *Process) PeakMemory() int64 { return peakOf(p.PID()) }

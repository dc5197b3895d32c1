package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fridaymesh/friday/bench/exposition"
	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/report"
	"github.com/fridaymesh/friday/bench/sidecar"
)

const (
	// rate is of requests a second; callers is the most at once.
	rate, callers = 150, 128
	// patience is how long the whole may take to be well again, once a fault has ended.
	patience = 15 * time.Second
	// mostMore is by how many goroutines a Friday that a fault has passed by may have more than before.
	mostMore = 10
	// mostMemory is what Friday may ever take, in bytes.
	mostMemory = 300 << 20
)

// bench is one run.
type bench struct {
	*options
	bin, dir string
	out      io.Writer
}

func (b *bench) say(format string, args ...any) { _, _ = fmt.Fprintf(b.out, format+"\n", args...) }

// errAbsent says that a fault cannot be played here.
var errAbsent = errors.New("not here")

// fault is one way to break something.
type fault struct {
	name, what string
	// allowed are the failures that callers may see while it lasts, as load.Result names them.
	allowed []string
	play    func(ctx context.Context, s *scene) (*story, error)
}

// scene is what a fault is played on: a server, a Friday before it, and their programs.
type scene struct {
	*bench
	*fault
	group *process.Group

	server *process.Process
	// upstream is where Friday calls, listen and admin where it listens.
	upstream, listen, admin string
	friday                  *sidecar.Sidecar
	next                    uint64 // the number of the next request
}

// story is what was seen.
type story struct {
	before, during, after *load.Result
	// back is how long it took to be well again after the fault.
	back time.Duration
	// note is a word more.
	note string
}

// chaos plays the faults.
func (b *bench) chaos(ctx context.Context) error {
	t := &report.Table{
		Title: fmt.Sprintf("\n%d requests a second; what callers saw while it lasted, and what was lost", rate),
		Head:  []string{"fault", "answered", "failed", "p50 ms, before", "in it", "longest", "well again after", "lost", ""},
	}
	var broken []error
	for i := range faults() {
		f := &faults()[i]
		if !strings.Contains(f.name+" "+f.what, b.only) {
			continue
		}
		st, err := b.act(ctx, f)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errAbsent):
			t.Row(f.what, "", "", "", "", "", "", "", err.Error())
			continue
		case err != nil:
			broken = append(broken, fmt.Errorf("%s: %w", f.name, err))
		}
		if st == nil {
			t.Row(f.what, "", "", "", "", "", "", "", "BROKEN")
			continue
		}
		lost := "nothing"
		if err != nil {
			lost = "SEE BELOW"
		}
		t.Row(f.what, report.Count(st.during.Requests), failures(st.during), report.Millis(st.before.Latency.Quantile(.5)), report.Millis(st.during.Latency.Quantile(.5)),
			report.Millis(st.during.Latency.Quantile(1)), st.back.Round(10*time.Millisecond).String(), lost, st.note)
	}
	b.say("%s", t)
	return errors.Join(broken...)
}

// failures are what failed, by kind: "12: 503; 3: reset".
func failures(r *load.Result) string {
	parts := make([]string, 0, len(r.Failed))
	for _, kind := range slices.Sorted(maps.Keys(r.Failed)) {
		parts = append(parts, fmt.Sprintf("%d: %s", r.Failed[kind], kind))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, "; ")
}

// act plays one fault, with programs of its own.
func (b *bench) act(ctx context.Context, f *fault) (st *story, err error) {
	dir := filepath.Join(b.dir, strings.ReplaceAll(f.name, " ", "-"))
	group, err := process.NewGroup(dir)
	if err != nil {
		return nil, err
	}
	defer group.Close()
	addresses, err := process.FreeAddresses(0, 0, 0)
	if err != nil {
		return nil, err
	}
	s := &scene{bench: b, fault: f, group: group, upstream: addresses[0], listen: addresses[1], admin: addresses[2], next: 1 << 32}
	if st, err = f.play(ctx, s); err != nil {
		if !errors.Is(err, errAbsent) {
			err = fmt.Errorf("%w\n%s", err, group.Tails(10))
		}
		return st, err
	}
	if err := s.judge(st); err != nil {
		return st, fmt.Errorf("%w\n%s", err, group.Tails(10))
	}
	return st, nil
}

// judge holds a story to what is promised.
func (s *scene) judge(st *story) error {
	var broken []error
	for when, r := range map[string]*load.Result{"before": st.before, "after": st.after} {
		if !r.Clean() {
			broken = append(broken, fmt.Errorf("%s the fault: %s", when, r.Trouble()))
		}
	}
	if st.during.Wrong > 0 {
		broken = append(broken, errors.New(st.during.Trouble()))
	}
	for kind := range st.during.Failed {
		if !slices.Contains(s.allowed, kind) {
			broken = append(broken, fmt.Errorf("callers saw %s: %s", kind, st.during.Trouble()))
		}
	}
	if m := s.friday.PeakMemory(); m > mostMemory {
		broken = append(broken, fmt.Errorf("its memory came to %d MiB", m>>20))
	}
	return errors.Join(broken...)
}

// serve starts the stand-in at the scene's address, or at another.
func (s *scene) serve(ctx context.Context, address string) (err error) {
	s.server, err = s.group.Start("stand-in", nil, filepath.Join(s.bin, "standin"), "--listen", address, "--fixed", "5ms", "--per-item", "200us")
	if err != nil {
		return err
	}
	return s.server.Await(ctx, patience, process.OK("http://"+address+"/health"))
}

// begin starts a server and a Friday before it.
func (s *scene) begin(ctx context.Context, args ...string) error {
	if err := s.serve(ctx, s.upstream); err != nil {
		return err
	}
	return s.front(ctx, s.upstream, args...)
}

// front starts a Friday before upstream.
func (s *scene) front(ctx context.Context, upstream string, args ...string) (err error) {
	s.friday, err = sidecar.Proxy(ctx, s.group, s.bin, "friday", upstream, s.listen, s.admin, args...)
	return err
}

// load asks for so long.
func (s *scene) load(ctx context.Context, long time.Duration, perSecond float64, at int) (*load.Result, error) {
	first := s.next
	s.next += 1 << 20
	r, err := load.Run(ctx, load.Options{
		Target: load.Target{Address: s.listen}, Workload: load.Embeddings{Items: 1},
		Concurrency: at, Rate: perSecond, Duration: long, First: first, Timeout: 20 * time.Second,
	})
	if err == nil {
		err = context.Cause(ctx)
	}
	return r, err
}

// tell plays the three phases: the fault begins with hurt, a moment after its load has, and
// ends with heal.
func (s *scene) tell(ctx context.Context, hurt, heal func(context.Context) error) (*story, error) {
	st := &story{}
	var err error
	if st.before, err = s.load(ctx, s.phase, rate, callers); err != nil {
		return nil, err
	}
	busy, err := s.goroutines(ctx)
	if err != nil {
		return nil, err
	}
	began := make(chan error, 1)
	timer := time.AfterFunc(s.phase/6, func() { began <- hurt(ctx) })
	defer timer.Stop()
	healed := make(chan error, 1)
	later := time.AfterFunc(s.phase*5/6, func() { healed <- heal(ctx) })
	defer later.Stop()
	st.during, err = s.load(ctx, s.phase, rate, callers)
	if err := errors.Join(err, <-began, <-healed); err != nil {
		return nil, err
	}
	ended := time.Now()
	for {
		r, err := s.load(ctx, 200*time.Millisecond, 0, 2)
		if err != nil {
			return nil, err
		}
		if r.Clean() {
			break
		}
		if time.Since(ended) > patience {
			return nil, fmt.Errorf("not well again after %v: %s", patience, r.Trouble())
		}
	}
	st.back = time.Since(ended) - 200*time.Millisecond
	if st.after, err = s.load(ctx, s.phase, rate, callers); err != nil {
		return st, err
	}
	return st, s.friday.Await(ctx, patience, func(ctx context.Context) error {
		now, err := s.goroutines(ctx)
		if err == nil && now > busy+mostMore {
			err = fmt.Errorf("%d goroutines, %d before the fault", now, busy)
		}
		return err
	})
}

// goroutines is how many there are in Friday.
func (s *scene) goroutines(ctx context.Context) (int, error) {
	text, err := process.Get(ctx, "http://"+s.admin+"/metrics")
	return int(exposition.Sum(string(text), "go_goroutines")), err
}

// nothing is for what needs no end.
func nothing(context.Context) error { return nil }

// need says that a program is not there.
func need(names ...string) error {
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: there is no program %s", errAbsent, name)
		}
	}
	return nil
}

// root says that what follows needs it.
func root() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: it needs root", errAbsent)
	}
	return nil
}

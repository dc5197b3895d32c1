package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fridaymesh/friday/bench/jobs"
	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/realserver"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// unwell are the answers of a Friday whose server is: 503 where it cannot be reached, 504
// where it takes too long.
func unwell() []string { return []string{"503", "504"} }

func faults() []fault {
	all := []fault{
		{"latency", "100 ms more on the way to the server, each way", nil, latency},
		{"loss", "a packet in twenty is lost between Friday and the server", nil, loss},
		{"partition", "the link to the server is cut", unwell(), partition},
		{"frozen server", "the server stops working, and goes on (SIGSTOP, SIGCONT)", unwell(), frozen},
		{"killed server", "the server is killed, and started again", unwell(), killedServer},
		{"held", "the same, with --hold-timeout", []string{"503"}, held},
		{"resets", "connections are reset in the middle of answers", append(unwell(), "reset"), resets},
	}
	for _, l := range []lie{fewer, more, garbage, longer, textual, failing, headless} {
		all = append(all, fault{"lie: " + string(l), "the server answers shared calls with " + string(l), nil, lying(l)})
	}
	return append(all,
		fault{"killed friday", "Friday is killed, and started again", []string{"reset", "connect", "503"}, killedFriday},
		fault{"killed fridayd", "fridayd is killed, and started again", nil, killedControl},
		fault{"killed redis", "the cache's shared store is killed, and started again", nil, killedRedis},
		fault{"killed in a batch", "Friday is killed five times while it runs a batch of 1,000 lines", nil, killedJobs},
		fault{"killed postgres", "the jobs' PostgreSQL is killed while a batch runs, and started again", nil, killedPostgres},
		fault{"full disk", "the disk with the jobs is full, and then not", nil, fullDisk},
		fault{"descriptors", "Friday may open 64 descriptors, 128 callers come", []string{"reset", "connect", "503"}, descriptors},
		fault{"memory", "Friday may take 192 MiB, 64 callers send 8 MiB each at once", nil, memory},
		fault{"clock", "the clock jumps an hour ahead, and back", nil, clock},
	)
}

func latency(ctx context.Context, s *scene) (*story, error) {
	l, err := s.linked(ctx)
	if err != nil {
		return nil, err
	}
	defer l.close()
	return s.tell(ctx,
		func(context.Context) error { l.delay.Store(int64(100 * time.Millisecond)); return nil },
		func(context.Context) error { l.delay.Store(0); return nil })
}

// linked is begin with a link between Friday and the server.
func (s *scene) linked(ctx context.Context, args ...string) (*link, error) {
	if err := s.serve(ctx, s.upstream); err != nil {
		return nil, err
	}
	l, err := newLink(ctx, s.upstream)
	if err != nil {
		return nil, err
	}
	return l, s.front(ctx, l.address(), args...)
}

func resets(ctx context.Context, s *scene) (*story, error) {
	l, err := s.linked(ctx)
	if err != nil {
		return nil, err
	}
	defer l.close()
	return s.tell(ctx,
		func(context.Context) error { l.cut.Store(150); return nil },
		func(context.Context) error { l.cut.Store(0); return nil })
}

// The names of what is made in the kernel.
const space, outer, inner = "friday-chaos", "friday-chaos0", "friday-chaos1"

// apart is begin with the server in a network namespace of its own; in runs a program there.
func (s *scene) apart(ctx context.Context, args ...string) (end func(), err error) {
	if err := errors.Join(root(), need("ip", "nft")); err != nil {
		return nil, err
	}
	end = func() { // also when ctx has ended; a namespace goes later than its name
		_ = exec.Command("ip", "link", "del", outer).Run()  //nolint:noctx // as above
		_ = exec.Command("ip", "netns", "del", space).Run() //nolint:noctx // as above
	}
	end()
	for _, line := range []string{
		"netns add " + space,
		"link add " + outer + " type veth peer name " + inner + " netns " + space,
		"addr add 10.203.7.1/30 dev " + outer,
		"link set " + outer + " up",
		"-n " + space + " addr add 10.203.7.2/30 dev " + inner,
		"-n " + space + " link set " + inner + " up",
		"-n " + space + " link set lo up",
	} {
		if err := command(ctx, "ip", strings.Fields(line)...); err != nil {
			end()
			return nil, fmt.Errorf("%w: %w", errAbsent, err)
		}
	}
	s.upstream = "10.203.7.2:8000"
	s.server, err = s.group.Start("stand-in", nil, "ip", "netns", "exec", space, filepath.Join(s.bin, "standin"), "--listen", s.upstream, "--fixed", "5ms", "--per-item", "200us")
	if err == nil {
		err = s.server.Await(ctx, patience, process.OK("http://"+s.upstream+"/health"))
	}
	if err == nil {
		err = s.front(ctx, s.upstream, args...)
	}
	if err != nil {
		end()
	}
	return end, err
}

func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput() // #nosec G204 -- of this file
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

func loss(ctx context.Context, s *scene) (*story, error) {
	end, err := s.apart(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	nft := func(rule string) func(context.Context) error {
		return func(ctx context.Context) error {
			return command(ctx, "ip", append([]string{"netns", "exec", space, "nft"}, strings.Fields(rule)...)...)
		}
	}
	return s.tell(ctx, func(ctx context.Context) error {
		if err := nft("add table inet chaos")(ctx); err != nil {
			return err
		}
		if err := nft("add chain inet chaos in { type filter hook input priority 0 ; }")(ctx); err != nil {
			return err
		}
		return nft("add rule inet chaos in numgen random mod 20 == 0 drop")(ctx)
	}, nft("delete table inet chaos"))
}

func partition(ctx context.Context, s *scene) (*story, error) {
	end, err := s.apart(ctx, "--timeout", "1s")
	if err != nil {
		return nil, err
	}
	defer end()
	link := func(state string) func(context.Context) error {
		return func(ctx context.Context) error { return command(ctx, "ip", "-n", space, "link", "set", inner, state) }
	}
	return s.tell(ctx, link("down"), link("up"))
}

func frozen(ctx context.Context, s *scene) (*story, error) {
	if err := s.begin(ctx, "--timeout", "1s"); err != nil {
		return nil, err
	}
	signal := func(sig syscall.Signal) func(context.Context) error {
		return func(context.Context) error { return syscall.Kill(s.server.PID(), sig) }
	}
	return s.tell(ctx, signal(syscall.SIGSTOP), signal(syscall.SIGCONT))
}

func killedServer(ctx context.Context, s *scene) (*story, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	return s.tell(ctx,
		func(context.Context) error { s.server.Kill(); return nil },
		func(ctx context.Context) error { return s.serve(ctx, s.upstream) })
}

func held(ctx context.Context, s *scene) (*story, error) {
	if err := s.begin(ctx, "--hold-timeout", "10s"); err != nil {
		return nil, err
	}
	return s.tell(ctx,
		func(context.Context) error { s.server.Kill(); return nil },
		func(ctx context.Context) error { return s.serve(ctx, s.upstream) })
}

func lying(now lie) func(ctx context.Context, s *scene) (*story, error) {
	return func(ctx context.Context, s *scene) (*story, error) {
		if err := s.serve(ctx, s.upstream); err != nil {
			return nil, err
		}
		l, err := newLiar(ctx, s.upstream)
		if err != nil {
			return nil, err
		}
		defer l.close()
		if err := s.front(ctx, l.at); err != nil {
			return nil, err
		}
		st, err := s.tell(ctx,
			func(context.Context) error { l.lie.Store(now); return nil },
			func(context.Context) error { l.lie.Store(honest); return nil })
		if err != nil {
			return nil, err
		}
		if st.note = fmt.Sprintf("%d calls lied to", l.lies.Load()); l.lies.Load() == 0 {
			return st, errors.New("no call was shared, so that there was nothing to lie to")
		}
		return st, nil
	}
}

func killedFriday(ctx context.Context, s *scene) (*story, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	return s.tell(ctx,
		func(context.Context) error { s.friday.Kill(); return nil },
		func(ctx context.Context) error { return s.front(ctx, s.upstream) })
}

// policy is what fridayd serves in these scenes.
const policy = `apiVersion: friday.dev/v1alpha1
kind: InferencePolicy
metadata: {name: chaos}
spec:
  selector: {node_cluster: chaos}
  port: %s
  server: {endpoints: ["%s"]}
`

// meshed is begin with a control plane; it returns what starts it, and its address.
func (s *scene) meshed(ctx context.Context) (start func(context.Context) (*process.Process, error), err error) {
	if err := s.serve(ctx, s.upstream); err != nil {
		return nil, err
	}
	addresses, err := process.FreeAddresses(0, 0)
	if err != nil {
		return nil, err
	}
	policies := s.group.File("policies")
	if err := os.MkdirAll(policies, 0o750); err != nil {
		return nil, err
	}
	_, port, _ := strings.Cut(s.listen, ":")
	if err := os.WriteFile(filepath.Join(policies, "chaos.yaml"), fmt.Appendf(nil, policy, port, s.upstream), 0o600); err != nil {
		return nil, err
	}
	start = func(ctx context.Context) (*process.Process, error) {
		return sidecar.Control(ctx, s.group, s.bin, policies, addresses[0], addresses[1])
	}
	if _, err := start(ctx); err != nil {
		return nil, err
	}
	s.friday, err = sidecar.Meshed(ctx, s.group, s.bin, "chaos", addresses[0], s.group.File("state"), s.listen, s.admin)
	return start, err
}

func killedControl(ctx context.Context, s *scene) (*story, error) {
	start, err := s.meshed(ctx)
	if err != nil {
		return nil, err
	}
	return s.tell(ctx, func(context.Context) error {
		return command(ctx, "pkill", "-KILL", "-f", filepath.Join(s.bin, "fridayd")+" --policies "+s.group.File("policies"))
	}, func(ctx context.Context) error {
		_, err := start(ctx)
		return err
	})
}

func killedRedis(ctx context.Context, s *scene) (*story, error) {
	program, err := realserver.PrepareRedis(ctx, func(string) {})
	if errors.Is(err, realserver.ErrUnavailable) {
		return nil, fmt.Errorf("%w: %w", errAbsent, err)
	}
	if err != nil {
		return nil, err
	}
	redis, err := program.Start(ctx, s.group, "")
	if err != nil {
		return nil, err
	}
	if err := s.serve(ctx, s.upstream); err != nil {
		return nil, err
	}
	s.friday, err = sidecar.CachedProxy(ctx, s.group, s.bin, "friday", s.upstream, s.listen, s.admin,
		`{"shared":{"address":"`+redis.Address+`"}}`)
	if err != nil {
		return nil, err
	}
	return s.tell(ctx, func(context.Context) error { redis.Kill(); return nil }, func(ctx context.Context) (err error) {
		redis, err = program.Start(ctx, s.group, redis.Address)
		return err
	})
}

// killedJobs has no load of embeddings: what counts are the lines.
func killedJobs(ctx context.Context, s *scene) (*story, error) {
	began := time.Now()
	k := jobs.Kills{Group: s.group, Bin: s.bin, Lines: 1000, Number: 5, Store: s.group.File("jobs.db")}
	o, err := k.Run(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil { // for the judge
		return nil, err
	}
	r, err := s.load(ctx, time.Second, rate, callers)
	if err != nil {
		return nil, err
	}
	return &story{
		before: r, during: &load.Result{Requests: 1000 - uint64(o.Missing)}, after: r, // #nosec G115 -- not negative
		note: fmt.Sprintf("%d kills in %.0f s: %d lines missing, %d with two results, server asked %d times", o.Kills, time.Since(began).Seconds(), o.Missing, o.Doubled, o.Asked),
	}, nil
}

func fullDisk(ctx context.Context, s *scene) (*story, error) {
	if err := root(); err != nil {
		return nil, err
	}
	disk := s.group.File("disk")
	if err := os.MkdirAll(disk, 0o750); err != nil {
		return nil, err
	}
	if err := syscall.Mount("chaos", disk, "tmpfs", 0, "size=8m"); err != nil {
		return nil, fmt.Errorf("%w: a small file system: %w", errAbsent, err)
	}
	defer func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) }()
	if err := s.serve(ctx, s.upstream); err != nil {
		return nil, err
	}
	var err error
	if s.friday, err = sidecar.WithJobs(ctx, s.group, s.bin, "friday", s.upstream, s.listen, s.admin, filepath.Join(disk, "jobs.db")); err != nil {
		return nil, err
	}
	full := filepath.Join(disk, "full")
	if status, err := s.upload(ctx); err != nil || status != http.StatusOK {
		return nil, fmt.Errorf("before the fault a file is answered %d %w", status, err)
	}
	said := 0
	st, err := s.tell(ctx, func(ctx context.Context) error {
		_ = os.WriteFile(full, make([]byte, 16<<20), 0o600) // as much as there is room for
		var err error
		said, err = s.upload(ctx)
		return err
	}, func(context.Context) error { return os.Remove(full) })
	if err != nil {
		return nil, err
	}
	if said < 500 {
		return st, fmt.Errorf("a file for which there was no room was answered %d", said)
	}
	status, err := s.upload(ctx)
	if err != nil || status != http.StatusOK {
		return st, fmt.Errorf("after the fault a file is answered %d %w", status, err)
	}
	st.note = fmt.Sprintf("a batch's file was answered %d then, %d after", said, status)
	return st, nil
}

// upload sends a file of lines for a batch, a mebibyte.
func (s *scene) upload(ctx context.Context) (status int, err error) {
	lines := jobs.Lines(6000)
	var body bytes.Buffer
	body.WriteString("--x\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n")
	body.Write(lines)
	body.WriteString("\r\n--x--\r\n")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.listen+"/v1/files", &body)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func descriptors(ctx context.Context, s *scene) (*story, error) {
	if err := need("prlimit"); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	limit := func(n string) error {
		return command(ctx, "prlimit", "--pid", strconv.Itoa(s.friday.PID()), "--nofile="+n)
	}
	crowd := make(chan error, 1)
	return s.tell(ctx, func(ctx context.Context) error {
		if err := limit("64:1024"); err != nil {
			return err
		}
		go func() {
			_, err := s.load(ctx, s.phase/2, 0, 128)
			crowd <- err
		}()
		return nil
	}, func(context.Context) error { return errors.Join(<-crowd, limit("1024:1024")) })
}

// memory has big requests come beside the load.
func memory(ctx context.Context, s *scene) (*story, error) {
	const group = "/sys/fs/cgroup/memory/friday-chaos"
	if err := root(); err != nil {
		return nil, err
	}
	if err := os.Mkdir(group, 0o750); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%w: no control group for memory: %w", errAbsent, err)
	}
	defer func() { _ = os.Remove(group) }()
	const most = 192 << 20
	if err := os.WriteFile(filepath.Join(group, "memory.limit_in_bytes"), []byte(strconv.Itoa(most)), 0o600); err != nil {
		return nil, fmt.Errorf("%w: %w", errAbsent, err)
	}
	if err := s.serve(ctx, s.upstream); err != nil {
		return nil, err
	}
	// As an injected sidecar has it: Go knows nine tenths of the limit.
	if err := os.Setenv("GOMEMLIMIT", strconv.Itoa(most/10*9)); err != nil {
		return nil, err
	}
	err := s.front(ctx, s.upstream, "--max-body", "16MiB")
	_ = os.Unsetenv("GOMEMLIMIT")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(s.friday.PID())), 0o600); err != nil {
		return nil, err
	}
	answered := make(chan map[int]int, 1)
	st, err := s.tell(ctx, func(ctx context.Context) error {
		go func() { answered <- s.big(ctx, 64, 8<<20) }()
		return nil
	}, nothing)
	if err != nil {
		return nil, err
	}
	st.note = fmt.Sprintf("the big ones, by status: %v; at most %d MiB", <-answered, s.friday.PeakMemory()>>20)
	return st, nil
}

// big sends n requests of so many bytes at once, and counts the statuses; 0: no answer.
func (s *scene) big(ctx context.Context, n, size int) map[int]int {
	body := append(append([]byte(`{"model":"m","input":"`), bytes.Repeat([]byte{'a'}, size)...), `"}`...)
	statuses := make(chan int, n)
	for range n {
		go func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.listen+"/v1/embeddings", bytes.NewReader(body))
			if err != nil {
				statuses <- 0
				return
			}
			req.Header.Set("Content-Type", "application/json")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				statuses <- 0
				return
			}
			_ = resp.Body.Close()
			statuses <- resp.StatusCode
		}()
	}
	counts := map[int]int{}
	for range n {
		counts[<-statuses]++
	}
	return counts
}

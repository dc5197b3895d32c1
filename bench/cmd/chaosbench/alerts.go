package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fridaymesh/friday/bench/jobs"
	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/realserver"
	"github.com/fridaymesh/friday/bench/report"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// alarm is a fault, and the alerts that it must fire.
type alarm struct {
	fault  string
	alerts []string
	cause  func(ctx context.Context, w *watch) (end func(context.Context) error, err error)
}

// fires is how long an alert may take, where a minute of its rule is a second; slowFires
// where a day is three minutes.
const fires, slowFires = 90 * time.Second, 5 * time.Minute

func alarms() []alarm {
	return []alarm{
		{"the cache's and the limits' store is killed", []string{"FridayCacheStoreDown", "FridayLimitsNotShared"}, loseRedis},
		{"the way to the server takes 1.5 s", []string{"FridaySlow"}, slowLink},
		{"the server stops working", []string{"FridayQueueNearLimit", "FridayRefuses"}, freeze},
		{"the server is killed", []string{"FridayErrors", "FridayNotReady"}, loseServer},
		{"fridayd is killed", []string{"FridayControlPlaneLost"}, loseControl},
		{"a policy names a file of keys that the sidecar has not", []string{"FridayConfigRefused", "FridaydPolicyRejected"}, badPolicy},
		{"a policy names a model that the server cannot load", []string{"FridayModelFailed"}, badModel},
		{"the disk with the jobs is full", []string{"FridayJobStoreErrors"}, fillDisk},
		{"a batch of lines that the server refuses", []string{"FridayJobLinesFail"}, badLines},
		{"callers ask for what nobody has asked for", []string{"FridayCacheCollapsed"}, newTexts},
	}
}

// watch is what alarms are played on: everything that Friday does, before a server, with a
// control plane, a Redis, and a Prometheus that looks at it.
type watch struct {
	*scene
	link       *link
	redis      *realserver.Server
	program    *realserver.Redis
	control    *process.Process
	start      func(context.Context) (*process.Process, error)
	policies   string
	disk       string
	prometheus string // its address
	client     *jobs.Client
	forget     func() // nobody asks for what is known any more
}

// watched is the policy; %s: the port, the server, Redis, Redis, the jobs' file, and what
// a fault adds.
const watched = `apiVersion: friday.dev/v1alpha1
kind: InferencePolicy
metadata: {name: chaos}
spec:
  selector: {node_cluster: chaos}
  port: %s
  server: {endpoints: ["%s"]}
  filters:
    admission: {max_concurrency: 65536, requests_per_minute: 10000000, shared_limits: {address: "%s"}%s}
    cache: {shared: {address: "%s"}}
    batch: {max_queued_items: 64}
    jobs: {store: {sqlite_path: "%s"}, max_attempts: 1}
    stream: {}
%s`

// policy writes the policy, with more of the admission filter and of filters.
func (w *watch) policy(admission, filters string) error {
	_, port, _ := strings.Cut(w.listen, ":")
	text := fmt.Appendf(nil, watched, port, w.link.address(), w.redis.Address, admission, w.redis.Address, filepath.Join(w.disk, "jobs.db"), filters)
	file := filepath.Join(w.policies, "chaos.yaml")
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// alarms fires the alerts.
func (b *bench) alarms(ctx context.Context) error {
	text, names, err := hasten(b.rules)
	if err != nil {
		return err
	}
	if err := errors.Join(root(), need("prometheus")); err != nil {
		return fmt.Errorf("alerts: %w", err)
	}
	group, err := process.NewGroup(filepath.Join(b.dir, "alerts"))
	if err != nil {
		return err
	}
	defer group.Close()
	w := &watch{scene: &scene{bench: b, fault: &fault{name: "alerts"}, group: group, next: 1 << 32}}
	defer w.unmount()
	if err := w.stage(ctx, text); err != nil {
		return fmt.Errorf("%w\n%s", err, group.Tails(15))
	}
	defer w.link.close()
	ctx, cancel := context.WithCancel(ctx)
	known, forget := context.WithCancel(ctx)
	w.forget = forget
	var callers sync.WaitGroup
	callers.Go(func() { w.ask(ctx, load.Embeddings{Items: 1}, 80, 1<<32) })
	callers.Go(func() { w.ask(known, load.Repeat{Workload: load.Embeddings{Items: 1}, Of: 20}, 160, 1) })
	defer func() {
		cancel()
		forget()
		callers.Wait()
	}()
	t := &report.Table{
		Title: "\nThe alerts of " + b.rules + ", minutes as seconds (of the day-long one, as eighths of a second)",
		Head:  []string{"fault", "alert", "fired after", "what it said"},
	}
	var broken []error
	missing := names
	for _, a := range alarms() {
		if !strings.Contains(a.fault+" "+strings.Join(a.alerts, " "), b.only) {
			missing = slices.DeleteFunc(missing, func(n string) bool { return slices.Contains(a.alerts, n) })
			continue
		}
		for _, s := range w.sound(ctx, &a) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			b.say("%s: %s: %s", a.fault, s.alert, s.after)
			t.Row(a.fault, s.alert, s.after, s.said)
			if s.err != nil {
				broken = append(broken, s.err)
			}
			missing = slices.DeleteFunc(missing, func(n string) bool { return n == s.alert })
		}
	}
	b.say("%s", t)
	if len(missing) > 0 {
		broken = append(broken, fmt.Errorf("no fault for %s", strings.Join(missing, ", ")))
	}
	if len(broken) > 0 {
		broken = append(broken, errors.New(group.Tails(15)))
	}
	return errors.Join(broken...)
}

// stage starts everything.
func (w *watch) stage(ctx context.Context, rules []byte) (err error) {
	addresses, err := process.FreeAddresses(0, 0, 0, 0, 0, 0)
	if err != nil {
		return err
	}
	w.upstream, w.listen, w.admin, w.prometheus = addresses[0], addresses[1], addresses[2], addresses[5]
	w.policies, w.disk = w.group.File("policies"), w.group.File("disk")
	for _, dir := range []string{w.policies, w.disk} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return err
		}
	}
	if err := syscall.Mount("chaos", w.disk, "tmpfs", 0, "size=16m"); err != nil {
		return fmt.Errorf("%w: a small file system: %w", errAbsent, err)
	}
	if err := w.serve(ctx, w.upstream); err != nil {
		return err
	}
	if w.link, err = newLink(ctx, w.upstream); err != nil {
		return err
	}
	if w.program, err = realserver.PrepareRedis(ctx, func(string) {}); err != nil {
		return err
	}
	if w.redis, err = w.program.Start(ctx, w.group, ""); err != nil {
		return err
	}
	if err := w.policy("", ""); err != nil {
		return err
	}
	w.start = func(ctx context.Context) (*process.Process, error) {
		return sidecar.Control(ctx, w.group, w.bin, w.policies, addresses[3], addresses[4])
	}
	if w.control, err = w.start(ctx); err != nil {
		return err
	}
	if w.friday, err = sidecar.Meshed(ctx, w.group, w.bin, "chaos", addresses[3], w.group.File("state"), w.listen, w.admin); err != nil {
		return err
	}
	// One without a control plane, whose /ready asks the server.
	plain, err := process.FreeAddresses(0, 0)
	if err != nil {
		return err
	}
	if _, err := sidecar.Proxy(ctx, w.group, w.bin, "friday plain", w.upstream, plain[0], plain[1]); err != nil {
		return err
	}
	w.client = &jobs.Client{Address: w.listen, HTTP: http.DefaultClient}
	return w.look(ctx, rules, []string{w.admin, plain[1]}, []string{addresses[4]})
}

func (w *watch) unmount() {
	if w.disk != "" {
		_ = syscall.Unmount(w.disk, syscall.MNT_DETACH)
	}
}

// look starts the Prometheus.
func (w *watch) look(ctx context.Context, rules []byte, fridays, controls []string) error {
	file := w.group.File("rules.json")
	if err := os.WriteFile(file, rules, 0o600); err != nil {
		return err
	}
	job := func(name string, targets []string) map[string]any {
		return map[string]any{"job_name": name, "static_configs": []any{map[string]any{"targets": targets}}}
	}
	config, err := json.Marshal(map[string]any{
		"global":         map[string]any{"scrape_interval": "1s", "evaluation_interval": "1s"},
		"rule_files":     []string{file},
		"scrape_configs": []any{job("friday", fridays), job("fridayd", controls)},
	})
	if err != nil {
		return err
	}
	settings := w.group.File("prometheus.json")
	if err := os.WriteFile(settings, config, 0o600); err != nil {
		return err
	}
	p, err := w.group.Start("prometheus", nil, "prometheus", "--config.file="+settings, "--storage.tsdb.path="+w.group.File("tsdb"),
		"--web.listen-address="+w.prometheus, "--log.level=warn")
	if err != nil {
		return err
	}
	return p.Await(ctx, 30*time.Second, process.OK("http://"+w.prometheus+"/-/ready"))
}

// ask asks until ctx ends; what is answered is no matter here.
func (w *watch) ask(ctx context.Context, l load.Workload, perSecond float64, first uint64) {
	_, _ = load.Run(ctx, load.Options{
		Target: load.Target{Address: w.listen}, Workload: l, Concurrency: 160, Rate: perSecond,
		Duration: time.Hour, First: first, Timeout: 4 * time.Second,
	})
}

// sounded is what became of an alert.
type sounded struct {
	alert, after, said string
	err                error
}

// sound causes an alarm's fault and waits for its alerts.
func (w *watch) sound(ctx context.Context, a *alarm) (all []sounded) {
	began := time.Now()
	end, err := a.cause(ctx, w)
	limit := fires
	if slices.Contains(a.alerts, "FridayCacheCollapsed") {
		limit = slowFires
	}
	for _, name := range a.alerts {
		s := sounded{alert: name, err: err}
		if err == nil {
			s.said, s.err = w.await(ctx, name, limit)
		}
		if s.err != nil {
			s.after, s.err = "NOT", fmt.Errorf("%s: %s: %w", a.fault, name, s.err)
		} else {
			s.after = time.Since(began).Round(100 * time.Millisecond).String()
		}
		all = append(all, s)
	}
	if end != nil {
		if err := end(ctx); err != nil {
			all[0].err = errors.Join(all[0].err, err)
		}
	}
	return all
}

// await waits until an alert fires, and returns its summary.
func (w *watch) await(ctx context.Context, name string, limit time.Duration) (said string, err error) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < limit; {
		if said, err = w.firing(ctx, name); said != "" || err != nil {
			return said, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	return "", fmt.Errorf("has not fired within %v", limit)
}

// firing is an alert's summary while it fires.
func (w *watch) firing(ctx context.Context, name string) (string, error) {
	page, err := process.Get(ctx, "http://"+w.prometheus+"/api/v1/alerts")
	if err != nil {
		return "", err
	}
	var got struct {
		Data struct {
			Alerts []struct {
				Labels, Annotations map[string]string
				State               string
			}
		}
	}
	if err := json.Unmarshal(page, &got); err != nil {
		return "", err
	}
	for _, a := range got.Data.Alerts {
		if a.Labels["alertname"] == name && a.State == "firing" {
			return a.Annotations["summary"], nil
		}
	}
	return "", nil
}

func loseRedis(_ context.Context, w *watch) (func(context.Context) error, error) {
	address := w.redis.Address
	w.redis.Kill()
	return func(ctx context.Context) (err error) {
		w.redis, err = w.program.Start(ctx, w.group, address)
		return err
	}, nil
}

func slowLink(_ context.Context, w *watch) (func(context.Context) error, error) {
	w.link.delay.Store(int64(1500 * time.Millisecond))
	return func(context.Context) error { w.link.delay.Store(0); return nil }, nil
}

func freeze(_ context.Context, w *watch) (func(context.Context) error, error) {
	pid := w.server.PID()
	return func(context.Context) error { return syscall.Kill(pid, syscall.SIGCONT) }, syscall.Kill(pid, syscall.SIGSTOP)
}

func loseServer(_ context.Context, w *watch) (func(context.Context) error, error) {
	w.server.Kill()
	return func(ctx context.Context) error { return w.serve(ctx, w.upstream) }, nil
}

func loseControl(_ context.Context, w *watch) (func(context.Context) error, error) {
	w.control.Kill()
	return func(ctx context.Context) (err error) {
		w.control, err = w.start(ctx)
		return err
	}, nil
}

func badPolicy(_ context.Context, w *watch) (func(context.Context) error, error) {
	return func(context.Context) error { return w.policy("", "") }, w.policy(`, key_file: "/nowhere/keys"`, "")
}

func badModel(_ context.Context, w *watch) (func(context.Context) error, error) {
	return func(context.Context) error { return w.policy("", "") },
		w.policy("", "    models: {api: TORCHSERVE, management_port: 1, models: [{name: absent, preload: true}]}\n")
}

func fillDisk(ctx context.Context, w *watch) (func(context.Context) error, error) {
	full := filepath.Join(w.disk, "full")
	_ = os.WriteFile(full, make([]byte, 32<<20), 0o600) // as much as there is room for
	_, err := w.upload(ctx)
	return func(context.Context) error { return os.Remove(full) }, err
}

// badLines has batches of lines run that the server refuses, for as long as the alert's
// rule looks back.
func badLines(ctx context.Context, w *watch) (func(context.Context) error, error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		var err error
		for n := 0; ctx.Err() == nil && err == nil; n++ {
			var file string
			if file, err = w.client.Upload(ctx, []byte(strings.Repeat(`{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"m"}}`+"\n", 1)), fmt.Sprint("chaos ", n)); err != nil {
				break
			}
			_, err = w.client.Create(ctx, file, 1, fmt.Sprint("chaos batch ", n))
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
		ended <- err
	}()
	return func(context.Context) error {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}, nil
}

func newTexts(_ context.Context, w *watch) (func(context.Context) error, error) {
	w.forget()
	return nil, nil //nolint:nilnil // it is the last
}

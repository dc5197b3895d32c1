package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/fridaymesh/friday/bench/sidecar"
)

// What a Friday is built with whose clock can be moved: as when a machine's clock is set, the
// time of day jumps, and what the kernel has counted since the machine began goes on.
const (
	clockEnv = "FRIDAY_CHAOS_CLOCK" // a file with the seconds to add

	clockRuntime = `//go:build linux && amd64

package runtime

import _ "unsafe"

func clockNow() (sec int64, nsec int32, mono int64)

//go:linkname clockShift
var clockShift int64

//go:linkname time_now time.now
func time_now() (sec int64, nsec int32, mono int64) {
	sec, nsec, mono = clockNow()
	return sec + clockShift, nsec, mono
}
`
	clockMain = `package main

import (
	"os"
	"strconv"
	"strings"
	"time"
	_ "unsafe"
)

//go:linkname clockShift runtime.clockShift
var clockShift int64

func init() {
	go func() {
		for ; ; time.Sleep(20 * time.Millisecond) {
			text, _ := os.ReadFile(os.Getenv("` + clockEnv + `"))
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
				clockShift = n
			}
		}
	}()
}
`
)

// movable builds a Friday whose clock can be moved, and returns the folder that it is in.
func (s *scene) movable(ctx context.Context) (bin string, err error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", fmt.Errorf("%w: only on linux/amd64 is it known how a clock is moved", errAbsent)
	}
	if err := need("go"); err != nil {
		return "", err
	}
	goEnv := func(name string) (string, error) {
		out, err := exec.CommandContext(ctx, "go", "env", name).Output() // #nosec G204 -- of this file
		return strings.TrimSpace(string(out)), err
	}
	root, err := goEnv("GOROOT")
	mod, err2 := goEnv("GOMOD")
	if err := errors.Join(err, err2); err != nil {
		return "", err
	}
	main := filepath.Join(filepath.Dir(mod), "cmd", "friday")
	if _, err := os.Stat(main); err != nil {
		return "", fmt.Errorf("%w: it is built from Friday's sources, and not run in their folder: %w", errAbsent, err)
	}
	asm := filepath.Join(root, "src", "runtime", "time_linux_amd64.s")
	now, err := os.ReadFile(asm) // #nosec G304 -- Go's own
	if err != nil {
		return "", err
	}
	moved := bytes.Replace(now, []byte("TEXT time·now<"), []byte("TEXT ·clockNow<"), 1)
	if bytes.Equal(moved, now) {
		return "", fmt.Errorf("%w: %s asks for the time in a way that is not known", errAbsent, runtime.Version())
	}
	bin = s.group.File("bin")
	if err := os.MkdirAll(bin, 0o750); err != nil {
		return "", err
	}
	replace := map[string]string{}
	for path, text := range map[string]string{
		asm: string(moved), filepath.Join(root, "src", "runtime", "timeasm.go"): clockRuntime, filepath.Join(main, "chaos_clock.go"): clockMain,
	} {
		file := filepath.Join(bin, filepath.Base(path))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[path] = file
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(bin, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return "", err
	}
	return bin, command(ctx, "go", "build", "-overlay", file, "-tags", "grpcnotrace", "-o", filepath.Join(bin, "friday"), main)
}

// clock has the time of day jump an hour ahead, and back, while there are callers and a batch
// of lines.
func clock(ctx context.Context, s *scene) (*story, error) {
	bin, err := s.movable(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.serve(ctx, s.upstream); err != nil {
		return nil, err
	}
	at := s.group.File("clock")
	move := func(by time.Duration) func(context.Context) error {
		return func(context.Context) error {
			// In the place of the old one, so that nobody reads half of it.
			return errors.Join(os.WriteFile(at+".new", fmt.Append(nil, int64(by/time.Second)), 0o600), os.Rename(at+".new", at))
		}
	}
	if err := errors.Join(move(0)(ctx), os.Setenv(clockEnv, at)); err != nil {
		return nil, err
	}
	s.friday, err = sidecar.WithJobs(ctx, s.group, bin, "friday", s.upstream, s.listen, s.admin, s.group.File("jobs.db"))
	_ = os.Unsetenv(clockEnv)
	if err != nil {
		return nil, err
	}
	b := s.batch()
	defer b.close()
	var then, there time.Time
	st, err := s.tell(ctx, func(ctx context.Context) error {
		if err := errors.Join(b.create(ctx), move(time.Hour)(ctx)); err != nil {
			return err
		}
		then = time.Now()
		return s.friday.Await(ctx, patience, func(ctx context.Context) (err error) {
			if there, err = s.clockOf(ctx); err == nil && there.Sub(then) < 59*time.Minute {
				err = errors.New("its clock has not moved")
			}
			return err
		})
	}, move(0))
	if err != nil {
		return nil, err
	}
	st.note = fmt.Sprintf("by %v, and back; %s", there.Sub(then).Round(time.Minute), b)
	return st, b.end(ctx)
}

// clockOf is what time Friday takes it to be.
func (s *scene) clockOf(ctx context.Context) (time.Time, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+"/ready", http.NoBody)
	if err != nil {
		return time.Time{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return time.Time{}, err
	}
	if err := resp.Body.Close(); err != nil {
		return time.Time{}, err
	}
	return http.ParseTime(resp.Header.Get("Date"))
}

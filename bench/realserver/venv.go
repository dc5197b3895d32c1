package realserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ServerRequirements are what the model server is made of; ClientRequirements what
// the interoperability tests call it with.
const (
	ServerRequirements = "mlserver==1.7.1\nmlserver-sklearn==1.7.1\nscikit-learn==1.9.1\n"
	ClientRequirements = "tritonclient[http,grpc]==2.73.0\nopenai==3.54.0\npytest==9.2.0\n"
)

// Venv is a Python virtual environment.
type Venv struct{ Dir string }

// Bin is the path of one of its programs.
func (v *Venv) Bin(name string) string { return filepath.Join(v.Dir, "bin", name) }

// PrepareVenv returns the environment with the given requirements, made where it
// is not there. progress gets lines for a person. The error is ErrUnavailable
// where it cannot be made.
func PrepareVenv(ctx context.Context, what, requirements string, progress func(string)) (*Venv, error) {
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	return PrepareVenvIn(ctx, cache, what, requirements, progress)
}

// PrepareVenvIn is PrepareVenv with a cache directory of the caller's choice.
func PrepareVenvIn(ctx context.Context, cache, what, requirements string, progress func(string)) (*Venv, error) {
	python, version, err := findPython(ctx)
	if err != nil {
		return nil, err
	}
	v := &Venv{Dir: filepath.Join(cache, "venv-"+Key(requirements, version, python))}
	try := exec.CommandContext(ctx, v.Bin("python"), "-c", "") // #nosec G204 -- in our own cache
	if complete(v.Dir) && try.Run() != nil && ctx.Err() == nil {
		// The Python that it was made with has gone.
		if err := os.Remove(filepath.Join(v.Dir, marker)); err != nil {
			return nil, fmt.Errorf("broken %s: %w", v.Dir, err)
		}
	}
	err = once(ctx, v.Dir, progress, func(ctx context.Context) error {
		progress(fmt.Sprintf("installing %s with Python %s into %s (once, about a minute)", what, version, v.Dir))
		return v.build(ctx, python, requirements, progress)
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (v *Venv) build(ctx context.Context, python, requirements string, progress func(string)) error {
	list := filepath.Join(v.Dir, "requirements.txt")
	start := time.Now()
	steps := [][]string{
		{python, "-m", "venv", v.Dir},
		{v.Bin("python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet", "-r", list},
	}
	for _, step := range steps {
		if err := os.WriteFile(list, []byte(requirements), 0o600); err != nil {
			return fmt.Errorf("requirements: %w", err)
		}
		if err := patiently(ctx, progress, step[0], step[1:]...); err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	progress(fmt.Sprintf("installed in %v", time.Since(start).Round(time.Second)))
	return nil
}

// patiently runs a program that may take its time and says every 10 s that it is
// still at it. The error holds the end of what the program wrote.
func patiently(ctx context.Context, progress func(string), program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...) // #nosec G204 -- a Python of this package's choice
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	start := time.Now()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		tick := time.NewTicker(10 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
				progress(fmt.Sprintf("  still at it after %v", time.Since(start).Round(time.Second)))
			}
		}
	}()
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return fmt.Errorf("%s: %w: %s", filepath.Base(program)+" "+strings.Join(args[:min(2, len(args))], " "), err,
		strings.Join(lines[max(0, len(lines)-3):], " | "))
}

// probe prints the version where environments can be made.
const probe = "import sys, venv, ensurepip; print('%d.%d.%d' % sys.version_info[:3], sys.executable)"

// findPython returns the first Python that the packages run on: 3.11 or 3.12.
func findPython(ctx context.Context) (path, version string, err error) {
	var why []string
	for _, name := range []string{"python3", "python3.12", "python3.11"} {
		out, err := exec.CommandContext(ctx, name, "-c", probe).Output() // #nosec G204 -- one of three names
		if ctx.Err() != nil {
			return "", "", context.Cause(ctx)
		}
		switch version, path, ok := strings.Cut(strings.TrimSpace(string(out)), " "); {
		case errors.Is(err, exec.ErrNotFound):
			why = append(why, "no "+name)
		case err != nil || !ok:
			why = append(why, name+" cannot make virtual environments")
		case !strings.HasPrefix(version, "3.11.") && !strings.HasPrefix(version, "3.12."):
			why = append(why, name+" is "+version+", not 3.11 or 3.12")
		default:
			return path, version, nil
		}
	}
	return "", "", fmt.Errorf("%w: %s", ErrUnavailable, strings.Join(why, "; "))
}

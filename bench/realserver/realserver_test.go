package realserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet(string) {}

func TestKeys(t *testing.T) {
	a := Key("x==1\ny==2\n", "3.11.7")
	require.Len(t, a, 12)
	require.Equal(t, a, Key("y==2\n\n  x==1", "3.11.7"), "order and blank lines do not matter")
	for _, other := range []string{
		Key("x==1\ny==3\n", "3.11.7"), Key("x==1\ny==2\n", "3.12.1"), Key("x==1\ny==2\n3.11.7"), Key("x==1\ny==2"), Key(),
	} {
		require.NotEqual(t, a, other)
	}
	require.NotEqual(t, Key(ServerRequirements), Key(ClientRequirements))
}

func TestCacheDir(t *testing.T) {
	t.Setenv(CacheEnv, "relative/dir")
	dir, err := CacheDir()
	require.NoError(t, err)
	require.True(t, filepath.IsAbs(dir))
	t.Setenv(CacheEnv, "")
	t.Setenv("XDG_CACHE_HOME", "/somewhere")
	dir, err = CacheDir()
	require.NoError(t, err)
	require.Equal(t, "friday", filepath.Base(dir))
}

func TestOnceMakesItOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	var built atomic.Int64
	var told atomic.Int64
	begun := make(chan struct{})
	release := make(chan struct{})
	build := func(context.Context) error {
		built.Add(1)
		close(begun)
		<-release
		return os.WriteFile(filepath.Join(dir, "content"), []byte("x"), 0o600)
	}
	var wg sync.WaitGroup
	errs := make(chan error, 4)
	for range 4 {
		wg.Go(func() {
			errs <- once(t.Context(), dir, func(string) {
				if told.Add(1) == 3 {
					close(release) // the other three wait
				}
			}, build)
		})
	}
	<-begun
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, int64(1), built.Load())
	require.FileExists(t, filepath.Join(dir, "content"))
	require.NoError(t, once(t.Context(), dir, quiet, func(context.Context) error { return errors.New("again") }))
}

func TestHalfMadeIsMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "venv")
	failed := errors.New("failed")
	err := once(t.Context(), dir, quiet, func(context.Context) error {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "half"), nil, 0o600))
		return failed
	})
	require.ErrorIs(t, err, failed)
	require.NoDirExists(t, dir)

	// As where the power went off: there, without the marker.
	require.NoError(t, os.MkdirAll(dir, 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "half"), nil, 0o600))
	require.NoError(t, once(t.Context(), dir, quiet, func(context.Context) error {
		require.NoFileExists(t, filepath.Join(dir, "half"))
		return nil
	}))
	require.True(t, complete(dir))
}

func TestLockIsGivenUpWithTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path, quiet)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = lock(ctx, path, func(string) { cancel() })
	require.ErrorIs(t, err, context.Canceled)
	unlock()
	unlock, err = lock(t.Context(), path, quiet)
	require.NoError(t, err)
	unlock()
}

func TestPatientlyTellsTheEndOfTheOutput(t *testing.T) {
	err := patiently(t.Context(), quiet, "sh", "-c", "for i in 1 2 3 4 5; do echo line $i; done; exit 7")
	require.ErrorContains(t, err, "exit status 7: line 3 | line 4 | line 5")
	require.NoError(t, patiently(t.Context(), quiet, "true"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, patiently(ctx, quiet, "sleep", "60"), context.DeadlineExceeded)
}

// fakePython is a program that says it is a Python of a version.
func fakePython(t *testing.T, dir, name, says string, code int) {
	t.Helper()
	script := fmt.Sprintf("#!/bin/sh\necho '%s'\nexit %d\n", says, code)
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700)) // #nosec G306 -- a program
}

func TestFindPython(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+"/nowhere")
	t.Setenv(CacheEnv, filepath.Join(dir, "cache"))
	_, _, err := findPython(t.Context())
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "no python3; no python3.12; no python3.11")
	_, err = Prepare(t.Context(), quiet)
	require.ErrorIs(t, err, ErrUnavailable, "the demo then takes the stand-in")

	fakePython(t, dir, "python3", "3.14.0 /usr/bin/python3", 0)
	fakePython(t, dir, "python3.12", "", 1)
	_, _, err = findPython(t.Context())
	require.ErrorContains(t, err, "python3 is 3.14.0, not 3.11 or 3.12; python3.12 cannot make virtual environments")

	fakePython(t, dir, "python3.11", "3.11.2 /opt/with space/python", 0)
	path, version, err := findPython(t.Context())
	require.NoError(t, err)
	require.Equal(t, "/opt/with space/python", path)
	require.Equal(t, "3.11.2", version)

	// It is there and yet makes no environment.
	fakePython(t, dir, "python3.11", "3.11.2 "+filepath.Join(dir, "broken"), 0)
	fakePython(t, dir, "broken", "no room left", 1)
	_, err = PrepareVenv(t.Context(), "nothing", "x==1\n", quiet)
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "no room left")
}

func digits(t *testing.T) *Digits {
	t.Helper()
	row := "[0" + strings.Repeat(",1.5", 63) + "]"
	d, err := ParseDigits([]byte(`{"rows":[` + row + "," + row + "," + row + `],"labels":[4,5,6]}`))
	require.NoError(t, err)
	return d
}

func TestExam(t *testing.T) {
	d := digits(t)
	answer := func(v string) []byte {
		return []byte(`{"model_name":"digits-rf","outputs":[{"name":"predict","shape":[1,1],"data":[` + v + `]}]}`)
	}
	e := d.NewExam(nil)
	require.Contains(t, string(e.AppendBody(nil, 4)), `"shape":[1,64],"datatype":"FP32","data":[0,1.5,`)
	require.NoError(t, e.Check(0, answer("4")))
	require.NoError(t, e.Check(1, answer("7")), "not the right digit, but an answer")
	require.NoError(t, e.Check(3, answer("4")), "digit 0 again")
	require.InDelta(t, .5, e.Accuracy(), 0)
	require.Equal(t, 2, e.Asked())
	require.ErrorContains(t, e.Check(3, answer("9")), "9 where it was 4 before")

	e = d.NewExam([]int64{4, 7, -1})
	require.NoError(t, e.Check(0, answer("4")))
	require.ErrorContains(t, e.Check(1, answer("5")), "digit 1: 5 where the server itself says 7")
	require.NoError(t, e.Check(2, answer("6")))
	require.Equal(t, []int64{4, -1, 6}, e.Answers())

	for _, bad := range []string{
		``, `{}`, `{"model_name":"digits-rf","outputs":[]}`,
		strings.Replace(string(answer("4")), "digits-rf", "other", 1),
		strings.Replace(string(answer("4")), "[1,1]", "[2,1]", 1),
		string(answer("4,5")), string(answer("10")), string(answer("-1")), string(answer(`"4"`)),
	} {
		require.Error(t, e.Check(0, []byte(bad)), bad)
	}
}

func FuzzParseDigits(f *testing.F) {
	f.Add([]byte(`{"rows":[[0` + strings.Repeat(",1", 63) + `]],"labels":[3]}`))
	f.Add([]byte(`{"rows":[[1]],"labels":[3]}`))
	f.Add([]byte(`{"rows":[],"labels":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := ParseDigits(text)
		if err != nil {
			return
		}
		require.Len(t, d.Labels, len(d.Rows))
		require.NotEmpty(t, d.Request(len(d.Rows)-1))
	})
}

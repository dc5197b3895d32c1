package control

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/fridaymesh/friday/xds/resource"
)

// patient is how long a test waits for what should take 50 ms.
const patient = 10 * time.Second

// watched is a Folder that is being watched; applied gets what is in force.
type watched struct {
	*Folder
	t       *testing.T
	applied chan string
	logs    *observer.ObservedLogs
}

func watchFolder(t *testing.T, dir string) *watched {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	w := &watched{t: t, applied: make(chan string, 100), logs: logs}
	w.Folder = NewFolder(dir, compiler(), func(list []*Compiled) {
		var versions []string
		for _, p := range list {
			versions = append(versions, fmt.Sprintf("%s@%d", p.Name(), p.Port()))
		}
		w.applied <- strings.Join(versions, " ")
	}, zap.New(core), NewMetrics(prometheus.NewRegistry()))
	require.NoError(t, w.Load())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Watch(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return w
}

func (w *watched) expect(want string) {
	w.t.Helper()
	timer := time.NewTimer(patient)
	defer timer.Stop()
	select {
	case got := <-w.applied:
		require.Equal(w.t, want, got)
	case <-timer.C:
		w.t.Fatalf("%q was not applied", want)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yml")
	put(t, a, doc("digits", ""))
	w := watchFolder(t, dir)
	w.expect("digits@19080")
	put(t, a, doc("digits", "  port: 1\n"))
	w.expect("digits@1")
	put(t, b, doc("words", "  port: 2\n"))
	w.expect("digits@1 words@2")

	put(t, a, doc("digits", "  port: 0\n  what: 1\n"))
	require.Eventually(t, func() bool { return w.Status()[0].State == StateStale }, patient, time.Millisecond)
	s := w.Status()
	require.Equal(t, "digits", s[0].Name)
	require.Equal(t, a, s[0].File)
	require.NotEmpty(t, s[0].Version)
	require.Equal(t, a+":6: spec.port: 0: must be 1 to 65535\n"+a+":7: spec.what: unknown field", s[0].Error)
	require.Equal(t, StateCurrent, s[1].State)
	refusals := w.logs.FilterMessageSnippet("refused").All()
	require.NotEmpty(t, refusals)
	require.Contains(t, fmt.Sprint(refusals[len(refusals)-1].ContextMap()["errors"]), "spec.what: unknown field")
	require.InDelta(t, 1, testutil.ToFloat64(w.metrics.Policies.WithLabelValues("stale")), 0)
	require.InDelta(t, 1, testutil.ToFloat64(w.metrics.Policies.WithLabelValues("current")), 0)
	require.InDelta(t, 1, testutil.ToFloat64(w.metrics.Files.WithLabelValues("refused")), 0)
	require.Positive(t, testutil.ToFloat64(w.metrics.Loads.WithLabelValues("refused")))

	require.NoError(t, os.Remove(b)) // which a's fault does not stop
	w.expect("digits@1")
	put(t, a, doc("digits", "  port: 3\n"))
	w.expect("digits@3")
	require.Equal(t, StateCurrent, w.Status()[0].State)
	put(t, filepath.Join(dir, "c.yaml"), "kind: Nothing\n")
	require.Eventually(t, func() bool { return len(w.Status()) == 2 }, patient, time.Millisecond)
	require.Equal(t, StateRefused, w.Status()[1].State)
	require.Equal(t, 2, w.Files())
}

// Whom a policy is for takes effect though no resource differs.
func TestFolderSelector(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	put(t, file, doc("digits", "  selector: {node_cluster: vision}\n"))
	h := serve(t)
	folder := NewFolder(dir, compiler(), h.Update, zap.NewNop(), NewMetrics(prometheus.NewRegistry()))
	require.NoError(t, folder.Load())
	seeing, searching := h.client(t, "n1", "vision"), h.client(t, "n2", "search")
	seeing.start("digits")
	searching.start()

	put(t, file, doc("digits", "  selector: {node_cluster: search}\n"))
	folder.scan()
	require.Equal(t, "digits", held(t, searching.next(resource.ClusterType)))
	require.Equal(t, "digits", held(t, searching.next(resource.ListenerType)))
	require.Empty(t, held(t, seeing.next(resource.ListenerType)))
	for _, n := range h.Nodes() {
		require.Equal(t, n.Cluster == "search", len(n.Policies) == 1, n.Cluster)
	}
}

// The kubelet writes a new folder and then moves one link onto another.
func TestFolderConfigMap(t *testing.T) {
	dir := t.TempDir()
	version := func(name, text string) {
		t.Helper()
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		put(t, filepath.Join(dir, name, "a.yaml"), text)
		require.NoError(t, os.Symlink(name, filepath.Join(dir, "..data_tmp")))
		require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	version("..2026_1", doc("digits", "  port: 1\n"))
	require.NoError(t, os.Symlink(filepath.Join("..data", "a.yaml"), filepath.Join(dir, "a.yaml")))
	w := watchFolder(t, dir)
	w.expect("digits@1")
	version("..2026_2", doc("digits", "  port: 2\n"))
	w.expect("digits@2")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "..2026_1")))
	version("..2026_3", doc("digits", "  port: 3\n"))
	w.expect("digits@3")
}

// A folder that goes away removes nothing; one that comes in its place is
// followed.
func TestFolderReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "policies")
	require.NoError(t, os.Mkdir(dir, 0o700))
	put(t, filepath.Join(dir, "a.yaml"), doc("digits", "  port: 1\n"))
	w := watchFolder(t, dir)
	w.expect("digits@1")
	require.NoError(t, os.Rename(dir, dir+".old"))
	w.Reload()
	require.Eventually(t, func() bool { return w.logs.FilterMessageSnippet("cannot be read").Len() == 1 }, patient, time.Millisecond)
	require.Len(t, w.Status(), 1)
	require.NoError(t, os.Mkdir(dir, 0o700))
	put(t, filepath.Join(dir, "a.yaml"), doc("digits", "  port: 2\n"))
	w.expect("digits@2")
	put(t, filepath.Join(dir, "a.yaml"), doc("digits", "  port: 3\n"))
	w.expect("digits@3")
}

func TestFolderLoad(t *testing.T) {
	load := func(dir string) error {
		return NewFolder(dir, compiler(), func([]*Compiled) { require.Fail(t, "applied") }, zap.NewNop(), NewMetrics(prometheus.NewRegistry())).Load()
	}
	dir := t.TempDir()
	require.NoError(t, load(dir), "an empty folder is fine")
	require.ErrorIs(t, load(filepath.Join(dir, "missing")), os.ErrNotExist)
	put(t, filepath.Join(dir, "a.yaml"), doc("digits", ""))
	put(t, filepath.Join(dir, "b.yaml"), doc("words", "  port: 0\n"))
	require.EqualError(t, load(dir), filepath.Join(dir, "b.yaml")+":6: spec.port: 0: must be 1 to 65535")
}

func TestDebounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := make(chan struct{}, 1)
		start := time.Now()
		var did []time.Duration
		go debounce(t.Context(), in, quiet, patience, func() { did = append(did, time.Since(start)) })
		at := func(d time.Duration) {
			time.Sleep(d - time.Since(start))
			in <- struct{}{}
			synctest.Wait()
		}
		at(0)
		at(20 * time.Millisecond)
		at(60 * time.Millisecond)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, []time.Duration{110 * time.Millisecond}, did, "once it is quiet")
		did = nil
		for d := 2 * time.Second; d < 3*time.Second; d += 40 * time.Millisecond {
			at(d)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, []time.Duration{2500 * time.Millisecond, 3010 * time.Millisecond}, did, "and at the latest after 500 ms")
	})
}

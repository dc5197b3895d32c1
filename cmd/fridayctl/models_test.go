package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/sidecar"
	"github.com/fridaymesh/friday/filters/models/modelstest"
	"github.com/fridaymesh/friday/proxy"
)

// modelMesh is fridayd and a sidecar of it, as processes, before a server that loads.
type modelMesh struct {
	*mesh

	server     *modelstest.Server
	repository string
	state      string
	admin      string
	sidecar    *sidecar.Sidecar
}

func startModelMesh(t *testing.T, server *modelstest.Server) *modelMesh {
	t.Helper()
	m := &modelMesh{
		mesh: &mesh{
			t: t, bin: t.TempDir(), history: t.TempDir(),
			file: filepath.Join(t.TempDir(), "m.yaml"),
		},
		server: server, repository: server.Repository, state: t.TempDir(),
	}
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", m.bin, "../friday", "../fridayd", ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	up := httptest.NewServer(server)
	t.Cleanup(up.Close)
	addresses, err := process.FreeAddresses(0, 0, 0, 0)
	require.NoError(t, err)
	m.listen, m.xds, m.control, m.admin = addresses[0], addresses[1], addresses[2], addresses[3]
	host, port, _ := strings.Cut(m.listen, ":")
	m.policy = fmt.Sprintf("apiVersion: friday.dev/v1alpha1\nkind: InferencePolicy\nmetadata: {name: m}\nspec:\n  address: %s\n  port: %s\n  server: {endpoints: [%q]}\n", host, port, hostOf(up.URL))
	m.group, err = process.NewGroup(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(m.group.Tails(40))
		}
		m.group.Close()
	})
	return m
}

// want writes the policy: which version of the model is served. It says from where.
func (m *modelMesh) want(version string) (source string) {
	m.t.Helper()
	source = filepath.Join(m.t.TempDir(), version)
	require.NoError(m.t, os.MkdirAll(source, 0o750))
	require.NoError(m.t, os.WriteFile(filepath.Join(source, "weights"), []byte(version), 0o600))
	m.write(fmt.Sprintf(`  filters:
    models:
      repository: %s
      models:
      - {name: m, version: %q, source: "file://%s", required: true, warmup: [{path: /v2/models/m/infer, body: "{}"}]}
    batch: {}
    stream: {}
`, m.repository, version, source))
	return source
}

// launch starts the sidecar without waiting for it to be ready.
func (m *modelMesh) launch() {
	m.t.Helper()
	p, err := m.group.Start("friday", nil, filepath.Join(m.bin, "friday"),
		"proxy", "--xds", m.xds, "--node-id", "n", "--node-cluster", "n", "--admin", m.admin, "--state-dir", m.state)
	require.NoError(m.t, err)
	m.sidecar = &sidecar.Sidecar{Process: p, Listen: m.listen, Admin: m.admin}
}

func (m *modelMesh) awaitReady() {
	m.t.Helper()
	require.NoError(m.t, m.sidecar.Await(m.t.Context(), patience, process.OK("http://"+m.admin+"/ready")))
}

// readiness is what /ready says.
func (m *modelMesh) readiness() (status int, words string) {
	resp, err := http.Get("http://" + m.admin + "/ready")
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// models are what fridayctl shows.
func (m *modelMesh) models() map[string]proxy.ModelStatus {
	m.t.Helper()
	var all []proxy.ModelStatus
	require.NoError(m.t, json.Unmarshal([]byte(m.ctl(0, "models", "--sidecar", m.admin, "-o", "json")), &all))
	byVersion := map[string]proxy.ModelStatus{}
	for _, s := range all {
		byVersion[s.Version] = s
	}
	return byVersion
}

func (m *modelMesh) awaitServing(version string) {
	m.t.Helper()
	require.Eventually(m.t, func() bool { return m.models()[version].Serving }, patience, 20*time.Millisecond, "%s: %+v", version, m.models())
}

// asking has callers ask while do is done. None may fail. It says how many answers of
// which version there were.
func (m *modelMesh) asking(do func()) map[string]int {
	m.t.Helper()
	ctx, stop := context.WithCancel(m.t.Context())
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := map[string]int{}
	var failed atomic.Pointer[string]
	for range 4 {
		wg.Go(func() {
			tr := new(http.Transport)
			defer tr.CloseIdleConnections()
			client := &http.Client{Transport: tr, Timeout: patience}
			for ctx.Err() == nil {
				version, err := askVersion(client, m.listen)
				if err != nil {
					what := err.Error()
					failed.CompareAndSwap(nil, &what)
				}
				mu.Lock()
				got[version]++
				mu.Unlock()
			}
		})
	}
	do()
	stop()
	wg.Wait()
	if what := failed.Load(); what != nil {
		m.t.Fatalf("a request failed: %s (%v)", *what, got)
	}
	return got
}

func askVersion(client *http.Client, address string) (string, error) {
	resp, err := client.Post("http://"+address+"/v2/models/m/infer", "application/json", strings.NewReader(`{"x":1}`))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, b)
	}
	var answer struct {
		Version string `json:"model_version"`
	}
	if err == nil {
		err = json.Unmarshal(b, &answer)
	}
	return answer.Version, err
}

// A required model keeps the sidecar from being ready; its version is changed, taken back
// and changed again under load, and a restart knows what there is.
func TestModelsUnderLoad(t *testing.T) {
	gate := make(chan struct{})
	server := &modelstest.Server{API: modelstest.OpenInference, Repository: t.TempDir(), Latency: time.Millisecond, Refuse: func(what string) int {
		if what == "load m" {
			<-gate
		}
		return 0
	}}
	m := startModelMesh(t, server)
	m.want("1")
	m.start()
	m.launch()
	require.Eventually(t, func() bool {
		status, words := m.readiness()
		return status == 503 && strings.Contains(words, "model m is loading")
	}, patience, 20*time.Millisecond)
	close(gate)
	m.awaitReady()
	require.True(t, m.models()["1"].Serving)
	require.Equal(t, 1, server.Answers("m"), "it was warmed")

	m.ctl(0, "models", "--sidecar", m.admin)
	var source string
	var released time.Time
	got := m.asking(func() {
		source = m.want("2")
		m.awaitServing("2")
		m.ctl(0, "rollback")
		m.awaitServing("1")
		require.Equal(t, 2, server.Count("load m"), "an instant return loads nothing")
		released = time.Now()
		m.ctl(0, "rollback", "--release")
		m.awaitServing("2")
	})
	require.Positive(t, got["1"])
	require.Positive(t, got["2"])
	require.Len(t, got, 2)
	loads, answers := server.Count("load m"), server.Answers("m") // the old one may still be unloaded

	// kill -9, and what was is known: once it is written, which is done beside serving.
	require.Eventually(t, func() bool {
		file := filepath.Join(m.state, "xds.pb")
		info, err := os.Stat(file)
		text, errRead := os.ReadFile(file)
		return err == nil && errRead == nil && info.ModTime().After(released) && bytes.Contains(text, []byte(source))
	}, patience, 20*time.Millisecond)
	require.NoError(t, syscall.Kill(m.sidecar.PID(), syscall.SIGKILL))
	<-m.sidecar.Done()
	m.launch()
	m.awaitReady()
	require.Equal(t, loads, server.Count("load m"), "it is loaded")
	require.Equal(t, answers, server.Answers("m"), "it is warm")
	version, err := askVersion(http.DefaultClient, m.listen)
	http.DefaultClient.CloseIdleConnections()
	require.NoError(t, err)
	require.Equal(t, "2", version)
	table := m.ctl(0, "models", "--sidecar", m.admin)
	require.Contains(t, table, "CLUSTER")
	require.Regexp(t, `m +2 +ready +yes`, table)
}

func TestModelsUsedWrongly(t *testing.T) {
	for says, args := range map[string][]string{
		`--sidecar: "http://x"`: {"models", "--sidecar", "http://x"},
		`-o: "yaml"`:            {"models", "-o", "yaml"},
	} {
		code, _, errs := fridayctl(t, args...)
		require.Equal(t, 2, code, errs)
		require.Contains(t, errs, says)
	}
	code, _, errs := fridayctl(t, "models", "--sidecar", "127.0.0.1:1")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "the sidecar at 127.0.0.1:1 cannot be asked")
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	code, _, errs = fridayctl(t, "models", "--sidecar", hostOf(other.URL))
	require.Equal(t, 1, code)
	require.Contains(t, errs, "is it a sidecar's admin door?")
}

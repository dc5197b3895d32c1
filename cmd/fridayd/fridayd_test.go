package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fridaymesh/friday/xds/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const digits = `apiVersion: friday.dev/v1alpha1
kind: InferencePolicy
metadata: {name: digits}
spec:
  server: {endpoints: ["127.0.0.1:8080"]}
`

func build(t testing.TB) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "fridayd")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return binary
}

func write(t testing.TB, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// served is a fridayd that serves.
type served struct {
	cmd   *exec.Cmd
	admin string
	rest  *bytes.Buffer // of stderr, once it has ended
	done  chan struct{}
}

func start(t *testing.T, binary, dir string) *served {
	t.Helper()
	p := &served{cmd: exec.CommandContext(t.Context(), binary, "--listen", "127.0.0.1:0"), rest: &bytes.Buffer{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "FRIDAY_POLICIES="+dir, "FRIDAY_ADMIN=127.0.0.1:0")
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	lines := bufio.NewReader(stderr)
	for p.admin == "" {
		line, err := lines.ReadString('\n')
		require.NoError(t, err, line)
		var entry struct{ Msg, Admin string }
		require.NoError(t, json.Unmarshal([]byte(line), &entry), line)
		p.admin = entry.Admin
	}
	go func() {
		defer close(p.done)
		_, _ = io.Copy(p.rest, lines)
	}()
	return p
}

func (p *served) get(t *testing.T, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.admin+path, nil)
	require.NoError(t, err)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func (p *served) policies(t *testing.T) (list []control.PolicyStatus) {
	t.Helper()
	_, body := p.get(t, "/policies")
	require.NoError(t, json.Unmarshal([]byte(body), &list))
	return list
}

func TestServes(t *testing.T) {
	binary, dir := build(t), t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	write(t, file, digits)
	p := start(t, binary, dir)
	code, body := p.get(t, "/ready")
	require.Equal(t, http.StatusOK, code, body)
	before := p.policies(t)
	require.Len(t, before, 1)
	require.Equal(t, control.StateCurrent, before[0].State)

	write(t, file, digits+"  timeout: 1s\n")
	require.Eventually(t, func() bool { return p.policies(t)[0].Version != before[0].Version }, 10*time.Second, 10*time.Millisecond)
	write(t, file, digits+"  port: 0\n")
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
	require.Eventually(t, func() bool { return p.policies(t)[0].State == control.StateStale }, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, file+":6: spec.port: 0: must be 1 to 65535", p.policies(t)[0].Error)

	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	<-p.done
	require.NoError(t, p.cmd.Wait(), p.rest.String())
	require.Contains(t, p.rest.String(), "must be 1 to 65535")
}

func TestExitCodes(t *testing.T) {
	binary, dir := build(t), t.TempDir()
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	write(t, good, digits)
	write(t, bad, strings.Replace(digits, "8080", "99999", 1))
	worse, empty := filepath.Join(dir, "worse.yml"), filepath.Join(t.TempDir(), "empty.yaml")
	write(t, worse, digits+"  port: 0\n  what: 1\n")
	write(t, empty, "")
	refusal := bad + `:5: spec.server.endpoints[0]: "127.0.0.1:99999": must be IP:port`
	for name, c := range map[string]struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		"check":              {[]string{"check", good}, 0, good + ":1: ok: policy digits, version ", ""},
		"check, bad":         {[]string{"check", good, bad}, 1, "", "\x00" + refusal + "\n"},
		"check, worse":       {[]string{"check", worse}, 1, "", "\x00" + worse + ":6: spec.port: 0: must be 1 to 65535\n" + worse + ":7: spec.what: unknown field\n"},
		"check, empty":       {[]string{"check", good, empty}, 1, "", "\x00" + empty + ": no policy in it\n"},
		"check no policies":  {[]string{"check", t.TempDir()}, 1, "", ": no policy file in it: their names end in .yaml, .yml or .json\n"},
		"check nothing":      {[]string{"check"}, 2, "", "Usage: fridayd check DIR|FILE..."},
		"bad at start":       {[]string{"--policies", dir}, 1, "", "fridayd: " + refusal},
		"no folder":          {[]string{"--policies", filepath.Join(dir, "missing")}, 2, "", "missing: no such file or directory"},
		"check no file":      {[]string{"check", filepath.Join(dir, "missing")}, 2, "", "missing: no such file or directory"},
		"no policies":        {nil, 2, "", "fridayd: --policies is missing"},
		"two sources":        {[]string{"--policies", dir, "--kubernetes"}, 2, "", "--policies and --kubernetes exclude each other"},
		"no API server":      {[]string{"--kubernetes", "--kubeconfig", filepath.Join(dir, "missing")}, 1, "", "--kubernetes: no API server is known: "},
		"webhook alone":      {[]string{"--policies", dir, "--webhook", ":0"}, 2, "", "--webhook needs --kubernetes"},
		"webhook's mode":     {[]string{"--policies", dir, "--webhook", ":0", "--webhook-cert-dir", dir, "--inject-mode", "x"}, 2, "", `--inject-mode: "x" is neither port nor redirect`},
		"webhook's terms":    {[]string{"--policies", dir, "--webhook", ":0", "--webhook-cert-dir", dir, "--webhook-ca-lifetime", "1h"}, 2, "", "an authority's life, 1h0m0s, must be at least three times a certificate's"},
		"sidecar's resource": {[]string{"--policies", dir, "--webhook", ":0", "--webhook-cert-dir", dir, "--inject-resources", "requests.cpu=x"}, 2, "", `--inject-resources: requests.cpu: "x" is not a quantity`},
		"webhook's files":    {[]string{"--policies", t.TempDir(), "--webhook", "127.0.0.1:0", "--webhook-cert-dir", t.TempDir()}, 1, "", "--webhook-cert-dir: stat "},
		"bad level":          {[]string{"--policies", dir, "--log-level", "loud"}, 2, "", `--log-level "loud"`},
		"key without cert":   {[]string{"--policies", t.TempDir(), "--tls-key", "k"}, 2, "", "--tls-cert and --tls-key go together"},
		"no cert":            {[]string{"--policies", t.TempDir(), "--tls-cert", "c.pem", "--tls-key", "k.pem"}, 1, "", "--tls-cert, --tls-key, --client-ca: c.pem, k.pem: "},
		"two authorities":    {[]string{"--policies", t.TempDir(), "--ca", "d", "--ca-cert", "c"}, 2, "", "--ca and --ca-cert exclude each other"},
		"ca key alone":       {[]string{"--policies", t.TempDir(), "--ca-key", "k"}, 2, "", "--ca-cert and --ca-key go together"},
		"tokens alone":       {[]string{"--policies", t.TempDir(), "--tokens", "d"}, 2, "", "go with --ca or --ca-cert"},
		"client ca and ca":   {[]string{"--policies", t.TempDir(), "--ca", "d", "--tls-cert", "c", "--tls-key", "k", "--client-ca", "x"}, 2, "", "--client-ca excludes --ca"},
		"given ca, no way":   {[]string{"--policies", t.TempDir(), "--ca-cert", "c", "--ca-key", "k"}, 2, "", "nobody could get a certificate"},
		"trust domain":       {[]string{"--policies", t.TempDir(), "--ca", "d", "--trust-domain", "A"}, 2, "", `--trust-domain: "A": must be`},
		"lives":              {[]string{"--policies", t.TempDir(), "--ca", "d", "--certificate-life", "24h", "--ca-life", "48h"}, 2, "", "must be six times"},
		"no ca file":         {[]string{"--policies", t.TempDir(), "--ca-cert", "c.pem", "--ca-key", "k.pem", "--tokens", t.TempDir()}, 1, "", "--ca-cert, --ca-key, --ca-roots: "},
		"history taken":      {[]string{"--policies", t.TempDir(), "--history", good}, 1, "", "fridayd: --history: history: "},
		"unknown flag":       {[]string{"--nope"}, 2, "", "Usage: fridayd [flags]"},
		"unknown argument":   {[]string{"chek"}, 2, "", `unexpected argument "chek"`},
		"help":               {[]string{"--help"}, 0, "[FRIDAY_POLICIES]", ""},
		"version":            {[]string{"version"}, 0, "fridayd ", ""},
		"address of no host": {[]string{"--policies", t.TempDir(), "--listen", "nowhere:0"}, 1, "", "fridayd: --listen: "},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			cmd := exec.CommandContext(t.Context(), binary, c.args...)
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Run(); c.code != 0 {
				require.Error(t, err)
			}
			require.Equal(t, c.code, cmd.ProcessState.ExitCode(), stderr.String())
			require.Contains(t, stdout.String(), c.stdout)
			if whole, ok := strings.CutPrefix(c.stderr, "\x00"); ok {
				require.Equal(t, whole, stderr.String())
				return
			}
			require.Contains(t, stderr.String(), c.stderr)
		})
	}
}

package e2e_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// patience bounds whatever is waited for.
	patience = 90 * time.Second

	// Two who call the API server: one who may do everything, and fridayd's service
	// account, which may do what the chart says.
	adminToken   = "e2e-admin"
	fridaydToken = "e2e-fridayd"
)

// api is the API server that all tests share; nil: it cannot be had.
var api *cluster

// cluster is an API server and its etcd.
type cluster struct {
	dir, url string
	client   *http.Client
	stop     []func()
}

type object = map[string]any

func TestMain(m *testing.M) {
	bin := os.Getenv("FRIDAY_E2E_BIN")
	if bin == "" {
		fmt.Fprintln(os.Stderr, "SKIPPED: FRIDAY_E2E_BIN names no folder with kube-apiserver, etcd, friday, fridayd and fridayctl: run make e2e")
		os.Exit(0)
	}
	c, err := start(bin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	api = c
	code := m.Run()
	c.close()
	os.Exit(code)
}

// program is where a program of FRIDAY_E2E_BIN is.
func program(name string) string { return filepath.Join(os.Getenv("FRIDAY_E2E_BIN"), name) }

// launch starts a program whose output goes to a file of its name, and returns how to
// end it: at once, since an API server takes its time.
func launch(dir, name, path string, args ...string) (stop func(), err error) {
	out, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = out.Close()
	}, nil
}

func port() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func start(bin string) (c *cluster, err error) {
	dir, err := os.MkdirTemp("", "friday-e2e-")
	if err != nil {
		return nil, err
	}
	c = &cluster{dir: dir, client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}} // its certificate is its own
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, c.logs())
			c.close()
		}
	}()
	etcd, peer, secure := port(), port(), port()
	etcdURL := fmt.Sprintf("http://127.0.0.1:%d", etcd)
	stop, err := launch(dir, "etcd", filepath.Join(bin, "etcd"), "--data-dir", filepath.Join(dir, "etcd"), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", etcdURL, "--advertise-client-urls", etcdURL,
		"--listen-peer-urls", fmt.Sprintf("http://127.0.0.1:%d", peer), "--initial-advertise-peer-urls", fmt.Sprintf("http://127.0.0.1:%d", peer),
		"--initial-cluster", fmt.Sprintf("default=http://127.0.0.1:%d", peer))
	if err != nil {
		return c, err
	}
	c.stop = append(c.stop, stop)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return c, err
	}
	files := map[string]string{
		"sa.key":     string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})),
		"tokens.csv": adminToken + ",admin,1,\"system:masters\"\n" + fridaydToken + ",system:serviceaccount:friday-system:fridayd,2,\"system:serviceaccounts,system:authenticated\"\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return c, err
		}
	}
	stop, err = launch(dir, "kube-apiserver", filepath.Join(bin, "kube-apiserver"),
		"--etcd-servers", etcdURL, "--secure-port", fmt.Sprint(secure), "--bind-address", "127.0.0.1", "--cert-dir", filepath.Join(dir, "certs"),
		"--service-account-issuer", "https://e2e", "--service-account-key-file", filepath.Join(dir, "sa.key"), "--service-account-signing-key-file", filepath.Join(dir, "sa.key"),
		"--token-auth-file", filepath.Join(dir, "tokens.csv"), "--authorization-mode", "RBAC",
		"--endpoint-reconciler-type", "none", "--disable-admission-plugins", "ServiceAccount", "--service-cluster-ip-range", "10.0.0.0/24")
	if err != nil {
		return c, err
	}
	c.stop = append(c.stop, stop)
	c.url = fmt.Sprintf("https://127.0.0.1:%d", secure)
	deadline := time.Now().Add(patience)
	for {
		code, _, err := c.do(context.Background(), http.MethodGet, "/readyz", nil)
		if err == nil && code == http.StatusOK {
			return c, nil
		}
		if time.Now().After(deadline) {
			return c, fmt.Errorf("the API server is not ready after %s: status %d, %v", patience, code, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (c *cluster) close() {
	for i := len(c.stop) - 1; i >= 0; i-- {
		c.stop[i]()
	}
	_ = os.RemoveAll(c.dir)
}

// logs are the ends of what the programs have said.
func (c *cluster) logs() string {
	var b strings.Builder
	names, _ := filepath.Glob(filepath.Join(c.dir, "*.log"))
	for _, name := range names {
		text, _ := os.ReadFile(name)
		if len(text) > 4000 {
			text = text[len(text)-4000:]
		}
		fmt.Fprintf(&b, "== %s\n%s\n", filepath.Base(name), text)
	}
	return b.String()
}

// do is one call. A body that is a patch is said so by its method.
func (c *cluster) do(ctx context.Context, method, path string, body any) (int, object, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return 0, nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, err
	}
	var out object
	_ = json.Unmarshal(answer, &out) // /readyz says "ok"
	if out != nil {
		if w := resp.Header.Values("Warning"); len(w) > 0 {
			out["warnings"] = strings.Join(w, "\n")
		}
	}
	return resp.StatusCode, out, nil
}

// must is a call that has to end with one of the codes.
func must(t *testing.T, method, path string, body any, codes ...int) object {
	t.Helper()
	code, out, err := api.do(t.Context(), method, path, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	for _, want := range codes {
		if code == want {
			return out
		}
	}
	t.Fatalf("%s %s: status %d: %v", method, path, code, out["message"])
	return nil
}

// eventually waits until done says nothing more.
func eventually(t *testing.T, what string, done func() string) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		wrong := done()
		if wrong == "" {
			return time.Since(began)
		}
		if time.Since(began) > patience {
			t.Fatalf("%s: not after %s: %s\n%s", what, patience, wrong, api.logs())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// namespace makes one with labels, once.
func namespace(t *testing.T, name string, labels object) {
	t.Helper()
	must(t, http.MethodPost, "/api/v1/namespaces", object{
		"apiVersion": "v1", "kind": "Namespace", "metadata": object{"name": name, "labels": labels},
	}, http.StatusCreated, http.StatusConflict)
}

// at is a value deep in an object; nil where there is none.
func at(o any, path ...string) any {
	for _, key := range path {
		m, ok := o.(object)
		if !ok {
			return nil
		}
		o = m[key]
	}
	return o
}

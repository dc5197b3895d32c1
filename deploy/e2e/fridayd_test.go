package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const (
	webhookName = "friday"
	webhookPath = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/" + webhookName
)

// The ports of fridayd are the same in every test: the webhook's is in the API server's
// configuration.
var ports = sync.OnceValue(func() (p struct{ webhook, xds, admin int }) {
	p.webhook, p.xds, p.admin = port(), port(), port()
	return p
})

// fridayd starts one, as its service account, and ends it with the test.
func fridayd(t *testing.T, args ...string) (stop func()) {
	t.Helper()
	p := ports()
	install(t, fmt.Sprintf("https://localhost:%d", p.webhook))
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: e2e,
clusters: [{name: e2e, cluster: {server: %q, insecure-skip-tls-verify: true}}],
users: [{name: e2e, user: {token: %q}}],
contexts: [{name: e2e, context: {cluster: e2e, user: e2e}}]}`, api.url, fridaydToken)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{
		"--kubernetes", "--kubeconfig", kubeconfig, "--namespace", "friday-system",
		"--listen", fmt.Sprintf("127.0.0.1:%d", p.xds), "--admin", fmt.Sprintf("127.0.0.1:%d", p.admin),
		"--webhook", fmt.Sprintf("127.0.0.1:%d", p.webhook), "--webhook-host", "localhost",
		"--inject-image", "friday:test",
	}, args...)
	end, err := launch(api.dir, "fridayd", program("fridayd"), args...)
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(end)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(api.logs())
		}
		stop()
	})
	eventually(t, "fridayd is ready", func() string { return ready(p.admin) })
	return stop
}

func ready(admin int) string {
	resp, err := (&http.Client{Timeout: time.Second}).Get(fmt.Sprintf("http://127.0.0.1:%d/ready", admin))
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resp.Status
	}
	return ""
}

// believed waits until the API server and the webhook understand each other: a pod of
// a trial is injected.
func believed(t *testing.T) {
	t.Helper()
	eventually(t, "a pod is injected", func() string {
		_, out, err := api.do(t.Context(), http.MethodPost, podsPath("enabled")+"?dryRun=All", pod("trial"))
		switch {
		case err != nil:
			return err.Error()
		case !injected(out):
			return fmt.Sprint("not injected: ", out["message"], out["warnings"])
		}
		return ""
	})
}

// policy sets the failure policy of both webhooks.
func failurePolicy(t *testing.T, value string) {
	t.Helper()
	change(t, func(h object) { h["failurePolicy"] = value })
}

// change changes both webhooks.
func change(t *testing.T, do func(h object)) {
	t.Helper()
	eventually(t, "the webhooks are changed", func() string {
		configuration := must(t, http.MethodGet, webhookPath, nil, http.StatusOK)
		for _, h := range configuration["webhooks"].([]any) {
			do(h.(object))
		}
		code, out, err := api.do(t.Context(), http.MethodPut, webhookPath, configuration)
		if err != nil || code != http.StatusOK {
			return fmt.Sprint(code, err, out["message"]) // fridayd was first
		}
		return ""
	})
}

func listening(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

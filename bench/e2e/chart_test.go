//go:build e2e

package e2e_test

import (
	"context"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fridaymesh/friday/bench/realserver"
)

const chart = "../../deploy/helm/friday"

// helm is the program, of the module in tools/helm.
type helm string

func newHelm(ctx context.Context, t *testing.T) helm {
	t.Helper()
	path, err := realserver.PrepareHelm(ctx, "tools/helm", func(s string) { t.Log(s) })
	if errors.Is(err, realserver.ErrUnavailable) {
		t.Skipf("SKIPPED, the chart was not looked at: %v", err)
	}
	require.NoError(t, err)
	return helm(path)
}

// run returns what helm prints, and what it says where it fails.
func (h helm) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, string(h), args...) // #nosec G204 -- as built
	var words strings.Builder
	cmd.Stderr = &words
	out, err := cmd.Output()
	if err != nil {
		return "", errors.Join(err, errors.New(words.String()))
	}
	return string(out), nil
}

// template is what a release in the namespace friday-system would be.
func (h helm) template(ctx context.Context, t *testing.T, values ...string) string {
	t.Helper()
	args := []string{"template", "friday", chart, "--namespace", systemNamespace}
	for _, v := range values {
		args = append(args, "--set-json", v)
	}
	out, err := h.run(ctx, args...)
	require.NoError(t, err)
	return out
}

// toggles are the chart's values, each set to something else than its default.
func toggles() []string {
	return []string{
		`revision="canary"`, `image={"tag":"v1","pullPolicy":"Always"}`, `imagePullSecrets=[{"name":"pull"}]`, `replicas=3`, `logLevel="debug"`,
		`inject.image={"tag":"v1","pullPolicy":"Never"}`, `inject.mode="redirect"`, `inject.resources="requests.cpu=1,limits.memory=1Gi"`, `inject.otlpEndpoint="http://otel:4318"`,
		`webhook.failurePolicy="Fail"`, `webhook.timeoutSeconds=10`, `webhook.exceptNamespaces=["monitoring"]`,
		`webhook.certManager={"secret":"hook","certificate":"hook"}`, `watchOwnNamespaceOnly=true`, `createNamespace=true`,
		`resources.limits.cpu=2`, `nodeSelector={"kubernetes.io/os":"linux"}`, `tolerations=[{"key":"control","operator":"Exists"}]`,
		`affinity={"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":1,"podAffinityTerm":{"topologyKey":"kubernetes.io/hostname","labelSelector":{"matchLabels":{"app":"fridayd"}}}}]}}`,
		`priorityClassName="system-cluster-critical"`, `podAnnotations={"a":"b"}`, `podDisruptionBudget.enabled=false`, `podDisruptionBudget.minAvailable="50%"`,
		`autoscaling.enabled=true`, `networkPolicy.enabled=true`, `networkPolicy={"enabled":true,"monitoring":{"matchLabels":{"name":"monitoring"}}}`,
	}
}

// TestChart: the chart is in order for helm, refuses values that mean nothing, is the plain
// manifests where nothing is set, and whatever is set the API server takes what comes out.
func TestChart(t *testing.T) {
	c := newCluster(t)
	h := newHelm(c.ctx, t)
	out, err := h.run(c.ctx, "lint", "--strict", chart)
	require.NoError(t, err, "%s", out)

	t.Run("the manifests", func(t *testing.T) {
		plain, err := os.ReadFile("../../deploy/kubernetes/friday.yaml")
		require.NoError(t, err)
		require.Equal(t, byName(t, string(plain)), byName(t, h.template(c.ctx, t, "createNamespace=true")))
	})
	t.Run("refused", func(t *testing.T) {
		for _, v := range []string{
			`replica=3`, `replicas=0`, `logLevel="loud"`, `inject.mode="magic"`, `inject.resources="cpu=1"`, `webhook.failurePolicy="Maybe"`,
			`webhook.timeoutSeconds=31`, `revision="Not A Label"`, `image.repository=""`, `autoscaling.enabled="yes"`,
		} {
			_, err := h.run(c.ctx, "template", "friday", chart, "--set-json", v)
			require.ErrorContains(t, err, "values", v)
		}
	})
	c.install(t) // the kinds, the namespace
	usual := h.template(c.ctx, t)
	for _, v := range append(toggles(), "") {
		name, _, _ := strings.Cut(v, "=")
		t.Run("with "+name, func(t *testing.T) {
			var values []string
			if v != "" {
				values = []string{v}
			}
			text := h.template(c.ctx, t, values...)
			if v != "" {
				require.NotEqual(t, usual, text, "the value does nothing")
			}
			c.apply(t, text, metav1.DryRunAll)
		})
	}
	t.Run("with all", func(t *testing.T) { c.apply(t, h.template(c.ctx, t, toggles()...), metav1.DryRunAll) })
}

// TestChartInstalled: a release, a canary beside it, an upgrade that leaves alone what fridayd
// has written, and the canary gone again.
func TestChartInstalled(t *testing.T) {
	c := newCluster(t)
	h := newHelm(c.ctx, t)
	t.Setenv("KUBECONFIG", c.config(t, "admin", adminToken))
	for _, home := range []string{"HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"} {
		t.Setenv(home, t.TempDir())
	}
	run := func(words ...string) {
		t.Helper()
		_, err := h.run(c.ctx, append(words, "--namespace", systemNamespace)...)
		require.NoError(t, err)
	}
	run("install", "friday", chart, "--create-namespace")
	run("install", "friday-canary", chart, "--set", "revision=canary")
	own := bundle(t, t.TempDir())
	c.believe(t, own.Authorities)
	run("upgrade", "friday", chart, "--set", "webhook.timeoutSeconds=7,replicas=3")
	require.Equal(t, base64.StdEncoding.EncodeToString(own.Authorities), c.authorities(t))
	c.hooks(t, func(hook map[string]any) { require.Equal(t, int64(7), hook["timeoutSeconds"]) })
	configurations := func() []string {
		list, err := c.admin.Resource(resource("MutatingWebhookConfiguration")).List(c.ctx, metav1.ListOptions{})
		require.NoError(t, err)
		var names []string
		for _, u := range list.Items {
			names = append(names, u.GetName())
		}
		return names
	}
	require.Equal(t, []string{"friday", "friday-canary"}, configurations())
	run("uninstall", "friday-canary")
	require.Equal(t, []string{"friday"}, configurations())
}

// byName are objects without the order in which they stand.
func byName(t *testing.T, text string) map[string]*unstructured.Unstructured {
	t.Helper()
	all := map[string]*unstructured.Unstructured{}
	for _, u := range objects(t, text) {
		all[u.GetKind()+" "+u.GetName()] = u
	}
	return all
}

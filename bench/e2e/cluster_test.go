//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/realserver"
)

const (
	// limit is for a whole test, a build from source included; patience for what takes a
	// moment.
	limit    = 50 * time.Minute
	patience = time.Minute
	poll     = 50 * time.Millisecond

	systemNamespace = "friday-system"
	adminToken      = "admin-of-the-test"
	fridaydToken    = "fridayd-of-the-test"
)

// cluster is an API server with Friday's manifests in it, and somebody who may do all.
type cluster struct {
	ctx    context.Context //nolint:containedctx // a test's own
	bin    string
	group  *process.Group
	server *realserver.APIServer
	admin  dynamic.Interface
	// kubeconfig is of fridayd's service account, which has the rights of the manifests
	// and no other.
	kubeconfig string

	warnings warnings
}

// newCluster starts one. A test has its own, so that none waits for another's mess.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	kubernetes, err := realserver.PrepareKubernetes(ctx, "tools", func(s string) { t.Log(s) })
	if errors.Is(err, realserver.ErrUnavailable) {
		t.Skipf("SKIPPED, no API server was asked: %v", err)
	}
	require.NoError(t, err)
	group, err := process.NewGroup(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(group.Tails(20))
		}
		group.Close()
	})
	c := &cluster{ctx: ctx, bin: programs(ctx, t), group: group}
	c.server, err = kubernetes.Start(ctx, group,
		realserver.KubernetesUser{Token: adminToken, Name: "admin", Groups: []string{"system:masters"}},
		realserver.KubernetesUser{Token: fridaydToken, Name: "system:serviceaccount:" + systemNamespace + ":fridayd", Groups: []string{"system:serviceaccounts"}})
	require.NoError(t, err)
	config := &rest.Config{
		Host: c.server.URL, BearerToken: adminToken, TLSClientConfig: rest.TLSClientConfig{CAFile: c.server.CAFile},
		QPS: -1, WarningHandler: &c.warnings,
	}
	c.admin, err = dynamic.NewForConfig(config)
	require.NoError(t, err)
	c.eventually(t, "the API server is ready", func() error {
		_, err := c.admin.Resource(resource("Namespace")).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	c.kubeconfig = c.config(t, "fridayd", fridaydToken)
	return c
}

// config writes a file for kubectl and those who are configured alike.
func (c *cluster) config(t *testing.T, name, token string) string {
	t.Helper()
	file := c.group.File("kubeconfig of " + name)
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: e2e, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: %s, user: {token: %s}}]
contexts: [{name: e2e, context: {cluster: e2e, user: %[3]s}}]
current-context: e2e
`, c.server.URL, c.server.CAFile, name, token), 0o600))
	return file
}

// programs builds friday, fridayd, fridayctl and the stand-in, or takes those that
// FRIDAY_BIN names.
func programs(ctx context.Context, t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("FRIDAY_BIN"); dir != "" {
		dir, err := filepath.Abs(dir)
		require.NoError(t, err)
		return dir
	}
	dir := t.TempDir()
	const house = "github.com/fridaymesh/friday/"
	out, err := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator),
		house+"cmd/friday", house+"cmd/fridayd", house+"cmd/fridayctl", house+"bench/cmd/standin").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return dir
}

// warnings are what the API server has told whoever made an object.
type warnings struct {
	mu   sync.Mutex
	list []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, text)
}

// take is what was said since the last time.
func (w *warnings) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := strings.Join(w.list, "\n")
	w.list = nil
	return all
}

// eventually asks until the answer is nil.
func (c *cluster) eventually(t *testing.T, what string, ask func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			require.NoError(t, err, "waited %s until %s", patience, what)
		case <-c.server.Done():
			require.FailNow(t, "the API server has ended", "before %s: %v", what, err)
		case <-tick.C:
		}
	}
}

// resource is where objects of a kind are.
func resource(kind string) schema.GroupVersionResource {
	known := map[string]schema.GroupVersionResource{
		"InferencePolicy":              {Group: "friday.dev", Version: "v1alpha1", Resource: "inferencepolicies"},
		"MutatingWebhookConfiguration": {Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"},
		"CustomResourceDefinition":     {Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
		"ClusterRole":                  {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
		"ClusterRoleBinding":           {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
		"Role":                         {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"},
		"RoleBinding":                  {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
		"Deployment":                   {Group: "apps", Version: "v1", Resource: "deployments"},
		"StatefulSet":                  {Group: "apps", Version: "v1", Resource: "statefulsets"},
		"Job":                          {Group: "batch", Version: "v1", Resource: "jobs"},
		"CronJob":                      {Group: "batch", Version: "v1", Resource: "cronjobs"},
		"PodDisruptionBudget":          {Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"},
		"EndpointSlice":                {Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"},
		"HorizontalPodAutoscaler":      {Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"},
		"NetworkPolicy":                {Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
	}
	if r, ok := known[kind]; ok {
		return r
	}
	return schema.GroupVersionResource{Version: "v1", Resource: strings.ToLower(kind) + "s"}
}

// objects reads YAML documents.
func objects(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var list []*unstructured.Unstructured
	for doc := range bytes.SplitSeq([]byte(text), []byte("\n---\n")) {
		asJSON, err := yaml.YAMLToJSON(doc)
		require.NoError(t, err)
		if string(asJSON) == "null" {
			continue
		}
		u := &unstructured.Unstructured{}
		require.NoError(t, u.UnmarshalJSON(asJSON), "%s", doc)
		list = append(list, u)
	}
	return list
}

// in is the resource of an object, in its namespace where it has one.
func (c *cluster) in(u *unstructured.Unstructured) dynamic.ResourceInterface {
	r := c.admin.Resource(resource(u.GetKind()))
	if u.GetNamespace() == "" {
		return r
	}
	return r.Namespace(u.GetNamespace())
}

// apply does what kubectl apply --server-side does.
func (c *cluster) apply(t *testing.T, text string, dry ...string) {
	t.Helper()
	strict := metav1.PatchOptions{FieldManager: "e2e", FieldValidation: metav1.FieldValidationStrict, DryRun: dry}
	for _, u := range objects(t, text) {
		body, err := u.MarshalJSON()
		require.NoError(t, err)
		_, err = c.in(u).Patch(c.ctx, u.GetName(), types.ApplyPatchType, body, strict)
		require.NoError(t, err, "%s %s", u.GetKind(), u.GetName())
	}
}

// install applies the manifests of deploy/kubernetes. The webhook is called by URL, since a
// Service leads nowhere without a cluster. It returns where each door of fridayd is to be.
func (c *cluster) install(t *testing.T) *doors {
	t.Helper()
	addresses, err := process.FreeAddresses(0, 0, 0, 0)
	require.NoError(t, err)
	d := &doors{xds: addresses[0], admin: addresses[1], status: addresses[2], webhook: addresses[3]}
	crd, err := os.ReadFile("../../deploy/kubernetes/crd.yaml")
	require.NoError(t, err)
	c.apply(t, string(crd))
	c.eventually(t, "policies are known", func() error {
		_, err := c.admin.Resource(resource("InferencePolicy")).List(c.ctx, metav1.ListOptions{})
		return err
	})
	manifests, err := os.ReadFile("../../deploy/kubernetes/friday.yaml")
	require.NoError(t, err)
	for _, u := range objects(t, string(manifests)) {
		if u.GetKind() == "MutatingWebhookConfiguration" {
			d.redirect(t, u)
		}
		text, err := yaml.Marshal(u.Object)
		require.NoError(t, err)
		c.apply(t, string(text))
	}
	return d
}

// doors are where fridayd listens.
type doors struct{ xds, admin, status, webhook string }

// redirect has a webhook's configuration go by URL. The name is the one of the certificate.
func (d *doors) redirect(t *testing.T, configuration *unstructured.Unstructured) {
	t.Helper()
	hooks, _, err := unstructured.NestedSlice(configuration.Object, "webhooks")
	require.NoError(t, err)
	_, port, _ := strings.Cut(d.webhook, ":")
	for _, hook := range hooks {
		client := hook.(map[string]any)["clientConfig"].(map[string]any)
		path, _, err := unstructured.NestedString(client, "service", "path")
		require.NoError(t, err)
		delete(client, "service")
		client["url"] = "https://localhost:" + port + path
	}
	require.NoError(t, unstructured.SetNestedSlice(configuration.Object, hooks, "webhooks"))
}

// fridayd starts one, with the rights of its service account, and returns when it is ready.
func (c *cluster) fridayd(t *testing.T, d *doors, args ...string) *process.Process {
	t.Helper()
	p, err := c.group.Start("fridayd", nil, filepath.Join(c.bin, "fridayd"), append([]string{
		"--kubernetes", "--kubeconfig", c.kubeconfig, "--namespace", systemNamespace, "--listen", d.xds, "--admin", d.admin, "--status", d.status,
		"--webhook", d.webhook, "--webhook-host", "localhost", "--inject-image", "friday:e2e",
	}, args...)...)
	require.NoError(t, err)
	require.NoError(t, p.Await(c.ctx, patience, process.OK("http://"+d.status+"/ready")))
	return p
}

// namespace makes one.
func (c *cluster) namespace(t *testing.T, name string, labels ...string) {
	t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}}}
	set := map[string]string{}
	for _, l := range labels {
		key, value, _ := strings.Cut(l, "=")
		set[key] = value
	}
	u.SetLabels(set)
	_, err := c.in(u).Create(c.ctx, u, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		require.NoError(t, err)
	}
}

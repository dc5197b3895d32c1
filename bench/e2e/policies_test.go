//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// policy is one that has a sidecar listen at an address, before a server or what else is
// said.
func policy(listen, server string) string {
	host, port, _ := strings.Cut(listen, ":")
	return fmt.Sprintf(`apiVersion: friday.dev/v1alpha1
kind: InferencePolicy
metadata: {name: embeddings, namespace: models}
spec: {address: %s, port: %s, server: %s}
`, host, port, server)
}

func endpoints(address string) string { return fmt.Sprintf(`{endpoints: [%q]}`, address) }

// condition says why a condition of the policy is not as it should be; nil: it is.
func (c *cluster) condition(t *testing.T, kind, status, reason, message string) error {
	t.Helper()
	u, err := c.admin.Resource(resource("InferencePolicy")).Namespace("models").Get(c.ctx, "embeddings", metav1.GetOptions{})
	require.NoError(t, err)
	list, _, err := unstructured.NestedSlice(u.Object, "status", "conditions")
	require.NoError(t, err)
	for _, item := range list {
		m := item.(map[string]any)
		observed, _ := m["observedGeneration"].(int64)
		text, _ := m["message"].(string)
		if m["type"] == kind && m["status"] == status && m["reason"] == reason && observed == u.GetGeneration() && strings.Contains(text, message) {
			return nil
		}
	}
	return fmt.Errorf("generation %d: %v", u.GetGeneration(), list)
}

// answers says why nobody answers at an address; nil: somebody does, with 200.
func (c *cluster) answers(address string) error {
	ctx, cancel := context.WithTimeout(c.ctx, 5*time.Second)
	defer cancel()
	_, err := process.Get(ctx, "http://"+address+"/health")
	return err
}

// silent says that somebody listens at an address; nil: nobody does.
func silent(address string) error {
	nc, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil //nolint:nilerr // which is what is asked for
	}
	return errors.Join(errors.New("somebody listens at "+address), nc.Close())
}

// seen waits for what a change does to the sidecar, and says how long that took.
func (c *cluster) seen(t *testing.T, what string, change func(), ask func() error) {
	t.Helper()
	begin := time.Now()
	change()
	c.eventually(t, what, ask)
	t.Logf("%s: %s after the change was sent", what, time.Since(begin).Round(time.Millisecond))
}

// TestPolicies: policies are created, updated, broken, put right and deleted, and a sidecar
// that runs follows; the policy's status says what has become of it.
func TestPolicies(t *testing.T) {
	c := newCluster(t)
	d := c.install(t)
	c.fridayd(t, d)
	c.namespace(t, "models")
	addresses, err := process.FreeAddresses(0, 0, 0, 0, 0)
	require.NoError(t, err)
	server, one, two, three, admin := addresses[0], addresses[1], addresses[2], addresses[3], addresses[4]
	p, err := c.group.Start("stand-in", nil, filepath.Join(c.bin, "standin"), "--listen", server)
	require.NoError(t, err)
	require.NoError(t, p.Await(c.ctx, patience, process.OK("http://"+server+"/health")))

	c.apply(t, policy(one, endpoints(server)))
	c.eventually(t, "the policy is in order and nobody asks for it", func() error {
		return errors.Join(c.condition(t, "Accepted", "True", "Valid", ""), c.condition(t, "Programmed", "Unknown", "NoSidecars", ""))
	})
	_, err = sidecar.Meshed(c.ctx, c.group, c.bin, "embeddings.models", d.xds, t.TempDir(), one, admin)
	require.NoError(t, err)
	c.eventually(t, "the sidecar runs it", func() error { return c.condition(t, "Programmed", "True", "Acknowledged", "") })
	require.NoError(t, c.answers(one))

	c.seen(t, "updated", func() { c.apply(t, policy(two, endpoints(server))) }, func() error { return c.answers(two) })
	c.eventually(t, "nobody listens where it was", func() error { return silent(one) })
	c.eventually(t, "the sidecar runs it", func() error { return c.condition(t, "Programmed", "True", "Acknowledged", "") })

	c.seen(t, "broken", func() { c.apply(t, policy(three, `{endpoints: ["not an address"]}`)) }, func() error {
		return c.condition(t, "Accepted", "False", "Invalid", "spec.server.endpoints[0]")
	})
	require.NoError(t, c.answers(two), "what was in order is served on")
	require.NoError(t, silent(three))

	c.seen(t, "put right", func() { c.apply(t, policy(three, endpoints(server))) }, func() error { return c.answers(three) })
	c.eventually(t, "the policy is in order", func() error { return c.condition(t, "Accepted", "True", "Valid", "") })
	t.Run("refused by the schema", c.refusedPolicies)
	t.Run("a service", func(t *testing.T) { c.service(t, server, one) })

	c.seen(t, "deleted", func() {
		require.NoError(t, c.admin.Resource(resource("InferencePolicy")).Namespace("models").Delete(c.ctx, "embeddings", metav1.DeleteOptions{}))
	}, func() error { return silent(one) })
}

// refusedPolicies are what the API server itself does not take.
func (c *cluster) refusedPolicies(t *testing.T) {
	for name, spec := range map[string]string{
		"a field that there is not":  `{server: {endpoints: ["127.0.0.1:1"]}, sever: {}}`,
		"a number in place of words": `{server: {endpoints: [8000]}}`,
		"a time without a unit":      `{server: {endpoints: ["127.0.0.1:1"]}, timeout: "5"}`,
	} {
		t.Run(name, func(t *testing.T) {
			u := objects(t, "apiVersion: friday.dev/v1alpha1\nkind: InferencePolicy\nmetadata: {name: wrong, namespace: models}\nspec: "+spec+"\n")[0]
			_, err := c.in(u).Create(c.ctx, u, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
			require.Error(t, err)
		})
	}
}

// service has the server be a Service: a policy whose Service is not there says so, and
// follows when it comes.
func (c *cluster) service(t *testing.T, server, listen string) {
	c.apply(t, policy(listen, `{service: "embedder:http"}`))
	c.eventually(t, "the policy says what is missing", func() error {
		return c.condition(t, "Accepted", "False", "Invalid", "there is no Service embedder")
	})
	_, port, err := net.SplitHostPort(server)
	require.NoError(t, err)
	// The address of an endpoint is checked: a loopback one is refused, and nobody in this
	// test could be at another, so that the sidecar answers 503.
	c.seen(t, "the Service is there", func() {
		c.apply(t, fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: embedder, namespace: models}
spec: {selector: {app: embedder}, ports: [{name: http, port: 80, targetPort: %[1]s}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: embedder-1, namespace: models, labels: {kubernetes.io/service-name: embedder}}
addressType: IPv4
ports: [{name: http, port: %[1]s}]
endpoints: [{addresses: [192.0.2.1], conditions: {ready: true}}]
`, port))
	}, func() error { return c.condition(t, "Accepted", "True", "Valid", "") })
	c.eventually(t, "the sidecar listens", func() error { return process.Listening(listen)(c.ctx) })
	c.eventually(t, "the sidecar runs it", func() error { return c.condition(t, "Programmed", "True", "Acknowledged", "") })
}

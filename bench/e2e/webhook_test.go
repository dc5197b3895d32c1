//go:build e2e

package e2e_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/retry"

	"github.com/fridaymesh/friday/deploy/inject"
	"github.com/fridaymesh/friday/deploy/webhook/certificate"
)

// hooks changes every webhook of the configuration.
func (c *cluster) hooks(t *testing.T, change func(hook map[string]any)) {
	t.Helper()
	client := c.admin.Resource(resource("MutatingWebhookConfiguration"))
	require.NoError(t, retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		u, err := client.Get(c.ctx, "friday", metav1.GetOptions{})
		if err != nil {
			return err
		}
		list, _, err := unstructured.NestedSlice(u.Object, "webhooks")
		require.NoError(t, err)
		for _, hook := range list {
			change(hook.(map[string]any))
		}
		require.NoError(t, unstructured.SetNestedSlice(u.Object, list, "webhooks"))
		_, err = client.Update(c.ctx, u, metav1.UpdateOptions{})
		return err
	}))
}

// believe has the API server believe these authorities.
func (c *cluster) believe(t *testing.T, authorities ...[]byte) {
	t.Helper()
	var all []byte
	for _, a := range authorities {
		all = append(all, a...)
	}
	c.hooks(t, func(hook map[string]any) {
		hook["clientConfig"].(map[string]any)["caBundle"] = base64.StdEncoding.EncodeToString(all)
	})
}

func (c *cluster) policyOnFailure(t *testing.T, policy string) {
	t.Helper()
	c.hooks(t, func(hook map[string]any) { hook["failurePolicy"] = policy })
}

// TestWebhookDown: without fridayd pods are made without Friday, or not at all where the
// configuration says so; with it again they have it.
func TestWebhookDown(t *testing.T) {
	c := newCluster(t)
	d := c.install(t)
	c.namespace(t, "enabled", inject.Label+"="+inject.LabelEnabled)
	require.NoError(t, c.left(t, "enabled"), "before there is a fridayd")
	p := c.fridayd(t, d)
	c.eventually(t, "pods are injected", func() error { return c.injected(t, "enabled") })

	require.NoError(t, p.Stop(patience))
	require.NoError(t, c.left(t, "enabled"))
	c.policyOnFailure(t, "Fail")
	c.eventually(t, "pods are refused", func() error {
		if err := c.left(t, "enabled"); err == nil {
			return errors.New("a pod was made")
		}
		return nil
	})
	_, err := c.create(t, "enabled", nil, nil, oneModel)
	require.ErrorContains(t, err, "namespace.inject.friday.dev")

	certificate := c.secret(t)
	c.fridayd(t, d)
	c.eventually(t, "pods are injected again", func() error { return c.injected(t, "enabled") })
	require.Equal(t, certificate, c.secret(t), "a restart changes nothing")
}

// secret is the certificate that fridayd keeps.
func (c *cluster) secret(t *testing.T) string {
	t.Helper()
	u, err := c.admin.Resource(resource("Secret")).Namespace(systemNamespace).Get(c.ctx, "fridayd-webhook", metav1.GetOptions{})
	require.NoError(t, err)
	text, _, err := unstructured.NestedString(u.Object, "data", "tls.crt")
	require.NoError(t, err)
	require.NotEmpty(t, text)
	return text
}

// bundle is an authority of its own and a certificate of it for localhost, in a folder as
// cert-manager's Secret has it.
func bundle(t *testing.T, dir string) certificate.Bundle {
	t.Helper()
	b, _, err := certificate.DefaultTerms().Renew(certificate.Bundle{}, []string{"localhost"}, time.Now())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tls.key"), b.Key, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tls.crt"), b.Certificate, 0o600))
	return b
}

// TestWebhookNotBelieved: a webhook whose certificate is of an authority that the API server
// does not believe is none; one that is replaced, by an authority that was told before, is
// asked all along.
func TestWebhookNotBelieved(t *testing.T) {
	c := newCluster(t)
	d := c.install(t)
	c.namespace(t, "enabled", inject.Label+"="+inject.LabelEnabled)
	dir, elsewhere := t.TempDir(), t.TempDir()
	own, other := bundle(t, dir), bundle(t, elsewhere)
	c.believe(t, other.Authorities)
	c.fridayd(t, d, "--webhook-cert-dir", dir)
	require.NoError(t, c.left(t, "enabled"), "of another authority")

	c.believe(t, own.Authorities, other.Authorities)
	c.eventually(t, "pods are injected", func() error { return c.injected(t, "enabled") })
	c.policyOnFailure(t, "Fail") // from here on a webhook that is not believed is seen
	// The authority is told first, then its certificate is put where fridayd looks.
	staged := t.TempDir()
	next := bundle(t, staged)
	c.believe(t, own.Authorities, next.Authorities)
	for _, name := range []string{"tls.key", "tls.crt"} {
		require.NoError(t, os.Rename(filepath.Join(staged, name), filepath.Join(dir, name)))
	}
	c.eventually(t, "the other certificate is served", func() error {
		if c.served(t, d) == serial(t, next) {
			return nil
		}
		return errors.New("not yet")
	})
	c.eventually(t, "pods are injected", func() error { return c.injected(t, "enabled") })
	for range 10 {
		require.NoError(t, c.injected(t, "enabled"))
	}
}

func serial(t *testing.T, b certificate.Bundle) string {
	t.Helper()
	pair, err := b.TLS()
	require.NoError(t, err)
	return pair.Leaf.SerialNumber.String()
}

// served is the serial number of the certificate that a new connection gets.
func (c *cluster) served(t *testing.T, d *doors) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	dialer := &tls.Dialer{NetDialer: &net.Dialer{}, Config: &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}} // #nosec G402 -- only looked at
	nc, err := dialer.DialContext(ctx, "tcp", d.webhook)
	require.NoError(t, err)
	defer nc.Close()
	return nc.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// TestWebhookRotated: fridayd renews its certificate and then its authority, and no pod is
// refused meanwhile by a webhook without which there are no pods.
func TestWebhookRotated(t *testing.T) {
	c := newCluster(t)
	d := c.install(t)
	c.namespace(t, "enabled", inject.Label+"="+inject.LabelEnabled)
	c.policyOnFailure(t, "Fail")
	c.fridayd(t, d, "--webhook-cert-lifetime", "32s", "--webhook-ca-lifetime", "96s", "--webhook-ca-overlap", "8s")
	c.eventually(t, "pods are injected", func() error { return c.injected(t, "enabled") })
	first, seen := c.authorities(t), map[string]bool{c.served(t, d): true}
	// After 21 s the certificate is renewed, after 32 s there is another authority, which
	// issues the third one after 40 s.
	ctx, cancel := context.WithTimeout(c.ctx, 5*time.Minute)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	pods := 0
	for len(seen) < 3 || c.authorities(t) == first {
		require.NoError(t, c.injected(t, "enabled"), "pod %d, after %d certificates", pods, len(seen))
		seen[c.served(t, d)] = true
		pods++
		select {
		case <-ctx.Done():
			require.FailNow(t, "nothing was rotated", "%d certificates", len(seen))
		case <-tick.C:
		}
	}
	t.Logf("%d pods were injected while the certificate was renewed and the authority replaced", pods)
}

// authorities are those that the API server believes.
func (c *cluster) authorities(t *testing.T) string {
	t.Helper()
	u, err := c.admin.Resource(resource("MutatingWebhookConfiguration")).Get(c.ctx, "friday", metav1.GetOptions{})
	require.NoError(t, err)
	hooks, _, err := unstructured.NestedSlice(u.Object, "webhooks")
	require.NoError(t, err)
	text, _, err := unstructured.NestedString(hooks[0].(map[string]any), "clientConfig", "caBundle")
	require.NoError(t, err)
	return text
}

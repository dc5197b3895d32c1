package webhook_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"

	"github.com/fridaymesh/friday/deploy/webhook"
	"github.com/fridaymesh/friday/deploy/webhook/certificate"
)

const patience = 30 * time.Second

func configuration() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
		"metadata": map[string]any{"name": "friday"},
		"webhooks": []any{
			map[string]any{"name": "a", "clientConfig": map[string]any{"url": "https://localhost"}},
			map[string]any{"name": "b", "clientConfig": map[string]any{"url": "https://localhost", "caBundle": "b3RoZXI="}},
		},
	}}
}

// keep runs a Keeper until the test ends.
func keep(t *testing.T, client *fake.FakeDynamicClient) *webhook.Keeper {
	t.Helper()
	k := &webhook.Keeper{
		Client: client, Namespace: "friday-system", Secret: "hook", Configuration: "friday", Names: []string{"localhost"},
		Terms: certificate.Terms{Authority: 30 * time.Hour, Certificate: 8 * time.Hour, Overlap: time.Second},
		Log:   zap.NewNop(), Metrics: webhook.NewMetrics(prometheus.NewRegistry()),
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return k
}

// believed are the authorities of the configuration; nil: not all webhooks have them.
func believed(t *testing.T, client *fake.FakeDynamicClient) []byte {
	t.Helper()
	u, err := client.Resource(schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}).
		Get(t.Context(), "friday", metav1.GetOptions{})
	require.NoError(t, err)
	hooks, _, err := unstructured.NestedSlice(u.Object, "webhooks")
	require.NoError(t, err)
	first := ""
	for i, h := range hooks {
		bundle, _, err := unstructured.NestedString(h.(map[string]any), "clientConfig", "caBundle")
		require.NoError(t, err)
		if i == 0 {
			first = bundle
		}
		if bundle == "" || bundle != first {
			return nil
		}
	}
	pem, err := base64.StdEncoding.DecodeString(first)
	require.NoError(t, err)
	return pem
}

// call makes a TLS connection to a webhook, as an API server does.
func call(t *testing.T, address string, authorities []byte) error {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authorities)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "localhost"}, DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: tr, Timeout: patience}).Get("https://" + address + "/live")
	if err != nil {
		return err
	}
	return errors.Join(resp.Body.Close())
}

func served(t *testing.T, get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- webhook.Serve(ctx, l, handler().Routes(), get) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return l.Addr().String()
}

// The Secret is made, the configuration filled, and what is served is believed; two
// that keep the same come to the same; what somebody else writes is put right.
func TestKeeper(t *testing.T) {
	client := fake.NewSimpleDynamicClient(runtime.NewScheme(), configuration())
	first, second := keep(t, client), keep(t, client)
	require.Eventually(t, func() bool { return first.Ready() && second.Ready() && believed(t, client) != nil }, patience, 5*time.Millisecond)
	for _, k := range []*webhook.Keeper{first, second} {
		require.Eventually(t, func() bool { return call(t, served(t, k.GetCertificate), believed(t, client)) == nil }, patience, 50*time.Millisecond)
	}
	good := believed(t, client)
	_, err := client.Resource(schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}).
		Update(t.Context(), configuration(), metav1.UpdateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return string(believed(t, client)) == string(good) }, patience, 5*time.Millisecond)
}

func TestKeeperWithoutConfiguration(t *testing.T) {
	client := fake.NewSimpleDynamicClient(runtime.NewScheme())
	k := keep(t, client)
	_, err := k.GetCertificate(nil)
	if err != nil {
		require.EqualError(t, err, "there is no certificate yet")
	}
	require.Eventually(t, k.Ready, patience, 5*time.Millisecond, "it serves all the same")
}

// Files that somebody else renews are read again; what cannot be read is not served.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	_, err := webhook.NewFiles(cert, key)
	require.ErrorContains(t, err, "no such file")
	write := func(at time.Time) certificate.Bundle {
		b, _, err := certificate.DefaultTerms().Renew(certificate.Bundle{}, []string{"localhost"}, time.Now())
		require.NoError(t, err)
		for name, text := range map[string][]byte{cert: b.Certificate, key: b.Key} {
			require.NoError(t, os.WriteFile(name, text, 0o600))
			require.NoError(t, os.Chtimes(name, at, at))
		}
		return b
	}
	before := write(time.Now().Add(-time.Hour))
	files, err := webhook.NewFiles(cert, key)
	require.NoError(t, err)
	address := served(t, files.GetCertificate)
	require.NoError(t, call(t, address, before.Authorities))
	after := write(time.Now().Add(-time.Minute))
	require.Error(t, call(t, address, before.Authorities))
	require.NoError(t, call(t, address, after.Authorities))
	require.NoError(t, os.WriteFile(key, []byte("x"), 0o600))
	require.NoError(t, call(t, address, after.Authorities), "the last good one")
	require.NoError(t, os.WriteFile(cert, []byte(strings.Repeat("x", 10)), 0o600))
	_, err = webhook.NewFiles(cert, key)
	require.Error(t, err)
}

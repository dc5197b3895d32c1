package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/fridaymesh/friday/deploy/webhook/certificate"
)

// The members of the Secret. The three that others read are called as cert-manager and
// Kubernetes call them.
const (
	authoritiesKey  = "ca.crt"
	authorityKeyKey = "ca.key"
	certificateKey  = "tls.crt"
	privateKey      = "tls.key"
)

// callTimeout bounds a call to the API server.
const callTimeout = 10 * time.Second

// Keeper keeps the webhook's certificate in a Secret, which all replicas of fridayd
// share, and the authorities in the webhook's configuration. Nobody leads: whoever
// notices first that something is due writes it, and who comes second reads that.
type Keeper struct {
	Client dynamic.Interface
	// Namespace and Secret are where the certificate is; the Secret exists, or is made.
	Namespace, Secret string
	// Configuration is the MutatingWebhookConfiguration.
	Configuration string
	// Names are what the API server may call the webhook by.
	Names   []string
	Terms   certificate.Terms
	Log     *zap.Logger
	Metrics *Metrics

	serving atomic.Pointer[tls.Certificate]
	written []byte // the certificate that serving is of; Run's alone
}

// GetCertificate is for tls.Config.
func (k *Keeper) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := k.serving.Load(); c != nil {
		return c, nil
	}
	return nil, errors.New("there is no certificate yet")
}

// Ready says whether there is a certificate.
func (k *Keeper) Ready() bool { return k.serving.Load() != nil }

func secrets() schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
}

func configurations() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}
}

// Run looks after both until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	interval := min(max(k.Terms.Overlap/20, time.Second), time.Minute)
	failing := ""
	for {
		next := interval
		switch err := k.look(ctx); {
		case ctx.Err() != nil:
			return
		case apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err):
			next = time.Second // another replica was first: read what it wrote
		case err != nil:
			next = min(5*time.Second, interval)
			k.Metrics.Keeping.WithLabelValues("failed").Inc()
			if err.Error() != failing {
				k.Log.Error("the webhook's certificate cannot be looked after", zap.Error(err))
			}
			failing = err.Error()
		default:
			k.Metrics.Keeping.WithLabelValues("ok").Inc()
			failing = ""
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// look sees to it that the certificate is good, believed and served.
func (k *Keeper) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	b, err := k.bundle(ctx)
	if err != nil {
		return err
	}
	// What is believed comes first, then what is served.
	if err := k.publish(ctx, b.Authorities); err != nil {
		// The API server may believe it all the same, and will do so later.
		return errors.Join(err, k.use(b))
	}
	return k.use(b)
}

func (k *Keeper) use(b certificate.Bundle) error {
	if bytes.Equal(k.written, b.Certificate) {
		return nil
	}
	c, err := b.TLS()
	if err != nil {
		return fmt.Errorf("secret %s/%s: %w", k.Namespace, k.Secret, err)
	}
	k.serving.Store(c)
	k.written = b.Certificate
	k.Metrics.Expiry.Set(float64(c.Leaf.NotAfter.Unix()))
	k.Log.Info("webhook certificate in use", zap.Time("not_after", c.Leaf.NotAfter), zap.Strings("names", c.Leaf.DNSNames))
	return nil
}

// bundle is what the Secret holds, renewed where that is due.
func (k *Keeper) bundle(ctx context.Context) (certificate.Bundle, error) {
	client := k.Client.Resource(secrets()).Namespace(k.Namespace)
	secret, err := client.Get(ctx, k.Secret, metav1.GetOptions{})
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return certificate.Bundle{}, fmt.Errorf("secret %s/%s: %w", k.Namespace, k.Secret, err)
	}
	if missing {
		secret = &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
			"metadata": map[string]any{"name": k.Secret, "namespace": k.Namespace},
		}}
	}
	next, why, err := k.Terms.Renew(unpack(secret), k.Names, time.Now())
	if err != nil || why == "" {
		return next, err
	}
	for key, value := range map[string][]byte{
		authoritiesKey: next.Authorities, authorityKeyKey: next.AuthorityKey, certificateKey: next.Certificate, privateKey: next.Key,
	} {
		if err := unstructured.SetNestedField(secret.Object, base64.StdEncoding.EncodeToString(value), "data", key); err != nil {
			return next, fmt.Errorf("secret %s/%s: %w", k.Namespace, k.Secret, err)
		}
	}
	if missing {
		_, err = client.Create(ctx, secret, metav1.CreateOptions{})
	} else {
		_, err = client.Update(ctx, secret, metav1.UpdateOptions{}) // refused where another was first
	}
	if err != nil {
		return next, fmt.Errorf("secret %s/%s: %w", k.Namespace, k.Secret, err)
	}
	k.Log.Info("webhook certificate renewed", zap.String("why", why))
	return next, nil
}

func unpack(secret *unstructured.Unstructured) certificate.Bundle {
	data, _, _ := unstructured.NestedStringMap(secret.Object, "data") // what cannot be read is replaced
	member := func(key string) []byte {
		b, _ := base64.StdEncoding.DecodeString(data[key]) // as above
		return b
	}
	return certificate.Bundle{
		Authorities: member(authoritiesKey), AuthorityKey: member(authorityKeyKey), Certificate: member(certificateKey), Key: member(privateKey),
	}
}

// publish has the API server believe the authorities.
func (k *Keeper) publish(ctx context.Context, authorities []byte) error {
	client := k.Client.Resource(configurations())
	configuration, err := client.Get(ctx, k.Configuration, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("mutatingwebhookconfiguration %s: %w", k.Configuration, err)
	}
	hooks, _, err := unstructured.NestedSlice(configuration.Object, "webhooks")
	if err != nil {
		return fmt.Errorf("mutatingwebhookconfiguration %s: %w", k.Configuration, err)
	}
	want, changed := base64.StdEncoding.EncodeToString(authorities), false
	for _, hook := range hooks {
		h, ok := hook.(map[string]any)
		if !ok {
			continue
		}
		if has, _, _ := unstructured.NestedString(h, "clientConfig", "caBundle"); has == want { // empty where there is none
			continue
		}
		if err := unstructured.SetNestedField(h, want, "clientConfig", "caBundle"); err != nil {
			return fmt.Errorf("mutatingwebhookconfiguration %s: %w", k.Configuration, err)
		}
		changed = true
	}
	if !changed {
		return nil
	}
	if err := unstructured.SetNestedSlice(configuration.Object, hooks, "webhooks"); err != nil {
		return fmt.Errorf("mutatingwebhookconfiguration %s: %w", k.Configuration, err)
	}
	if _, err = client.Update(ctx, configuration, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("mutatingwebhookconfiguration %s: %w", k.Configuration, err)
	}
	k.Log.Info("the API server has been told whom to believe", zap.String("configuration", k.Configuration))
	return nil
}

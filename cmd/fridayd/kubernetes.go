package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapio"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// cluster is the Kubernetes API that fridayd talks to.
type cluster struct {
	client  dynamic.Interface
	version *version.Info
	// namespace is fridayd's own.
	namespace string
}

const (
	// Calls a second, and at once: a status for each policy after a change.
	clientQPS   = 50
	clientBurst = 100

	// askTimeout bounds the first call.
	askTimeout = 15 * time.Second

	namespaceFile    = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
	defaultNamespace = "friday-system"
)

// connect finds the API server: of the file, of the pod that fridayd is in, or of
// KUBECONFIG and ~/.kube/config, as kubectl does.
func connect(ctx context.Context, kubeconfig, namespace string, log *zap.Logger) (*cluster, error) {
	klog.LogToStderr(false)
	klog.SetOutput(&zapio.Writer{Log: log.Named("client-go"), Level: zap.WarnLevel})
	config, err := rest.InClusterConfig()
	if err != nil || kubeconfig != "" {
		rules := clientcmd.NewDefaultClientConfigLoadingRules()
		rules.ExplicitPath = kubeconfig
		config, err = clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	}
	if err != nil {
		return nil, fmt.Errorf("no API server is known: %w", err)
	}
	config.QPS, config.Burst = clientQPS, clientBurst
	config.UserAgent = "fridayd"
	caller, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("the API server at %s: %w", config.Host, err)
	}
	client, err := dynamic.NewForConfigAndClient(config, caller)
	if err != nil {
		return nil, fmt.Errorf("the API server at %s: %w", config.Host, err)
	}
	about, err := ask(ctx, config, caller)
	if err != nil {
		return nil, fmt.Errorf("the API server at %s: %w", config.Host, err)
	}
	return &cluster{client: client, version: about, namespace: cmp.Or(namespace, ownNamespace())}, nil
}

// ask asks the API server for its version.
func ask(ctx context.Context, config *rest.Config, caller *http.Client) (*version.Info, error) {
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("version").String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := caller.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read only
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d", req.URL, resp.StatusCode)
	}
	about := &version.Info{}
	return about, json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(about)
}

// ownNamespace is that of the pod that fridayd is in.
func ownNamespace() string {
	text, _ := os.ReadFile(namespaceFile) // outside a pod there is none
	return cmp.Or(strings.TrimSpace(string(text)), defaultNamespace)
}

// knows says whether the API server is of at least that release: 1.minor.
func (c *cluster) knows(minor int) bool {
	var has int
	if _, err := fmt.Sscanf(c.version.Minor, "%d", &has); err != nil {
		return false
	}
	return c.version.Major > "1" || has >= minor
}

// identity is what this fridayd calls itself in statuses: the pod's name.
func identity() string {
	host, err := os.Hostname()
	if err != nil {
		return "fridayd"
	}
	return host
}

// wait returns when ready is closed, or with the cause of ctx's end.
func wait(ctx context.Context, ready <-chan struct{}) error {
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

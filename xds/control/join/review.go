package join

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fridaymesh/friday/xds/control/ca"
)

// Review asks the Kubernetes API about service-account tokens
// (authentication.k8s.io/v1 TokenReview). It is one call with three fields, so that
// no client library is needed.
type Review struct {
	// API is the API server: host:port.
	API string
	// Account is the folder of fridayd's own service account, as Kubernetes mounts it:
	// token, which may change, and ca.crt, whom the API server's certificate must lead
	// to. The account needs `create` on `tokenreviews` (the role system:auth-delegator).
	Account string
	// Audience is whom the tokens must be for.
	Audience string
	// Domain is the trust domain.
	Domain string
}

var _ Way = (*Review)(nil)

const (
	// AccountDir is where Kubernetes mounts a pod's service account.
	AccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"
	// DefaultAudience is whom a sidecar's token is for.
	DefaultAudience = "fridayd"

	reviewTimeout = 10 * time.Second
	maxReview     = 1 << 20
	maxToken      = 64 << 10

	accountUser = "system:serviceaccount:"
	podName     = "authentication.kubernetes.io/pod-name"
)

// InCluster is where a pod finds the API server.
func InCluster() (string, error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return "", errors.New("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is no pod of a cluster")
	}
	return net.JoinHostPort(host, port), nil
}

// review is a TokenReview, as far as it is used.
type review struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Spec       reviewSpec   `json:"spec"`
	Status     reviewStatus `json:"status,omitzero"`
}

type reviewSpec struct {
	Token     string   `json:"token"`
	Audiences []string `json:"audiences"`
}

type reviewStatus struct {
	Authenticated bool     `json:"authenticated"`
	Audiences     []string `json:"audiences"`
	Error         string   `json:"error"`
	User          struct {
		Username string              `json:"username"`
		Extra    map[string][]string `json:"extra"`
	} `json:"user"`
}

// Takes takes JSON web tokens.
func (*Review) Takes(token string) bool { return strings.Count(token, ".") == 2 }

// Join has a token reviewed.
func (r *Review) Join(ctx context.Context, token string) (*Guest, error) {
	if len(token) > maxToken {
		return nil, fmt.Errorf("%w: %d bytes: too long", ErrRefused, len(token))
	}
	status, err := r.ask(ctx, token)
	if err != nil {
		return nil, fmt.Errorf("the Kubernetes API cannot be asked about the token: %w", err)
	}
	switch {
	case !status.Authenticated:
		return nil, fmt.Errorf("%w by Kubernetes: %s", ErrRefused, strings.ToValidUTF8(status.Error, "?"))
	case !slices.Contains(status.Audiences, r.Audience): // an API server that knows no audiences says none
		return nil, fmt.Errorf("%w: it is not for the audience %q", ErrRefused, r.Audience)
	}
	account, ok := strings.CutPrefix(status.User.Username, accountUser)
	namespace, name, both := strings.Cut(account, ":")
	if !ok || !both {
		return nil, fmt.Errorf("%w: it is of %q, not of a service account", ErrRefused, status.User.Username)
	}
	guest := &Guest{Settled: func(bool) {}}
	if guest.ID, err = ca.ForServiceAccount(r.Domain, namespace, name); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if pod := status.User.Extra[podName]; len(pod) == 1 {
		guest.Nodes = []string{pod[0], pod[0] + "." + namespace}
	}
	return guest, nil
}

func (r *Review) ask(ctx context.Context, token string) (*reviewStatus, error) {
	own, err := os.ReadFile(filepath.Join(r.Account, "token"))
	if err != nil {
		return nil, err
	}
	roots, err := os.ReadFile(filepath.Join(r.Account, "ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(roots) {
		return nil, fmt.Errorf("%s: no certificate in it", filepath.Join(r.Account, "ca.crt"))
	}
	body, err := json.Marshal(review{
		APIVersion: "authentication.k8s.io/v1", Kind: "TokenReview", Spec: reviewSpec{Token: token, Audiences: []string{r.Audience}},
	})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+r.API+"/apis/authentication.k8s.io/v1/tokenreviews", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(own)))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	client := &http.Client{Timeout: reviewTimeout, Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true, Proxy: nil,
	}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read only
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxReview))
	if err != nil {
		return nil, err
	}
	return parseReview(resp.StatusCode, answer)
}

// parseReview reads the API server's answer. What it says in words of its own never
// holds the token; that of the answer is not looked at.
func parseReview(status int, answer []byte) (*reviewStatus, error) {
	if status != http.StatusCreated && status != http.StatusOK {
		var s struct {
			Message string `json:"message"`
		}
		_ = json.Unmarshal(answer, &s) // where it is none the code says enough
		return nil, fmt.Errorf("%d %s %s", status, http.StatusText(status), strings.ToValidUTF8(s.Message, "?"))
	}
	var r review
	if err := json.Unmarshal(answer, &r); err != nil {
		return nil, fmt.Errorf("not a TokenReview: %w", err)
	}
	if r.Kind != "TokenReview" {
		return nil, fmt.Errorf("not a TokenReview but %q", r.Kind)
	}
	return &r.Status, nil
}

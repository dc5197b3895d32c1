package realserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/fridaymesh/friday/bench/process"
)

// Kubernetes is what an API server without a cluster is started from.
type Kubernetes struct{ apiServer, etcd string }

// PrepareKubernetes builds kube-apiserver and etcd from the Go module whose folder is
// given, once for each state of it: minutes, and 3 GB of Go's cache. The error is
// ErrUnavailable where that cannot be done.
func PrepareKubernetes(ctx context.Context, module string, progress func(string)) (*Kubernetes, error) {
	dir, err := fromSource(ctx, "kube", module, progress, map[string]string{
		"etcd": "go.etcd.io/etcd/server/v3", "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
	})
	if err != nil {
		return nil, err
	}
	return &Kubernetes{apiServer: filepath.Join(dir, "kube-apiserver"), etcd: filepath.Join(dir, "etcd")}, nil
}

// PrepareHelm does the same for helm, and returns where the program is.
func PrepareHelm(ctx context.Context, module string, progress func(string)) (string, error) {
	dir, err := fromSource(ctx, "helm", module, progress, map[string]string{"helm": "helm.sh/helm/v4/cmd/helm"})
	return filepath.Join(dir, "helm"), err
}

// fromSource is a folder of programs, built of the packages by the module.
func fromSource(ctx context.Context, kind, module string, progress func(string), programs map[string]string) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	sums, err := os.ReadFile(filepath.Join(module, "go.sum")) // #nosec G304 -- the caller's
	if err != nil {
		return "", fmt.Errorf("the module of %s: %w", kind, err)
	}
	dir := filepath.Join(cache, kind+"-"+Key(runtime.Version(), release, string(sums)))
	return dir, once(ctx, dir, progress, func(ctx context.Context) error {
		for name, program := range programs {
			progress("building " + name + " from source, which takes minutes")
			cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w "+release, "-o", filepath.Join(dir, name), program) // #nosec G204 -- constants
			cmd.Dir, cmd.Env = module, append(os.Environ(), "CGO_ENABLED=0")
			cmd.WaitDelay = 10 * time.Second
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s cannot be built: %w: %s", ErrUnavailable, name, err, last(out))
			}
		}
		return nil
	})
}

// release is what kube-apiserver is to say that it is: the module's version, which it does not
// know by itself. It decides what it is asked for.
const release = "-X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37 -X k8s.io/component-base/version.gitVersion=v1.37.2"

// last is the end of what a program has said.
func last(out []byte) string {
	const enough = 1 << 10
	text := strings.TrimSpace(string(out))
	return text[max(0, len(text)-enough):]
}

// KubernetesUser is somebody whom the API server knows by a token.
type KubernetesUser struct {
	Token, Name string
	Groups      []string
}

// APIServer is a running kube-apiserver.
type APIServer struct {
	*process.Process
	// URL is where it is, CAFile what it is believed by.
	URL, CAFile string
}

// Start runs an API server on the loopback address, with a store that ends with it.
// Rights are Kubernetes' own (RBAC). There is no controller, scheduler or kubelet: pods
// are stored, and that is all; a namespace has no service account.
func (k *Kubernetes) Start(ctx context.Context, g *process.Group, users ...KubernetesUser) (*APIServer, error) {
	addresses, err := process.FreeAddresses(0, 0, 0)
	if err != nil {
		return nil, err
	}
	store, peers, own := addresses[0], addresses[1], addresses[2]
	p, err := g.Start("etcd", nil, k.etcd, "--name", "e2e", "--data-dir", g.File("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls", "http://"+store, "--advertise-client-urls", "http://"+store,
		"--listen-peer-urls", "http://"+peers, "--initial-advertise-peer-urls", "http://"+peers, "--initial-cluster", "e2e=http://"+peers)
	if err != nil {
		return nil, err
	}
	if err := p.Await(ctx, patience, process.OK("http://"+store+"/health")); err != nil {
		return nil, err
	}
	key, tokens, certificates := g.File("accounts.key"), g.File("tokens.csv"), g.File("certificates")
	if err := errors.Join(writeKey(key), writeTokens(tokens, users)); err != nil {
		return nil, fmt.Errorf("kube-apiserver: %w", err)
	}
	host, port, err := net.SplitHostPort(own)
	if err != nil {
		return nil, err
	}
	p, err = g.Start("kube-apiserver", nil, k.apiServer, "--etcd-servers", "http://"+store,
		"--bind-address", host, "--advertise-address", host, "--secure-port", port, "--cert-dir", certificates,
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", key, "--service-account-signing-key-file", key,
		"--token-auth-file", tokens, "--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.96.0.0/16",
		// Without a cluster there is nobody to reach the server by a Service, and nobody
		// to make service accounts.
		"--endpoint-reconciler-type", "none", "--disable-admission-plugins", "ServiceAccount")
	if err != nil {
		return nil, err
	}
	s := &APIServer{Process: p, URL: "https://" + own, CAFile: filepath.Join(certificates, "apiserver.crt")}
	return s, p.Await(ctx, patience, process.Listening(own))
}

func writeKey(file string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

func writeTokens(file string, users []KubernetesUser) error {
	var b strings.Builder
	for i, u := range users {
		_, _ = fmt.Fprintf(&b, "%s,%s,%d,%q\n", u.Token, u.Name, i, strings.Join(u.Groups, ","))
	}
	return os.WriteFile(file, []byte(b.String()), 0o600)
}

package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/fridaymesh/friday/cmd/internal/cli"
	"github.com/fridaymesh/friday/cmd/internal/version"
	"github.com/fridaymesh/friday/deploy/inject"
	"github.com/fridaymesh/friday/deploy/webhook"
	"github.com/fridaymesh/friday/deploy/webhook/certificate"
)

// The releases of Kubernetes that know restartable init containers, and the hook
// action sleep, without being told to.
const (
	nativeSince = 29
	sleepSince  = 30
)

// webhookFlags say whether and how sidecars are put into pods.
type webhookFlags struct {
	listen, certDir             string
	configuration, secret, host string
	terms                       certificate.Terms
	native, mode, resources     string
	settings                    inject.Settings
}

func (f *webhookFlags) declare(fs *flag.FlagSet) {
	f.terms = certificate.DefaultTerms()
	f.settings = inject.Defaults(inject.DefaultImage(version.String()))
	fs.StringVar(&f.listen, "webhook", "", "`ADDR`ESS of the webhook that puts sidecars into pods, 0.0.0.0:19443 (default: none)")
	fs.StringVar(&f.certDir, "webhook-cert-dir", "", "`DIR`ECTORY of tls.crt and tls.key for the webhook, as cert-manager's Secret has them; they are read again when they change (default: fridayd makes its own)")
	fs.StringVar(&f.configuration, "webhook-config", "friday", "`NAME` of the MutatingWebhookConfiguration that is told whom to believe")
	fs.StringVar(&f.secret, "webhook-secret", "fridayd-webhook", "`NAME` of the Secret in which fridayd keeps its own certificate")
	fs.StringVar(&f.host, "webhook-host", "", "`NAMES` in fridayd's own certificate, with commas between them (default fridayd.NAMESPACE.svc)")
	fs.DurationVar(&f.terms.Authority, "webhook-ca-lifetime", f.terms.Authority, "how long an authority of fridayd's own is believed")
	fs.DurationVar(&f.terms.Certificate, "webhook-cert-lifetime", f.terms.Certificate, "how long a certificate of fridayd's own is good; renewed after two thirds")
	fs.DurationVar(&f.terms.Overlap, "webhook-ca-overlap", f.terms.Overlap, "how long a new authority is believed before it issues anything")
	fs.StringVar(&f.settings.Image, "inject-image", f.settings.Image, "the sidecar's `IMAGE`")
	fs.StringVar(&f.settings.PullPolicy, "inject-pull-policy", "", "the sidecar's imagePullPolicy, `POLICY` Always, IfNotPresent or Never (default: Kubernetes')")
	fs.StringVar(&f.settings.XDS, "inject-xds", "", "`ADDR`ESS by which sidecars reach this fridayd (default fridayd.NAMESPACE.svc:19010)")
	fs.StringVar(&f.mode, "inject-mode", string(inject.ModePort), "how requests come to sidecars, unless a pod says it: `MODE` port or redirect")
	fs.StringVar(&f.resources, "inject-resources", "", "the sidecar's resources, as `LIST` requests.cpu=100m,limits.memory=512Mi (default requests.cpu=100m,requests.memory=64Mi,limits.memory=512Mi)")
	fs.StringVar(&f.settings.OTLP, "inject-otlp-endpoint", "", "`URL` of a collector that sidecars send traces to, http://otel-collector.monitoring:4318 (default: requests are not traced)")
	fs.StringVar(&f.native, "native-sidecars", "auto", "whether sidecars are restartable init containers: `WHEN` auto (the server knows them), always or never")
	fs.StringVar(&f.settings.Revision, "revision", "", "`NAME` of this fridayd among several; pods and namespaces choose it by the label "+inject.RevisionLabel)
}

func (f *webhookFlags) check(kubernetes bool) error {
	if f.listen == "" {
		return nil
	}
	if !kubernetes && f.certDir == "" {
		return cli.Usagef("--webhook needs --kubernetes, where its certificate is kept, or --webhook-cert-dir")
	}
	if err := f.terms.Check(); err != nil {
		return cli.Usagef("--webhook-ca-lifetime, --webhook-cert-lifetime, --webhook-ca-overlap: %v", err)
	}
	if f.settings.Mode = inject.Mode(f.mode); f.settings.Mode != inject.ModePort && f.settings.Mode != inject.ModeRedirect {
		return cli.Usagef("--inject-mode: %q is neither port nor redirect", f.mode)
	}
	if !slices.Contains([]string{"auto", "always", "never"}, f.native) {
		return cli.Usagef("--native-sidecars: %q is not auto, always or never", f.native)
	}
	if err := f.settings.Check(); err != nil {
		return cli.Usagef("--inject-otlp-endpoint: %v", err)
	}
	if f.resources == "" {
		return nil
	}
	f.settings.Resources = map[string]string{}
	for field := range strings.SplitSeq(f.resources, ",") {
		key, value, _ := strings.Cut(field, "=")
		f.settings.Resources[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	if err := f.settings.Check(); err != nil {
		return cli.Usagef("--inject-resources: %v", err)
	}
	return nil
}

// hook is the webhook; nil: there is none.
type hook struct {
	listener    net.Listener
	handler     *webhook.Handler
	keeper      *webhook.Keeper // nil: the certificate is somebody else's
	certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// start opens the webhook's port.
func (f *webhookFlags) start(ctx context.Context, api *cluster, registry prometheus.Registerer, log *zap.Logger) (*hook, error) {
	if f.listen == "" {
		return nil, nil //nolint:nilnil // there is none, which is no error
	}
	log = log.Named("webhook")
	metrics := webhook.NewMetrics(registry)
	namespace := defaultNamespace
	if api != nil {
		namespace = api.namespace
	}
	h := &hook{handler: &webhook.Handler{Settings: f.forServer(api, namespace), Log: log, Metrics: metrics}}
	if f.certDir != "" {
		files, err := webhook.NewFiles(filepath.Join(f.certDir, "tls.crt"), filepath.Join(f.certDir, "tls.key"))
		if err != nil {
			return nil, fmt.Errorf("--webhook-cert-dir: %w", err)
		}
		h.certificate = files.GetCertificate
	} else {
		names := []string{"fridayd." + namespace + ".svc"}
		if f.host != "" {
			names = strings.Split(f.host, ",")
		}
		h.keeper = &webhook.Keeper{
			Client: api.client, Namespace: namespace, Secret: f.secret, Configuration: f.configuration, Names: names,
			Terms: f.terms, Log: log, Metrics: metrics,
		}
		h.certificate = h.keeper.GetCertificate
	}
	var err error
	if h.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen); err != nil {
		return nil, fmt.Errorf("--webhook: %w", err)
	}
	return h, nil
}

// forServer are the settings with what the API server knows.
func (f *webhookFlags) forServer(api *cluster, namespace string) inject.Settings {
	s := f.settings
	s.XDS = cmp.Or(s.XDS, "fridayd."+namespace+".svc:19010")
	s.Namespaces = []string{namespace}
	knows := func(minor int) bool { return api == nil || api.knows(minor) }
	s.Native = f.native == "always" || f.native == "auto" && knows(nativeSince)
	s.Sleep = knows(sleepSince)
	return s
}

// certificatePatience is how long the webhook waits for its first certificate before
// it says so.
const certificatePatience = 30 * time.Second

func (h *hook) serve(ctx context.Context, g *errgroup.Group) {
	if h == nil {
		return
	}
	if h.keeper != nil {
		g.Go(func() error {
			late := time.AfterFunc(certificatePatience, func() {
				if !h.keeper.Ready() && ctx.Err() == nil {
					h.handler.Log.Error("the webhook has no certificate yet")
				}
			})
			defer late.Stop()
			h.keeper.Run(ctx)
			return nil
		})
	}
	g.Go(func() error { return webhook.Serve(ctx, h.listener, h.handler.Routes(), h.certificate) })
}

func (h *hook) ready() bool { return h == nil || h.keeper == nil || h.keeper.Ready() }

func (h *hook) address() string {
	if h == nil {
		return "none"
	}
	return h.listener.Addr().String()
}

func (h *hook) close() {
	if h != nil {
		_ = h.listener.Close() // where it was not served
	}
}

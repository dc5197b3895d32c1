package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"

	"github.com/fridaymesh/friday/cmd/internal/cli"
	"github.com/fridaymesh/friday/cmd/internal/version"
	"github.com/fridaymesh/friday/filters/standard"
	"github.com/fridaymesh/friday/xds/control"
	"github.com/fridaymesh/friday/xds/control/history"
)

// serveFlags are the flags of `fridayd`.
type serveFlags struct {
	policies   string
	kubernetes kubernetesFlags
	webhook    webhookFlags
	listen     string
	admin      string
	status     string
	history    string
	tlsCert    string
	tlsKey     string
	clientCA   string
	logLevel   string
	identity   identityFlags
}

func serveCommand() cli.Command {
	f := &serveFlags{}
	return cli.Command{
		Short: "Serves the policies of a folder, or of a Kubernetes API, to sidecars over xDS (ADS); and puts sidecars into pods.",
		Flags: func(fs *flag.FlagSet) {
			fs.StringVar(&f.policies, "policies", "", "`DIR`ECTORY of policies: *.yaml, *.yml, *.json")
			f.kubernetes.declare(fs)
			fs.StringVar(&f.listen, "listen", "0.0.0.0:19010", "`ADDR`ESS to serve xDS on")
			fs.StringVar(&f.admin, "admin", "127.0.0.1:19011", "`ADDR`ESS of the admin door")
			fs.StringVar(&f.status, "status", "", "`ADDR`ESS where others than this host may ask for /ready, /live and /metrics, and nothing else (default nowhere)")
			fs.StringVar(&f.history, "history", "", "`DIR`ECTORY to keep what was served in, with rollbacks and shifts (default: in memory, which ends with fridayd)")
			fs.StringVar(&f.tlsCert, "tls-cert", "", "certificate `FILE` (PEM) to serve xDS in TLS with (default: plain text)")
			fs.StringVar(&f.tlsKey, "tls-key", "", "the certificate's key `FILE` (PEM)")
			fs.StringVar(&f.clientCA, "client-ca", "", "`FILE` (PEM) of the roots that a sidecar's certificate must lead to (default: none is asked for)")
			f.webhook.declare(fs)
			f.identity.declare(fs)
			fs.StringVar(&f.logLevel, "log-level", "info", "`LEVEL`: debug, info, warn or error")
		},
		Run: func(ctx context.Context, _ []string) error {
			level, err := zap.ParseAtomicLevel(f.logLevel)
			if err != nil {
				return cli.Usagef("--log-level %q: %v", f.logLevel, err)
			}
			if err := f.check(); err != nil {
				return err
			}
			if err := f.identity.check(f.clientCA); err != nil {
				return err
			}
			return f.serve(ctx, newLog(level))
		},
	}
}

// check refuses flags that do not go together.
func (f *serveFlags) check() error {
	switch {
	case f.policies == "" && !f.kubernetes.on:
		return cli.Usagef("--policies is missing, or --kubernetes")
	case f.policies != "" && f.kubernetes.on:
		return cli.Usagef("--policies and --kubernetes exclude each other")
	case (f.tlsCert == "") != (f.tlsKey == "") || f.clientCA != "" && f.tlsCert == "":
		return cli.Usagef("--tls-cert and --tls-key go together, and --client-ca with them")
	case f.policies != "":
		if err := cli.NeedPath("--policies", f.policies); err != nil {
			return err
		}
	}
	return f.webhook.check(f.kubernetes.on)
}

// newLog writes JSON lines to stderr.
func newLog(level zap.AtomicLevel) *zap.Logger {
	enc := zap.NewProductionEncoderConfig()
	enc.TimeKey, enc.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(enc), zapcore.Lock(os.Stderr), level))
}

// serve runs until ctx ends or one of the doors fails.
func (f *serveFlags) serve(ctx context.Context, log *zap.Logger) (err error) {
	hangup := make(chan os.Signal, 1) // before all else: unheard, it would end the process
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics := control.NewMetrics(registry)
	gate, tokens, err := f.identity.gate(log)
	if err != nil {
		return err
	}
	domain := ""
	if gate != nil {
		domain = gate.Authority.Domain()
	}
	xds := control.NewServer(gate, log, metrics)
	store, skipped, err := history.Open(f.history)
	if err != nil {
		return fmt.Errorf("--history: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	for _, fault := range skipped {
		log.Warn("a version of the history cannot be read and is left aside", zap.Error(fault))
	}
	compiler := control.NewCompiler(standard.Registry(), domain)
	rollout, err := control.NewRollout(compiler, xds, store, control.Scraper{}, log, metrics)
	if err != nil {
		return fmt.Errorf("--history: %w", err)
	}
	policies, api, err := f.source(ctx, compiler, xds, rollout, log, metrics)
	if err != nil {
		return err
	}
	hook, err := f.webhook.start(ctx, api, registry, log)
	if err != nil {
		return err
	}
	defer hook.close()
	var transport *control.Transport
	if f.tlsCert != "" {
		if transport, err = control.NewTransport(f.tlsCert, f.tlsKey, f.clientCA, log); err != nil {
			return fmt.Errorf("--tls-cert, --tls-key, --client-ca: %w", err)
		}
	}
	doors, err := open(ctx, []opening{{"--listen", f.listen}, {"--admin", f.admin}, {"--status", f.status}})
	if err != nil {
		return err
	}
	nodes, door, public := doors[0], doors[1], doors[2]
	g, ctx := errgroup.WithContext(ctx)
	admin := control.Admin{
		Ready:    func() bool { return ctx.Err() == nil && policies.Ready() && hook.ready() },
		Policies: func() []control.PolicyStatus { return rollout.Policies(policies.Status()) },
		Nodes:    xds, Rollout: rollout, Registry: registry, Tokens: tokens,
	}
	g.Go(func() error {
		// Who is asked before it knows would tell sidecars that there is nothing.
		if wait(ctx, policies.Synced()) != nil {
			return nodes.Close()
		}
		return xds.Serve(ctx, nodes, transport)
	})
	g.Go(func() error { return serveHTTP(ctx, door, admin.Handler()) })
	if public != nil {
		g.Go(func() error { return serveHTTP(ctx, public, admin.Public()) })
	}
	g.Go(func() error {
		rollout.Run(ctx)
		return nil
	})
	g.Go(func() error { return policies.Run(ctx) })
	g.Go(func() error {
		reload(ctx, hangup, policies)
		return nil
	})
	hook.serve(ctx, g)
	log.Info("fridayd serves", zap.String("version", version.String()), zap.String("policies", cmp.Or(f.policies, "kubernetes")),
		zap.Stringer("listen", nodes.Addr()), zap.Stringer("admin", door.Addr()), zap.String("webhook", hook.address()),
		zap.String("history", cmp.Or(f.history, "in memory")))
	err = g.Wait()
	log.Info("fridayd ends", zap.Error(err))
	return err
}

const (
	// headerTimeout bounds a request's head on the admin door.
	headerTimeout = 10 * time.Second
	// shutdownTimeout bounds what runs on the admin door at the end: a profile may
	// take a minute.
	shutdownTimeout = time.Second
)

// serveHTTP is of a door in plain HTTP.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout}
	done := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(done)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if s.Shutdown(end) != nil {
			_ = s.Close() // the time is up
		}
	})
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	<-done
	return nil
}

// opening is a door's address, by its flag.
type opening struct{ flag, address string }

// open opens all doors, or none; one without an address is nil.
func open(ctx context.Context, all []opening) ([]net.Listener, error) {
	var listen net.ListenConfig
	list := make([]net.Listener, len(all))
	for i, o := range all {
		if o.address == "" {
			continue
		}
		l, err := listen.Listen(ctx, "tcp", o.address)
		if err != nil {
			err = fmt.Errorf("%s: %w", o.flag, err)
			for _, opened := range list[:i] {
				if opened != nil {
					err = errors.Join(err, opened.Close())
				}
			}
			return nil, err
		}
		list[i] = l
	}
	return list, nil
}

// reload looks at the policies again at every SIGHUP.
func reload(ctx context.Context, hangup <-chan os.Signal, policies source) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			policies.Reload()
		}
	}
}

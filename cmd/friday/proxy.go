package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"net"
	"runtime"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/cmd/internal/cli"
	"github.com/fridaymesh/friday/cmd/internal/version"
	"github.com/fridaymesh/friday/filters/standard"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/server"
	"github.com/fridaymesh/friday/proxy/tracing"
	"github.com/fridaymesh/friday/xds/bootstrap"
	"github.com/fridaymesh/friday/xds/resource"
)

// defaultAdmin is where the admin door listens unless told otherwise.
const defaultAdmin = "127.0.0.1:19000"

// proxyFlags are the flags of `friday proxy`.
type proxyFlags struct {
	bootstrap.Flags

	config       string
	stateDir     string
	status       string
	drainDelay   time.Duration
	drainTimeout time.Duration
	takeover     string
	maxBody      cli.Bytes
	concurrency  int
	healthPath   string
	logLevel     string
}

func proxyCommand() cli.Command {
	f := &proxyFlags{maxBody: 64 << 20}
	return cli.Command{
		Name:  "proxy",
		Short: "Stands in front of a model server: one named here, or those that a control plane or a bootstrap file names.",
		Flags: f.declare,
		Run:   func(ctx context.Context, _ []string) error { return f.run(ctx) },
	}
}

func (f *proxyFlags) declare(fs *flag.FlagSet) {
	fs.StringVar(&f.Upstream, "upstream", "", "the model server: `HOST:PORT`, http://HOST[:PORT] or https://HOST[:PORT]; several with commas between them, each with its own --listen; with --mode redirect, where /ready looks for it (default nowhere)")
	fs.StringVar((*string)(&f.Mode), "mode", "", "`MODE` in which connections come here: port, where callers call --listen, or redirect, where friday redirect has the kernel send those that are meant for the server, each of which goes on to where it was meant to go (default "+string(bootstrap.ModePort)+")")
	fs.StringVar(&f.Listen, "listen", "", "`ADDR`ESS to listen on, or one for each of --upstream with commas between them, with --upstream or --mode redirect (default "+bootstrap.DefaultListen+"; with --mode redirect for IPv6, too)")
	fs.StringVar(&f.Cert, "tls-cert", "", "`FILE` (PEM) with the certificate with which callers are spoken to in TLS, and those that lead to its root, beside --upstream (default: in plain text)")
	fs.StringVar(&f.Key, "tls-key", "", "`FILE` (PEM) with its private key; both are read again when they change")
	fs.StringVar(&f.ClientCA, "tls-client-ca", "", "`FILE` (PEM) of the roots to which the certificate that callers must show leads, beside --tls-cert (default: they are asked for none)")
	fs.StringVar(&f.Admin, "admin", "", "`ADDR`ESS of the admin door (default "+defaultAdmin+")")
	fs.StringVar(&f.status, "status", "", "`ADDR`ESS where others than this host may ask for /ready, /live and /metrics, and nothing else (default nowhere)")
	fs.StringVar(&f.XDS, "xds", "", "control plane: `HOST:PORT` of its ADS server")
	fs.StringVar(&f.XDSCA, "xds-ca", "", "`FILE` (PEM) of the roots that the control plane's certificate must lead to: it is spoken to in TLS (default: in plain text)")
	fs.StringVar(&f.XDSToken, "xds-token-file", "", "`FILE` with the token by which this sidecar gets its certificate from the control plane, beside --xds-ca (default none)")
	fs.StringVar(&f.NodeID, "node-id", "", "`ID` by which the control plane knows this sidecar (default the host's name)")
	fs.StringVar(&f.NodeCluster, "node-cluster", "", "`CLUSTER` that this sidecar is one of")
	fs.StringVar(&f.config, "config", "", "Envoy bootstrap `FILE`, YAML or JSON, in place of --upstream and --xds")
	fs.StringVar(&f.config, "c", "", "short for --config `FILE`")
	fs.StringVar(&f.stateDir, "state-dir", "", "`DIR`ECTORY to keep the last good configuration in, for a restart without a control plane, and what a cache with persist has (default none)")
	fs.DurationVar(&f.drainDelay, "drain-delay", 0, "how long everything is served as before after SIGTERM, while /ready fails, so that those who route here hear of it")
	fs.DurationVar(&f.drainTimeout, "drain-timeout", 30*time.Second, "how long what runs may go on after SIGTERM and the delay")
	fs.DurationVar(&f.Timeout, "timeout", 0, "longest time from a request's head to the end of its response, with --upstream or --mode redirect; 0: none")
	fs.DurationVar(&f.Hold, "hold-timeout", 0, "about how long a request waits for a server that accepts no connection, as one that is just starting, with --upstream or --mode redirect; 0: it is answered 503 at once")
	fs.Var(&f.maxBody, "max-body", "largest request body, as `SIZE` 512KiB or 64MiB; beyond it 413")
	fs.StringVar(&f.takeover, "takeover", "", "unix `SOCK`ET: take over from the process that listens there, without refusing a connection, then listen there for the next (default none)")
	fs.IntVar(&f.concurrency, "concurrency", 0, "`N` threads serve requests (default as many as the CPU limit or the cores allow, 4 at most, or what GOMAXPROCS says)")
	fs.StringVar(&f.healthPath, "health-path", "", "`PATH` that the server must answer with 200 for /ready, with --upstream (default: it accepts a connection)")
	fs.StringVar(&f.logLevel, "log-level", "info", "`LEVEL`: debug, info, warn or error")
}

func (f *proxyFlags) run(ctx context.Context) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	setConcurrency(f.concurrency)
	boundGarbage()
	l, err := newLogs(f.logLevel)
	if err != nil {
		return cli.Usagef("--log-level %q: %v", f.logLevel, err)
	}
	defer func() { err = errors.Join(err, l.flush()) }()
	tracer, err := tracing.FromEnvironment(ctx, version.String(), l.log)
	if err != nil {
		return cli.Usagef("%v", err)
	}
	defer func() { err = errors.Join(err, tracer.Close()) }() //nolint:contextcheck // ctx has ended by then
	parser := &resource.Parser{Registry: standard.Registry()}
	b, err := f.load(ctx, parser)
	if err != nil {
		return err
	}
	l.log.Info("friday starts", zap.String("version", version.String()), zap.String("node", b.Node.GetId()), zap.Int("concurrency", runtime.GOMAXPROCS(0)), zap.Bool("traces", tracer != nil))
	if b.AdminAddress == "" {
		b.AdminAddress = defaultAdmin
	}
	announce(b.Node, cmp.Or(f.status, b.AdminAddress))
	sidecar := server.Sidecar{
		Options: server.Options{
			Log: l.log, Access: l.access,
			DrainTimeout: f.drainTimeout,
			Defaults: config.Defaults{
				MaxBodyBytes: int64(f.maxBody), StateDir: f.stateDir, Tracer: tracer, Version: version.String(),
			},
		},
		Bootstrap:  b,
		Parser:     parser,
		StateDir:   f.stateDir,
		DrainDelay: f.drainDelay,
		Takeover:   f.takeover,
		Level:      l.level,
		Version:    version.String(),

		StatusAddress: f.status,
	}
	if sidecar.Probe, err = f.probe(ctx, b); err != nil {
		return err
	}
	return sidecar.Run(ctx)
}

// probe is what /ready asks; nil: nobody.
func (f *proxyFlags) probe(ctx context.Context, b *bootstrap.Bootstrap) (*server.Probe, error) {
	switch {
	case f.Upstream == "":
		return nil, nil //nolint:nilnil // as said above
	case f.Mode != bootstrap.ModeRedirect:
		return &server.Probe{Resources: b.Static, Path: f.healthPath}, nil
	}
	// The listener leads to wherever callers want to go; this is where the server is.
	straight := f.Flags
	straight.Mode, straight.Listen = bootstrap.ModePort, ""
	src, err := straight.Bootstrap(ctx)
	if err != nil {
		return nil, err
	}
	compiled, err := bootstrap.Compile(src, &resource.Parser{Registry: standard.Registry()})
	if err != nil {
		return nil, err
	}
	return &server.Probe{Resources: compiled.Static, Path: f.healthPath}, nil
}

// check refuses flags that do not go together.
func (f *proxyFlags) check() error {
	switch {
	case f.config != "" && (f.Upstream != "" || f.XDS != ""):
		return cli.Usagef("--config excludes --upstream and --xds")
	case f.config != "" && f.Mode != "":
		return cli.Usagef("--config excludes --mode: the file says what is done with connections")
	case f.config == "" && f.Upstream == "" && f.XDS == "" && f.Mode != bootstrap.ModeRedirect:
		return cli.Usagef("one of --upstream, --xds, --config and --mode redirect is needed")
	case f.Upstream != "" && f.XDS != "":
		return cli.Usagef("--upstream and --xds exclude each other")
	case f.Upstream == "" && f.Mode != bootstrap.ModeRedirect && (f.Listen != "" || f.Timeout != 0 || f.Hold != 0):
		return cli.Usagef("--listen, --timeout and --hold-timeout go with --upstream or --mode redirect")
	case (f.Cert != "" || f.Key != "" || f.ClientCA != "") && (f.Upstream == "" || f.Mode == bootstrap.ModeRedirect):
		return cli.Usagef("--tls-cert, --tls-key and --tls-client-ca go with --upstream, and without --mode redirect")
	case f.Upstream == "" && f.healthPath != "":
		return cli.Usagef("--health-path goes with --upstream")
	case f.XDS == "" && (f.XDSCA != "" || f.XDSToken != ""):
		return cli.Usagef("--xds-ca and --xds-token-file go with --xds")
	case f.XDSToken != "" && f.XDSCA == "":
		return cli.Usagef("--xds-token-file goes with --xds-ca: in plain text a token is everybody's")
	case f.healthPath != "" && f.healthPath[0] != '/':
		return cli.Usagef("--health-path %q: must begin with /", f.healthPath)
	case f.drainTimeout <= 0:
		return cli.Usagef("--drain-timeout %s: must be positive", f.drainTimeout)
	case f.drainDelay < 0:
		return cli.Usagef("--drain-delay %s: must not be negative", f.drainDelay)
	case f.concurrency < 0:
		return cli.Usagef("--concurrency %d: must not be negative", f.concurrency)
	case f.Timeout < 0:
		return cli.Usagef("--timeout %s: must not be negative", f.Timeout)
	}
	return nil
}

// load makes the bootstrap of the file or of the flags.
func (f *proxyFlags) load(ctx context.Context, parser *resource.Parser) (*bootstrap.Bootstrap, error) {
	if f.config != "" {
		return compileFile(f.config, parser, f.NodeID, f.NodeCluster, f.Admin)
	}
	if f.Admin == "" {
		f.Admin = defaultAdmin
	}
	if f.XDSCA != "" {
		if err := cli.NeedPath("--xds-ca", f.XDSCA); err != nil {
			return nil, err
		}
	}
	src, err := f.Bootstrap(ctx)
	if _, unknown := errors.AsType[*net.DNSError](err); err != nil && !unknown {
		return nil, cli.Usagef("%v", err)
	}
	if err != nil {
		return nil, err
	}
	return bootstrap.Compile(src, parser)
}

// compileFile reads a bootstrap file; what is not empty beside it wins.
func compileFile(path string, parser *resource.Parser, nodeID, nodeCluster, admin string) (*bootstrap.Bootstrap, error) {
	if err := cli.NeedPath("--config", path); err != nil {
		return nil, err
	}
	src, err := bootstrap.Load(path)
	if err != nil {
		return nil, err
	}
	b, err := bootstrap.Compile(src, parser)
	if err != nil {
		return nil, bootstrap.InFile(path, err)
	}
	if nodeID != "" {
		b.Node.Id = nodeID
	}
	if nodeCluster != "" {
		b.Node.Cluster = nodeCluster
	}
	if admin != "" {
		b.AdminAddress = admin
	}
	return b, nil
}

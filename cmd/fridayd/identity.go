package main

import (
	"cmp"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/cmd/internal/cli"
	"github.com/fridaymesh/friday/xds/control"
	"github.com/fridaymesh/friday/xds/control/ca"
	"github.com/fridaymesh/friday/xds/control/join"
)

// identityFlags say who vouches for sidecars, and how they prove who they are.
type identityFlags struct {
	dir         string
	files       ca.Files
	domain      string
	life        ca.Life
	serverNames string

	tokens     string
	kubernetes bool
	account    string
	audience   string
}

func (f *identityFlags) declare(fs *flag.FlagSet) {
	fs.StringVar(&f.dir, "ca", "", "`DIR`ECTORY of a certificate authority of fridayd's own, made where it is not there: sidecars get certificates, and xDS is served in TLS (default: none)")
	fs.StringVar(&f.files.Cert, "ca-cert", "", "certificate `FILE` (PEM) of a given authority, in place of --ca")
	fs.StringVar(&f.files.Key, "ca-key", "", "the given authority's key `FILE` (PEM)")
	fs.StringVar(&f.files.Roots, "ca-roots", "", "`FILE` (PEM) of the roots that sidecars are to trust (default: the last certificate of --ca-cert)")
	fs.StringVar(&f.domain, "trust-domain", ca.DefaultDomain, "`NAME` that sidecars' SPIFFE ids begin with")
	fs.DurationVar(&f.life.Certificate, "certificate-life", ca.DefaultCertificateLife, "how long a sidecar's certificate is good; it is renewed after two thirds of that")
	fs.DurationVar(&f.life.Root, "ca-life", ca.DefaultRootLife, "how long a root of --ca is good; the next one is trusted after two thirds of that")
	fs.StringVar(&f.serverNames, "server-names", "", "comma-separated `NAMES` and addresses by which sidecars call fridayd, beside the host's own")
	fs.StringVar(&f.tokens, "tokens", "", "`DIR`ECTORY of tokens that count once, of `fridayctl token` (default: tokens in --ca)")
	fs.BoolVar(&f.kubernetes, "kubernetes-tokens", false, "let sidecars in by the token of their Kubernetes service account, which the API server reviews")
	fs.StringVar(&f.account, "kubernetes-account", join.AccountDir, "`DIR`ECTORY of fridayd's own service account: token and ca.crt")
	fs.StringVar(&f.audience, "token-audience", join.DefaultAudience, "`NAME` that service accounts' tokens must be for")
}

// on says that there is an authority.
func (f *identityFlags) on() bool { return f.dir != "" || f.files.Cert != "" }

func (f *identityFlags) check(clientCA string) error {
	switch {
	case f.dir != "" && f.files.Cert != "":
		return cli.Usagef("--ca and --ca-cert exclude each other")
	case (f.files.Cert == "") != (f.files.Key == "") || f.files.Roots != "" && f.files.Cert == "":
		return cli.Usagef("--ca-cert and --ca-key go together, and --ca-roots with them")
	case !f.on() && (f.tokens != "" || f.kubernetes || f.serverNames != ""):
		return cli.Usagef("--tokens, --kubernetes-tokens and --server-names go with --ca or --ca-cert")
	case f.on() && clientCA != "":
		return cli.Usagef("--client-ca excludes --ca and --ca-cert: sidecars have certificates of that authority")
	case f.files.Cert != "" && f.tokens == "" && !f.kubernetes:
		return cli.Usagef("--ca-cert needs --tokens or --kubernetes-tokens: nobody could get a certificate")
	}
	if err := ca.CheckDomain(f.domain); err != nil {
		return cli.Usagef("--trust-domain: %v", err)
	}
	life := f.life
	if f.dir == "" {
		life.Root = 6 * life.Certificate // it is not made here
	}
	if err := life.Check(); err != nil {
		return cli.Usagef("--ca-life, --certificate-life: %v", err)
	}
	return nil
}

// gate makes what lets sidecars in; nil where there is no authority. tokens are nil
// where none are taken.
func (f *identityFlags) gate(log *zap.Logger) (gate *control.Gate, tokens *join.Tokens, err error) {
	if !f.on() {
		return nil, nil, nil
	}
	gate = &control.Gate{ServerNames: f.names()}
	if f.dir != "" {
		gate.Authority, err = ca.Open(f.dir, f.domain, f.life, log)
	} else {
		gate.Authority, err = ca.Given(f.files, f.domain, f.life, log)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.flag(), err)
	}
	if dir := f.tokenDir(); dir != "" {
		if tokens, err = join.OpenTokens(dir, f.domain); err != nil {
			return nil, nil, fmt.Errorf("--tokens: %w", err)
		}
		gate.Ways = append(gate.Ways, tokens)
	}
	if f.kubernetes {
		api, err := join.InCluster()
		if err != nil {
			return nil, nil, fmt.Errorf("--kubernetes-tokens: %w", err)
		}
		gate.Ways = append(gate.Ways, &join.Review{API: api, Account: f.account, Audience: f.audience, Domain: f.domain})
	}
	return gate, tokens, nil
}

func (f *identityFlags) flag() string {
	if f.dir != "" {
		return "--ca"
	}
	return "--ca-cert, --ca-key, --ca-roots"
}

func (f *identityFlags) tokenDir() string {
	if f.dir == "" {
		return f.tokens
	}
	return cmp.Or(f.tokens, filepath.Join(f.dir, "tokens"))
}

// names are what fridayd's own certificate is for: those that are given, and the
// host's name and addresses.
func (f *identityFlags) names() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	for name := range strings.SplitSeq(f.serverNames, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	addresses, _ := net.InterfaceAddrs() // where they cannot be found the others remain
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLinkLocalUnicast() {
			names = append(names, n.IP.String())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	statusv3 "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fridaymesh/friday/proxy/tlscontext"
	"github.com/fridaymesh/friday/xds/resource"
)

// The secrets of a sidecar's own, by Istio's names.
const (
	ownSecret   = "default"
	rootsSecret = "ROOTCA"
)

// Identity is who a sidecar is to its control plane and to other sidecars: the
// certificate that the control plane has issued, and the roots that it trusts. Both
// are secrets that come over ADS. What comes first is asked for with a token, and
// each connection after that shows the certificate.
//
// It is kept in a file, so that a restart needs no new token. A nil Identity has
// nothing.
type Identity struct {
	file    string
	current atomic.Pointer[issued]
}

// issued is what an Identity holds.
type issued struct {
	own, roots *item
	pair       *tls.Certificate
	pem        []byte
}

// NewIdentity makes one that is kept in file; empty: it is not kept.
func NewIdentity(file string) *Identity { return &Identity{file: file} }

// Issued is the certificate, nil where there is none or it has ended, and the roots,
// in PEM.
func (i *Identity) Issued() (own *tls.Certificate, roots []byte) {
	if i == nil {
		return nil, nil
	}
	now := i.current.Load()
	if now == nil {
		return nil, nil
	}
	if time.Now().After(now.pair.Leaf.NotAfter) {
		return nil, now.pem
	}
	return now.pair, now.pem
}

// needs are the secrets that are asked for.
func (i *Identity) needs() []resource.Need {
	if i == nil {
		return nil
	}
	return []resource.Need{{Ref: tlscontext.Ref{Name: ownSecret}}, {Ref: tlscontext.Ref{Name: rootsSecret}}}
}

// take looks for another certificate, or other roots, among what is in force. changed
// says that there are.
func (i *Identity) take(s *state) (changed bool, err error) {
	own, roots := s.secrets[tlscontext.Ref{Name: ownSecret}], s.secrets[tlscontext.Ref{Name: rootsSecret}]
	before := i.current.Load()
	if own == nil || roots == nil || before != nil && own.parsed == before.own.parsed && roots.parsed == before.roots.parsed {
		return false, nil
	}
	c, v := own.secret().Certificate, roots.secret().Validation
	if c == nil || v == nil {
		return false, fmt.Errorf("secrets %q and %q: must be a certificate and a validation context", ownSecret, rootsSecret)
	}
	pair, err := tls.X509KeyPair(c.Chain.Inline, c.Key.Inline) // its errors hold no secret
	if err != nil {
		return false, fmt.Errorf("secret %q: %w", ownSecret, err)
	}
	i.current.Store(&issued{own: own, roots: roots, pair: &pair, pem: v.CA.Inline})
	return true, nil
}

// keep writes what there is, of mode 0600.
func (i *Identity) keep() error {
	now := i.current.Load()
	if i.file == "" || now == nil {
		return nil
	}
	m := new(statusv3.ClientConfig)
	for name, it := range map[string]*item{ownSecret: now.own, rootsSecret: now.roots} {
		m.GenericXdsConfigs = append(m.GenericXdsConfigs, &statusv3.ClientConfig_GenericXdsConfig{
			TypeUrl: sds.typeURL(), Name: name, XdsConfig: it.raw, LastUpdated: timestamppb.New(it.updated),
		})
	}
	data, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return writeFile(i.file, seal(data))
}

// restore reads what was kept, as secrets that have come.
func (i *Identity) restore(s *state) error {
	data, err := os.ReadFile(i.file)
	if err != nil {
		return ignoreNotExist(err)
	}
	m, err := decodeState(data)
	if err != nil {
		return err
	}
	var errs []error
	for _, g := range m.GetGenericXdsConfigs() {
		name, parsed, err := s.parser.ParseAny(sds.typeURL(), g.GetXdsConfig())
		if err != nil || name != ownSecret && name != rootsSecret {
			errs = append(errs, err)
			continue
		}
		s.known[sds].items[name] = &item{raw: g.GetXdsConfig(), updated: g.GetLastUpdated().AsTime(), parsed: parsed}
	}
	s.stale = true
	s.want()
	s.settleSecrets()
	return errors.Join(errs...)
}

// identify has the identity follow what is in force, and keeps it.
func (c *Client) identify(s *state) {
	if c.opts.Identity == nil {
		return
	}
	changed, err := c.opts.Identity.take(s)
	if err == nil && changed {
		leaf := c.opts.Identity.current.Load().pair.Leaf
		names := ""
		if len(leaf.URIs) > 0 {
			names = leaf.URIs[0].String()
		}
		c.metrics.IdentityEnds.WithLabelValues().Set(float64(leaf.NotAfter.Unix()))
		c.log.Info("the control plane has issued a certificate", zap.String("identity", names), zap.Time("until", leaf.NotAfter))
		err = c.opts.Identity.keep()
	}
	if err != nil {
		c.log.Error("identity", zap.Error(err))
	}
}

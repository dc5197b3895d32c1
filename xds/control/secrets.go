package control

import (
	"context"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/xds/control/ca"
	"github.com/fridaymesh/friday/xds/resource"
)

// The secrets that every sidecar may ask for, by Istio's names: its own certificate,
// and the roots that its peers' certificates must lead to.
const (
	ownSecret   = "default"
	rootsSecret = "ROOTCA"
)

// mux answers requests for secrets from a cache of their own: they are a node's own,
// where all else is shared by those whom the same policies select.
func mux(all, secrets cachev3.Cache) cachev3.Cache {
	kind := func(typeURL string) string {
		if typeURL == resource.SecretType {
			return resource.SecretType
		}
		return ""
	}
	return &cachev3.MuxCache{
		Classify:      func(r *cachev3.Request) string { return kind(r.GetTypeUrl()) },
		ClassifyDelta: func(r *cachev3.DeltaRequest) string { return kind(r.GetTypeUrl()) },
		Caches:        map[string]cachev3.Cache{"": all, resource.SecretType: secrets},
	}
}

// certify gives a node a certificate, and the roots of now. s.mu is held.
//
//nolint:contextcheck,nolintlint // as serve
func (s *Server) certify(key string, n *node) {
	issued, err := s.gate.Authority.Issue(n.identity)
	if err == nil {
		n.certificate = issued
		err = s.tellSecrets(key, n)
	}
	if err != nil {
		s.metrics.Certificates.WithLabelValues("failed").Inc()
		s.log.Error("a certificate cannot be issued", zap.String(fieldNode, n.ID), zap.Error(err))
		return
	}
	s.metrics.Certificates.WithLabelValues("issued").Inc()
	s.log.Info("certificate issued", zap.String(fieldNode, n.ID), zap.String("identity", string(n.identity)), zap.Time("until", issued.Leaf.NotAfter))
}

// tellSecrets puts a node's certificate and the roots in force. s.mu is held.
func (s *Server) tellSecrets(key string, n *node) error {
	roots := s.gate.Authority.Roots()
	return s.secrets.SetSnapshot(context.Background(), key, secretsOf(n.certificate, roots))
}

func secretsOf(c *ca.Certificate, roots []byte) *cachev3.Snapshot {
	version := digestBytes(c.Leaf.Raw, roots)
	list := []types.Resource{
		&tlsv3.Secret{Name: ownSecret, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
			CertificateChain: inline(c.Chain), PrivateKey: inline(c.Key),
		}}},
		&tlsv3.Secret{Name: rootsSecret, Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
			TrustedCa: inline(roots),
		}}},
	}
	snapshot := &cachev3.Snapshot{}
	for kind := range snapshot.Resources { // an empty version would read as "nothing to tell"
		snapshot.Resources[kind] = cachev3.NewResources(version, nil)
	}
	snapshot.Resources[types.Secret] = cachev3.NewResources(version, list)
	return snapshot
}

func inline(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}

// maxRound bounds the time between two looks at who needs another certificate.
const maxRound = time.Minute

// rotate renews certificates until ctx ends.
func (s *Server) rotate(ctx context.Context, life time.Duration) {
	round := min(maxRound, max(life/20, 10*time.Millisecond))
	timer := time.NewTicker(round)
	defer timer.Stop()
	for {
		s.renew(time.Now()) //nolint:contextcheck // as serve
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
}

// renew lets time pass for the authority, and gives a new certificate to whom it is
// time for. Where the roots have changed everybody hears of them.
func (s *Server) renew(now time.Time) {
	changed, err := s.gate.Authority.Refresh()
	if err != nil {
		s.log.Error("certificate authority: what was there last holds", zap.Error(err))
	}
	s.metrics.AuthorityEnds.Set(float64(s.gate.Authority.NotAfter().Unix()))
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, n := range s.nodes {
		switch {
		case n.identity == "":
		case n.certificate == nil || !now.Before(n.certificate.RenewAt()):
			s.certify(key, n)
		case changed:
			if err := s.tellSecrets(key, n); err != nil {
				s.log.Error("the roots cannot be told", zap.String(fieldNode, n.ID), zap.Error(err))
			}
		}
	}
}

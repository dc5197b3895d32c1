package control

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/fridaymesh/friday/xds/control/ca"
	"github.com/fridaymesh/friday/xds/control/join"
)

// Gate lets in whoever can prove who they are: by a certificate of the authority,
// else by a token. It goes over TLS only.
type Gate struct {
	Authority *ca.Authority
	// Ways are asked for the token, the first that takes it.
	Ways []join.Way
	// ServerNames are what sidecars call fridayd, host names and addresses, where its
	// own certificate is of the authority, too.
	ServerNames []string
}

// guestKey is of a context's value: whom the gate has let in.
type guestKey struct{}

// guestOf is who has been let in; nil where there is no gate.
func guestOf(ctx context.Context) *join.Guest {
	g, _ := ctx.Value(guestKey{}).(*join.Guest)
	return g
}

// let is who a stream is of.
func (s *Server) let(ctx context.Context) (*join.Guest, error) {
	guest, way, err := s.gate.admit(ctx)
	result := "admitted"
	if _, unknown := errors.AsType[*unknownError](err); unknown {
		result = "refused"
	} else if err != nil {
		result = "failed"
	}
	s.metrics.Joins.WithLabelValues(way, result).Inc()
	if err == nil {
		return guest, nil
	}
	from := ""
	if p, ok := peer.FromContext(ctx); ok {
		from = p.Addr.String()
	}
	s.log.Warn("a stream was not let in", zap.String("peer", from), zap.String("way", way), zap.Error(err))
	if result == "failed" { // it may go better later
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return nil, status.Error(codes.Unauthenticated, err.Error())
}

// The ways, as the metric's label.
const (
	byCertificate = "certificate"
	byToken       = "token"
	byNothing     = "none"
	byNode        = "node" // it is known, and names a node that it is not
)

// unknownError says that a stream has not proved who it is.
type unknownError struct{ words string }

func (e *unknownError) Error() string { return e.words }

// admit looks at the certificate first: a token that counts once has been spent when
// there is one. A certificate that is not good does no harm beside a token that is.
func (g *Gate) admit(ctx context.Context) (guest *join.Guest, way string, err error) {
	fault := ""
	if chain := shown(ctx); len(chain) > 0 {
		id, err := g.Authority.Verify(chain)
		if err == nil {
			return &join.Guest{ID: id, Settled: func(bool) {}}, byCertificate, nil
		}
		fault = "its certificate is not good: " + err.Error()
	}
	md, _ := metadata.FromIncomingContext(ctx)
	for _, header := range md.Get("authorization") {
		token, ok := join.Bearer(header)
		if !ok {
			continue
		}
		for _, w := range g.Ways {
			if w.Takes(token) {
				guest, err := w.Join(ctx, token)
				if errors.Is(err, join.ErrRefused) {
					err = &unknownError{also(err.Error(), fault)}
				}
				return guest, byToken, err
			}
		}
		return nil, byToken, &unknownError{also("its token is of no kind that is taken here", fault)}
	}
	if fault != "" {
		return nil, byCertificate, &unknownError{fault}
	}
	return nil, byNothing, &unknownError{"it shows neither a certificate nor a token"}
}

func also(words, more string) string {
	if more == "" {
		return words
	}
	return words + "; " + more
}

// shown is the certificate that the peer has shown, with what is above it. The
// handshake has found that the peer has its key.
func shown(ctx context.Context) []*x509.Certificate {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return nil
	}
	return info.State.PeerCertificates
}

// credentials ask for a certificate and take any: admit looks at it.
func (g *Gate) credentials(t *Transport) credentials.TransportCredentials {
	get := g.Authority.Server(g.ServerNames...)
	if t != nil {
		get = t.certificate
	}
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}, ClientAuth: tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return get() },
	})
}

// intercept puts who is let in into a stream's context.
func (s *Server) intercept(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	guest, err := s.let(stream.Context())
	if err != nil {
		return err
	}
	return next(srv, &guestStream{ServerStream: stream, ctx: context.WithValue(stream.Context(), guestKey{}, guest)})
}

type guestStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // gRPC's way to add to a stream's
}

func (s *guestStream) Context() context.Context { return s.ctx }

// admits says whether a guest may speak for a node.
func admits(g *join.Guest, cluster, node string) error {
	if of, id, ok := g.ID.Node(); ok && (of != cluster || id != node) {
		return status.Errorf(codes.PermissionDenied, "node %q of cluster %q: the stream is that of node %q of cluster %q (%s)", node, cluster, id, of, g.ID)
	}
	if len(g.Nodes) > 0 && !slices.Contains(g.Nodes, node) {
		return status.Errorf(codes.PermissionDenied, "node %q: the token is of pod %q", node, g.Nodes[0])
	}
	return nil
}

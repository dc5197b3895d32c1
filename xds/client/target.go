package client

import (
	"context"
	"crypto/tls"
	"fmt"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// Target is where a control plane, or a server of secrets, is.
type Target struct {
	// URI is gRPC's: host:port, unix:///path or another scheme
	// (https://github.com/grpc/grpc/blob/master/doc/naming.md).
	URI string
	// TLS is how it is spoken to; nil: in plain text.
	TLS *tls.Config
	// Metadata is sent with every stream, as key and value in turn.
	Metadata []string
	// Token is a header that goes with every stream, too; nil: none.
	Token func() (key, value string, err error)
}

// Plain are targets in plain text.
func Plain(uris ...string) []Target {
	targets := make([]Target, len(uris))
	for i, uri := range uris {
		targets[i] = Target{URI: uri}
	}
	return targets
}

func (t *Target) credentials() credentials.TransportCredentials {
	if t.TLS == nil {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(t.TLS)
}

// outgoing is a stream's context. A token that is not there is only missed by who has
// no certificate: one that counts once may have been removed.
func (t *Target) outgoing(ctx context.Context, who *Identity) (context.Context, error) {
	ctx = metadata.AppendToOutgoingContext(ctx, t.Metadata...)
	if t.Token == nil {
		return ctx, nil
	}
	key, value, err := t.Token()
	if err == nil {
		return metadata.AppendToOutgoingContext(ctx, key, value), nil
	}
	if own, _ := who.Issued(); own != nil {
		return ctx, nil
	}
	return nil, fmt.Errorf("token: %w", err)
}

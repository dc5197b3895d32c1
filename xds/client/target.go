package client

import (
	"context"
	"crypto/tls"

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

func (t *Target) outgoing(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, t.Metadata...)
}

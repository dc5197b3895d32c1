package client

import (
	"context"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// Target is where a control plane, or a server of secrets, is.
type Target struct {
	// URI is gRPC's: host:port, unix:///path or another scheme
	// (https://github.com/grpc/grpc/blob/master/doc/naming.md).
	URI string
	// Credentials are for TLS; nil: none, in plain text.
	Credentials credentials.TransportCredentials
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
	if t.Credentials == nil {
		return insecure.NewCredentials()
	}
	return t.Credentials
}

func (t *Target) outgoing(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, t.Metadata...)
}

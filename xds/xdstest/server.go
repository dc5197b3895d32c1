package xdstest

import (
	"net"
	"sync"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// server is a gRPC server that can be stopped and started again at its address.
type server struct {
	t             testing.TB
	ads           discoveryv3.AggregatedDiscoveryServiceServer
	sds           secretv3.SecretDiscoveryServiceServer // nil: none
	network, addr string

	mu   sync.Mutex
	grpc *grpc.Server
	done chan struct{}
}

func newServer(t testing.TB, network, address string, ads discoveryv3.AggregatedDiscoveryServiceServer, sds secretv3.SecretDiscoveryServiceServer) *server {
	t.Helper()
	s := &server{t: t, ads: ads, sds: sds, network: network, addr: address}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// Addr is host:port, or the path of a unix socket.
func (s *server) Addr() string { return s.addr }

// Start listens, at the address that it had before.
func (s *server) Start() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grpc != nil {
		return
	}
	ln, err := new(net.ListenConfig).Listen(s.t.Context(), s.network, s.addr)
	require.NoError(s.t, err)
	s.addr = ln.Addr().String()
	srv := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}))
	done := make(chan struct{})
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(srv, s.ads)
	if s.sds != nil {
		secretv3.RegisterSecretDiscoveryServiceServer(srv, s.sds)
	}
	s.grpc, s.done = srv, done
	go func() {
		defer close(done)
		_ = srv.Serve(ln) // ends with Stop
	}()
}

// Stop cuts all streams and listens no more.
func (s *server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grpc == nil {
		return
	}
	s.grpc.Stop()
	<-s.done
	s.grpc = nil
}

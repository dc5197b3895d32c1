package main

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// friday proxy --upstream in front of a gRPC port just works: calls, streams and
// statuses.
func TestProxyPassesGRPC(t *testing.T) {
	bin := build(t)
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server, checks := grpc.NewServer(), health.NewServer()
	healthv1.RegisterHealthServer(server, checks)
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	defer func() {
		server.Stop()
		require.NoError(t, <-done)
	}()
	addresses, err := process.FreeAddresses(0, 0)
	require.NoError(t, err)
	s, err := sidecar.Proxy(t.Context(), run(t), bin, "friday", ln.Addr().String(), addresses[0], addresses[1])
	require.NoError(t, err)

	conn, err := grpc.NewClient("passthrough:///"+addresses[0], grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	client := healthv1.NewHealthClient(conn)
	got, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{})
	require.NoError(t, err)
	require.Equal(t, healthv1.HealthCheckResponse_SERVING, got.GetStatus())
	_, err = client.Check(t.Context(), &healthv1.HealthCheckRequest{Service: "none"})
	require.Equal(t, codes.NotFound, status.Code(err))
	require.Equal(t, "unknown service", status.Convert(err).Message())

	watch, err := client.Watch(t.Context(), &healthv1.HealthCheckRequest{Service: "a"})
	require.NoError(t, err)
	for _, want := range []healthv1.HealthCheckResponse_ServingStatus{
		healthv1.HealthCheckResponse_SERVICE_UNKNOWN, healthv1.HealthCheckResponse_SERVING, healthv1.HealthCheckResponse_NOT_SERVING,
	} {
		if want != healthv1.HealthCheckResponse_SERVICE_UNKNOWN {
			checks.SetServingStatus("a", want)
		}
		m, err := watch.Recv()
		require.NoError(t, err)
		require.Equal(t, want, m.GetStatus())
	}
	require.NoError(t, conn.Close())
	require.NoError(t, s.Stop(patience))
}

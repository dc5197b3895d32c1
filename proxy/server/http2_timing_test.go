package server

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
)

// BenchmarkGRPC is a unary call of 1 KiB, straight to the server and through the
// sidecar; many at a time share one connection on either side.
func BenchmarkGRPC(b *testing.B) {
	ln, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	g := grpc.NewServer()
	grpc_testing.RegisterTestServiceServer(g, &service{unary: func(_ context.Context, in *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
		return &grpc_testing.SimpleResponse{Payload: in.GetPayload()}, nil
	}})
	done := make(chan error, 1)
	go func() { done <- g.Serve(ln) }()
	defer func() {
		g.Stop()
		require.NoError(b, <-done)
	}()
	s, err := New(Options{Log: zap.NewNop(), Access: zap.NewNop()})
	require.NoError(b, err)
	defer func() { require.NoError(b, s.Close()) }()
	require.NoError(b, s.Apply(resources(ln.Addr().String())))
	in := &grpc_testing.SimpleRequest{Payload: &grpc_testing.Payload{Body: make([]byte, 1<<10)}}
	for name, address := range map[string]string{"direct": ln.Addr().String(), "through": s.Addresses()["in"]} {
		b.Run(name, func(b *testing.B) {
			conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
			require.NoError(b, err)
			defer conn.Close()
			c := grpc_testing.NewTestServiceClient(conn)
			b.ReportAllocs()
			b.SetParallelism(16)
			before := cpu(b)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := c.UnaryCall(b.Context(), in); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/1e3, "cpu-µs/op")
		})
	}
}

// cpu is the processor's time that this process has had.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/sidecar"
	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

func TestTrialModelInfer(t *testing.T) {
	fake := filtertest.NewServer(1, 0, 0)
	var calls, rows atomic.Int64
	handler := func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := dynamicpb.NewMessage(filtertest.Message("ModelInferRequest", "").Descriptor())
		if err := dec(in); err != nil {
			t.Log("dec", err)
			return nil, err
		}
		calls.Add(1)
		time.Sleep(20 * time.Millisecond)
		text := fmt.Sprint(in)
		if strings.Contains(text, "poison") {
			return nil, status.Error(codes.InvalidArgument, "bad item: ünïcode")
		}
		req := filtertest.GRPCRequest(filtertest.Frame(in))
		resp, err := fake.Handle(ctx, req)
		if err != nil {
			return nil, err
		}
		body := filtertest.ReadBody(t, resp)
		rows.Add(1)
		_ = grpc.SetTrailer(ctx, metadata.Pairs("x-extra", "1"))
		m, err := filtertest.Unframe("ModelInferResponse", body)
		return m, err
	}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{ServiceName: "inference.GRPCInferenceService", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "ModelInfer", Handler: handler}}}, struct{}{})
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = server.Serve(lis) }()
	t.Cleanup(server.Stop)
	_ = proxy.NoBody

	bin := build(t)
	all, err := process.FreeAddresses(0, 0)
	require.NoError(t, err)
	side, err := sidecar.Proxy(t.Context(), run(t), bin, "friday", lis.Addr().String(), all[0], all[1])
	require.NoError(t, err)
	addresses := all[0]
	conn, err := grpc.NewClient("passthrough:///"+addresses, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for j := range 5 {
				name := fmt.Sprintf("c%d-%d", i, j)
				if i == 7 && j == 3 {
					name = "poison"
				}
				in := filtertest.Message("ModelInferRequest", fmt.Sprintf(`model_name: "m" id: "id-%s" inputs { name: "x" datatype: "BYTES" shape: 1 contents { bytes_contents: %q } }`, name, name))
				out := dynamicpb.NewMessage(filtertest.Message("ModelInferResponse", "").Descriptor())
				var trailer metadata.MD
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				err := conn.Invoke(ctx, filtertest.ModelInferPath, in, out, grpc.Trailer(&trailer))
				cancel()
				if name == "poison" {
					if status.Code(err) != codes.InvalidArgument || status.Convert(err).Message() != "bad item: ünïcode" {
						t.Errorf("poison: %v", err)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				want := filtertest.Message("ModelInferResponse", fmt.Sprintf(`model_name: "m" model_version: "1" id: "id-%s" outputs { name: "echo" datatype: "BYTES" shape: 1 contents { bytes_contents: %q } }`, name, name))
				if !proto.Equal(want, out) {
					t.Errorf("%s: %v", name, out)
				}
				if len(trailer.Get("x-extra")) != 1 {
					t.Errorf("trailer %v", trailer)
				}
			}
		})
	}
	wg.Wait()
	resp, err := http.Get("http://" + all[1] + "/stats/prometheus")
	require.NoError(t, err)
	b, _ := io.ReadAll(resp.Body)
	for _, l := range strings.Split(string(b), "\n") {
		if strings.Contains(l, "friday_batch") && !strings.Contains(l, "bucket") && !strings.HasPrefix(l, "#") {
			t.Log(l)
		}
	}
	require.NoError(t, conn.Close())
	require.NoError(t, side.Stop(patience))
	t.Logf("320 requests in %d calls", calls.Load())
	require.Less(t, calls.Load(), int64(100))
}

package server

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

const patience = 10 * time.Second

// service is a gRPC server of which each test says what it does.
type service struct {
	grpc_testing.UnimplementedTestServiceServer

	unary  func(ctx context.Context, in *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error)
	output func(in *grpc_testing.StreamingOutputCallRequest, out grpc.ServerStreamingServer[grpc_testing.StreamingOutputCallResponse]) error
	duplex func(both grpc.BidiStreamingServer[grpc_testing.StreamingOutputCallRequest, grpc_testing.StreamingOutputCallResponse]) error
}

func (s *service) UnaryCall(ctx context.Context, in *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	return s.unary(ctx, in)
}

func (s *service) StreamingOutputCall(in *grpc_testing.StreamingOutputCallRequest, out grpc.ServerStreamingServer[grpc_testing.StreamingOutputCallResponse]) error {
	return s.output(in, out)
}

func (s *service) FullDuplexCall(both grpc.BidiStreamingServer[grpc_testing.StreamingOutputCallRequest, grpc_testing.StreamingOutputCallResponse]) error {
	return s.duplex(both)
}

// serveGRPC serves s until the test ends.
func serveGRPC(t *testing.T, s *service) (address string) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := grpc.NewServer()
	grpc_testing.RegisterTestServiceServer(g, s)
	done := make(chan error, 1)
	go func() { done <- g.Serve(ln) }()
	t.Cleanup(func() {
		g.Stop()
		require.NoError(t, <-done)
	})
	return ln.Addr().String()
}

func clientOf(t *testing.T, address string) grpc_testing.TestServiceClient {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return grpc_testing.NewTestServiceClient(c)
}

// grpcHouse is a client of s through a sidecar.
func grpcHouse(t *testing.T, s *service) (*house, grpc_testing.TestServiceClient) {
	t.Helper()
	h := newHouse(t, Options{})
	require.NoError(t, h.Apply(resources(serveGRPC(t, s))))
	return h, clientOf(t, h.address())
}

func simple(text string) *grpc_testing.SimpleRequest {
	return &grpc_testing.SimpleRequest{Payload: &grpc_testing.Payload{Body: []byte(text)}}
}

func output(text string) *grpc_testing.StreamingOutputCallResponse {
	return &grpc_testing.StreamingOutputCallResponse{Payload: &grpc_testing.Payload{Body: []byte(text)}}
}

func TestGRPCUnary(t *testing.T) {
	h, c := grpcHouse(t, &service{unary: func(ctx context.Context, in *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		if err := grpc.SetHeader(ctx, metadata.Pairs("got", md.Get("give")[0], "got", md.Get("give")[1], "raw-bin", md.Get("raw-bin")[0], "authority", md.Get(":authority")[0])); err != nil {
			return nil, err
		}
		if err := grpc.SetTrailer(ctx, metadata.Pairs("last", "1", "last", "2", "end-bin", "\x00\xff")); err != nil {
			return nil, err
		}
		return &grpc_testing.SimpleResponse{Payload: in.GetPayload()}, nil
	}})
	for _, text := range []string{"hello", "", strings.Repeat("x", 1<<20)} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "give", "a", "give", "b", "raw-bin", "\x01\xfe")
		var head, trailer metadata.MD
		out, err := c.UnaryCall(ctx, simple(text), grpc.Header(&head), grpc.Trailer(&trailer))
		require.NoError(t, err)
		require.Equal(t, text, string(out.GetPayload().GetBody()))
		require.Equal(t, []string{"a", "b"}, head.Get("got"))
		require.Equal(t, []string{"\x01\xfe"}, head.Get("raw-bin"))
		require.Equal(t, []string{h.address()}, head.Get("authority"))
		require.Equal(t, []string{"1", "2"}, trailer.Get("last"))
		require.Equal(t, []string{"\x00\xff"}, trailer.Get("end-bin"))
	}
	require.Eventually(t, func() bool { return h.access.FilterField(zap.String("protocol", "grpc")).Len() == 3 }, patience, time.Millisecond)
}

func TestGRPCStatusAndDetails(t *testing.T) {
	want, err := status.New(codes.FailedPrecondition, "no: 100% wrong\n\u00fc").WithDetails(durationpb.New(time.Second))
	require.NoError(t, err)
	for name, started := range map[string]bool{"trailers only": false, "after a message": true} {
		t.Run(name, func(t *testing.T) {
			_, c := grpcHouse(t, &service{output: func(_ *grpc_testing.StreamingOutputCallRequest, out grpc.ServerStreamingServer[grpc_testing.StreamingOutputCallResponse]) error {
				if started {
					if err := out.Send(output("one")); err != nil {
						return err
					}
				}
				return want.Err()
			}})
			s, err := c.StreamingOutputCall(t.Context(), &grpc_testing.StreamingOutputCallRequest{})
			require.NoError(t, err)
			if started {
				_, err := s.Recv()
				require.NoError(t, err)
			}
			_, err = s.Recv()
			require.Equal(t, want.Proto().String(), status.Convert(err).Proto().String())
		})
	}
}

func TestGRPCServerStreamComesPieceByPiece(t *testing.T) {
	next := make(chan struct{})
	_, c := grpcHouse(t, &service{output: func(_ *grpc_testing.StreamingOutputCallRequest, out grpc.ServerStreamingServer[grpc_testing.StreamingOutputCallResponse]) error {
		for range 5 {
			<-next
			if err := out.Send(output("piece")); err != nil {
				return err
			}
		}
		return nil
	}})
	s, err := c.StreamingOutputCall(t.Context(), &grpc_testing.StreamingOutputCallRequest{})
	require.NoError(t, err)
	for range 5 {
		next <- struct{}{}
		m, err := s.Recv() // the next is sent only after this one has come
		require.NoError(t, err)
		require.Equal(t, "piece", string(m.GetPayload().GetBody()))
	}
	_, err = s.Recv()
	require.ErrorIs(t, err, io.EOF)
}

func TestGRPCBothWaysAtOnce(t *testing.T) {
	_, c := grpcHouse(t, &service{duplex: func(both grpc.BidiStreamingServer[grpc_testing.StreamingOutputCallRequest, grpc_testing.StreamingOutputCallResponse]) error {
		for {
			in, err := both.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := both.Send(output(string(in.GetPayload().GetBody()))); err != nil {
				return err
			}
		}
	}})
	s, err := c.FullDuplexCall(t.Context())
	require.NoError(t, err)
	for _, text := range []string{"a", "", strings.Repeat("y", 300<<10), "b"} {
		require.NoError(t, s.Send(&grpc_testing.StreamingOutputCallRequest{Payload: &grpc_testing.Payload{Body: []byte(text)}}))
		m, err := s.Recv()
		require.NoError(t, err)
		require.Equal(t, text, string(m.GetPayload().GetBody()))
	}
	require.NoError(t, s.CloseSend())
	_, err = s.Recv()
	require.ErrorIs(t, err, io.EOF)
}

// A caller who cancels ends the server's work, before there is an answer and after.
func TestGRPCCallerCancels(t *testing.T) {
	for name, started := range map[string]bool{"thinking": false, "streaming": true} {
		t.Run(name, func(t *testing.T) {
			asked, stopped := make(chan struct{}), make(chan time.Time, 1)
			h, c := grpcHouse(t, &service{output: func(_ *grpc_testing.StreamingOutputCallRequest, out grpc.ServerStreamingServer[grpc_testing.StreamingOutputCallResponse]) error {
				if started {
					if err := out.Send(output("one")); err != nil {
						return err
					}
				}
				close(asked)
				<-out.Context().Done()
				stopped <- time.Now()
				return out.Context().Err()
			}})
			ctx, cancel := context.WithCancel(t.Context())
			s, err := c.StreamingOutputCall(ctx, &grpc_testing.StreamingOutputCallRequest{})
			require.NoError(t, err)
			<-asked
			if started {
				_, err := s.Recv()
				require.NoError(t, err)
			}
			left := time.Now()
			cancel()
			took := (<-stopped).Sub(left)
			t.Logf("the server's work ended %v after the caller had left", took)
			require.Less(t, took, patience/2)
			_, err = s.Recv()
			require.Equal(t, codes.Canceled, status.Code(err))
			require.Eventually(t, func() bool { return h.access.FilterField(zap.String("response_flag", "DC")).Len() == 1 }, patience, time.Millisecond)
		})
	}
}

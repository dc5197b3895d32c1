package standin_test

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fridaymesh/friday/bench/standin"
)

// bare hands messages on as the bytes that they are.
type bare struct{}

func (bare) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (bare) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }
func (bare) Name() string                       { return "proto" }

func dialGRPC(t *testing.T, address string) func(ctx context.Context, method string, message []byte) ([]byte, error) {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(bare{})))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cc.Close()) })
	return func(ctx context.Context, method string, message []byte) ([]byte, error) {
		var reply []byte
		err := cc.Invoke(ctx, "/inference.GRPCInferenceService/"+method, &message, &reply)
		return reply, err
	}
}

func field(dst []byte, number protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, number, protowire.BytesType), v)
}

// inferMessage is a ModelInferRequest of rows of one INT64 each, raw or typed.
func inferMessage(model string, raw bool, values ...int64) []byte {
	tensor := field(field(nil, 1, []byte("a")), 2, []byte("INT64"))
	tensor = field(tensor, 3, protowire.AppendVarint(protowire.AppendVarint(nil, uint64(len(values))), 1))
	var behind, typed []byte
	for _, v := range values {
		behind = binary.LittleEndian.AppendUint64(behind, uint64(v)) // #nosec G115 -- bits
		typed = protowire.AppendVarint(typed, uint64(v))             // #nosec G115 -- bits
	}
	m := field(field(nil, 1, []byte(model)), 3, []byte("id-1"))
	if raw {
		return field(field(m, 5, tensor), 7, behind)
	}
	return field(m, 5, field(tensor, 5, field(nil, 3, typed)))
}

// last is the last occurrence of a field.
func last(t *testing.T, message []byte, number protowire.Number) []byte {
	t.Helper()
	var found []byte
	for len(message) > 0 {
		n, kind, k := protowire.ConsumeTag(message)
		require.Positive(t, k)
		message = message[k:]
		k = protowire.ConsumeFieldValue(n, kind, message)
		require.Positive(t, k)
		if n == number {
			found, _ = protowire.ConsumeBytes(message[:k])
		}
		message = message[k:]
	}
	return found
}

func TestModelInfer(t *testing.T) {
	address, s := serve(t, free)
	invoke := dialGRPC(t, address)
	reply, err := invoke(t.Context(), "ModelInfer", inferMessage("m", true, 5, 7, 5))
	require.NoError(t, err)
	require.Equal(t, "id-1", string(last(t, reply, 3)))
	sums := last(t, reply, 6)
	require.Len(t, sums, 24)
	require.Equal(t, sums[:8], sums[16:])
	require.NotEqual(t, sums[:8], sums[8:16])
	one, err := invoke(t.Context(), "ModelInfer", inferMessage("m", true, 7))
	require.NoError(t, err)
	require.Equal(t, sums[8:16], last(t, one, 6))
	typed, err := invoke(t.Context(), "ModelInfer", inferMessage("m", false, 5, 7))
	require.NoError(t, err)
	require.Empty(t, last(t, typed, 6))
	require.NotEmpty(t, last(t, last(t, typed, 5), 5))
	for _, method := range []string{"ServerLive", "ServerReady", "ModelReady", "ServerMetadata"} {
		reply, err := invoke(t.Context(), method, nil)
		require.NoError(t, err)
		require.NotEmpty(t, reply)
	}
	require.Equal(t, uint64(3), s.Stats().Calls)
}

func TestModelInferRefuses(t *testing.T) {
	c := free
	c.MaxItems = 3
	address, s := serve(t, c)
	invoke := dialGRPC(t, address)
	ctx := t.Context()
	for _, tc := range []struct {
		ctx    context.Context //nolint:containedctx // a table's
		method string
		sent   []byte
		code   codes.Code
		says   string
	}{
		{ctx, "ModelInfer", inferMessage("m", true, 1, -666), codes.InvalidArgument, "row 1 is poisoned: -666"},
		{ctx, "ModelInfer", inferMessage("m", false, -667), codes.Internal, "row 0 is poisoned: -667"},
		{ctx, "ModelInfer", inferMessage("m", true, 1, 2, 3, 4), codes.InvalidArgument, "over the maximum of 3"},
		{ctx, "ModelInfer", inferMessage("limited", true, 1), codes.ResourceExhausted, "limit"},
		{ctx, "ModelInfer", inferMessage("unavailable", true, 1), codes.Unavailable, "not there"},
		{ctx, "ModelInfer", nil, codes.InvalidArgument, "inputs: is missing"},
		{ctx, "ModelInfer", []byte("nonsense"), codes.InvalidArgument, ""},
		{ctx, "ModelStatistics", nil, codes.Unimplemented, "no such method"},
		{metadata.AppendToOutgoingContext(ctx, "authorization", standin.Expired), "ModelInfer", nil, codes.Unauthenticated, "expired"},
		{metadata.AppendToOutgoingContext(ctx, "authorization", standin.Forbidden), "ModelInfer", nil, codes.PermissionDenied, "not yours"},
	} {
		_, err := invoke(tc.ctx, tc.method, tc.sent)
		require.Equal(t, tc.code, status.Code(err), "%v", err)
		require.ErrorContains(t, err, tc.says)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, err := invoke(short, "ModelInfer", inferMessage("m", true, -668))
	require.Equal(t, codes.DeadlineExceeded, status.Code(err))
	eventually(t, s, "the call ends", func(st standin.Stats) bool { return st.Hung == 0 && st.Cancelled == 1 && st.Active == 0 })
}

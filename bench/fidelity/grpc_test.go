package fidelity_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fridaymesh/friday/bench/standin"
)

// unspoken: Friday does not speak the protocol at all.
const unspoken does = "unspoken"

// grpcDoes is what Friday does with gRPC's ModelInfer.
const grpcDoes = batches

// bare hands gRPC's messages on as the bytes that they are.
type bare struct{}

func (bare) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (bare) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }
func (bare) Name() string                       { return "proto" }

// inference is a call of gRPC and what goes with it.
type inference struct {
	method   string
	message  []byte
	metadata []string
}

// inferred is what came back.
type inferred struct {
	status          string
	reply           string
	header, trailer metadata.MD
}

func wireBytes(dst []byte, number protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, number, protowire.BytesType), v)
}

func wireNumbers(dst []byte, number protowire.Number, values ...uint64) []byte {
	var packed []byte
	for _, v := range values {
		packed = protowire.AppendVarint(packed, v)
	}
	return wireBytes(dst, number, packed)
}

// inference makes a call: raw or typed rows of FP64, sometimes with a text to each.
func (g *generator) inference() inference {
	n := g.count()
	raw := g.percent(75)
	var behind [][]byte
	tensor := func(name, kind string, width int, typed func() []byte, untyped func() []byte) []byte {
		shape := []uint64{uint64(n)}
		if width > 1 {
			shape = append(shape, uint64(width))
		}
		t := wireNumbers(wireBytes(wireBytes(nil, 1, []byte(name)), 2, []byte(kind)), 3, shape...)
		if raw {
			behind = append(behind, untyped())
			return t
		}
		return wireBytes(t, 5, typed())
	}
	var numbers []byte
	for range 3 * n {
		v := float64(g.IntN(100_000)) / 8
		if g.IntN(3000) == 0 {
			v = -666
		}
		numbers = binary.LittleEndian.AppendUint64(numbers, math.Float64bits(v))
	}
	inputs := [][]byte{tensor("input", "FP64", 3, func() []byte { return wireBytes(nil, 7, numbers) }, func() []byte { return numbers })}
	if g.percent(10) {
		var typed, untyped []byte
		for range n {
			text := fmt.Sprint(one(g, "a", "zwölf", "", "\x00\xff", "b"), g.IntN(1000))
			if g.IntN(200) == 0 {
				text = "poison500"
			}
			typed = wireBytes(typed, 8, []byte(text))
			untyped = append(binary.LittleEndian.AppendUint32(untyped, uint32(len(text))), text...)
		}
		inputs = append(inputs, tensor("words", "BYTES", 1, func() []byte { return typed }, func() []byte { return untyped }))
	}
	m := wireBytes(nil, 1, []byte(g.name(oddities...)))
	if g.percent(5) {
		m = wireBytes(m, 2, []byte("1"))
	}
	if g.percent(60) {
		m = wireBytes(m, 3, []byte(fmt.Sprint("r", g.IntN(1000))))
	}
	for _, t := range inputs {
		m = wireBytes(m, 5, t)
	}
	for _, b := range behind {
		m = wireBytes(m, 7, b)
	}
	c := inference{method: "ModelInfer", message: m}
	switch g.IntN(40) {
	case 0:
		c.message = c.message[:g.IntN(len(c.message))]
	case 1:
		c.message = nil
	case 2:
		c.message = append(c.message, 0xff)
	case 3:
		c.method = one(g, "ServerLive", "ModelReady", "ServerMetadata", "Nothing")
	case 4:
		c.message = wireBytes(c.message, 99, []byte("unknown field"))
	case 5:
		c.metadata = []string{"authorization", one(g, standin.Expired, standin.Forbidden)}
	case 6, 7:
		c.metadata = []string{"authorization", one(g, "Bearer one", "Bearer two")}
	}
	return c
}

// invoke makes a call and keeps all that came back, but for what is the
// connection's.
func invoke(ctx context.Context, cc *grpc.ClientConn, c inference) inferred {
	var reply []byte
	var got inferred
	if len(c.metadata) > 0 {
		ctx = metadata.AppendToOutgoingContext(ctx, c.metadata...)
	}
	err := cc.Invoke(ctx, "/inference.GRPCInferenceService/"+c.method, &c.message, &reply, grpc.Header(&got.header), grpc.Trailer(&got.trailer))
	s := status.Convert(err)
	got.status, got.reply = fmt.Sprintf("%v: %s", s.Code(), s.Message()), byNumber(reply)
	for _, md := range []metadata.MD{got.header, got.trailer} {
		md.Delete("date")
		md.Delete("trailer") // says which trailers may come, not what they are
		md.Delete("content-length")
	}
	return got
}

// byNumber puts a message's fields in the order of their numbers, for their order
// on the wire means nothing
// (https://protobuf.dev/programming-guides/encoding/#order).
func byNumber(message []byte) string {
	type part struct {
		number protowire.Number
		text   string
	}
	var parts []part
	for len(message) > 0 {
		number, _, n := protowire.ConsumeField(message)
		if n < 0 {
			return string(message) + ": is no message"
		}
		parts = append(parts, part{number, string(message[:n])})
		message = message[n:]
	}
	slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(a.number, b.number) })
	var all strings.Builder
	for _, p := range parts {
		all.WriteString(p.text)
	}
	return all.String()
}

func dialGRPC(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(bare{})))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cc.Close()) })
	return cc
}

// TestTheReplyIsTheDirectOne is TestTheAnswerIsTheDirectOne for gRPC: status and
// its message, metadata and trailers, and the reply's bytes.
func TestTheReplyIsTheDirectOne(t *testing.T) {
	t.Parallel()
	g := newGenerator(2275)
	list := make([]inference, requests)
	for i := range list {
		list[i] = g.inference()
	}
	w := newWorld(t, free)
	direct := w.invokeAll(w.direct, list)
	counted := len(w.calls())
	through := w.direct // the test tests itself
	if grpcDoes != unspoken {
		through = w.through
	}
	w.forget()
	w.cost(time.Millisecond, 20*time.Microsecond)
	replies := w.invokeAll(through, list)
	also := len(w.calls())
	for i := range list {
		require.Equal(t, direct[i], replies[i], "call %d: %s %x", i, list[i].method, list[i].message[:min(len(list[i].message), 300)])
	}
	t.Logf("%d calls directly, %d through Friday, largest %d items", counted, also, w.largest())
	if grpcDoes == batches {
		require.Less(t, also, counted, "calls are shared")
	} else {
		require.Equal(t, counted, also)
	}
}

// invokeAll makes all calls, eight at once, over one connection.
func (w *world) invokeAll(address string, list []inference) []inferred {
	w.t.Helper()
	cc := dialGRPC(w.t.(*testing.T), address)
	out := make([]inferred, len(list))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range inFlight {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(list); i = int(next.Add(1)) - 1 {
				ctx, cancel := context.WithTimeout(w.t.Context(), patience)
				out[i] = invoke(ctx, cc, list[i])
				cancel()
			}
		})
	}
	wg.Wait()
	return out
}

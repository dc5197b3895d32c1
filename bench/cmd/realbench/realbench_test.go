package main

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fridaymesh/friday/bench/exposition"
	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/oip"
	"github.com/fridaymesh/friday/bench/questions"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestUsedWrongly(t *testing.T) {
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--server", "vllm"}, 2, `--server: "vllm" is none of llama, mlserver, own, triton`},
		{[]string{"--server", "own", "--model", "m"}, 2, "--server own and --upstream need each other"},
		{[]string{"--upstream", "127.0.0.1:1"}, 2, "--server own and --upstream need each other"},
		{[]string{"--server", "own", "--upstream", "127.0.0.1:1"}, 2, "--server own: --model is needed"},
		{[]string{"--server", "own", "--upstream", "127.0.0.1:1", "--model", "m", "--form", "grpc"}, 2, "--form: own speaks json here"},
		{[]string{"--model", "mlp"}, 2, `--model: "mlp" is none of digits-rf, digits-rf-ab, digits-svc`},
		{[]string{"--form", "binary"}, 2, `--form: mlserver speaks json, grpc here, not "binary"`},
		{[]string{"--ways", "direct,direct"}, 2, `--ways: "direct"`},
		{[]string{"--callers", "8,x"}, 2, `--callers: "x" is no number above 0`},
		{[]string{"--rate", "0"}, 2, `--rate: "0" is no number above 0`},
		{[]string{"--rate", "nan"}, 2, `--rate: "nan"`},
		{[]string{"--rate", "", "--callers", ""}, 2, "neither --callers nor --rate"},
		{[]string{"--rounds", "0"}, 2, "must be above 0"},
		{[]string{"extra"}, 2, `unexpected argument "extra"`},
		{[]string{"--nonsense"}, 2, "-nonsense"},
		{[]string{"--help"}, 0, "-rate"},
		{[]string{"--bin", "/does/not/exist"}, 1, "the program friday is not in /does/not/exist"},
	} {
		var out, errs bytes.Buffer
		require.Equal(t, tc.code, run(tc.args, &out, &errs), "%v", tc.args)
		require.Contains(t, errs.String(), tc.says)
	}
}

// infer is a gRPC server that answers every request with its own first bytes.
func infer(t *testing.T, respond func(ctx context.Context, request []byte) ([]byte, error)) load.Target {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := grpc.NewServer(grpc.ForceServerCodecV2(asItIs{}))
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "inference.GRPCInferenceService",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: "ModelInfer",
			Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				var request []byte
				if err := decode(&request); err != nil {
					return nil, err
				}
				answer, err := respond(ctx, request)
				return &answer, err
			},
		}},
	}, struct{}{})
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		s.Stop()
		require.NoError(t, <-served)
	})
	return load.Target{Address: ln.Addr().String(), Dial: dialGRPC}
}

func TestGRPC(t *testing.T) {
	l, err := questions.Rows(questions.FormGRPC, "m", "x", "", questions.RandomRows(5, 4))
	require.NoError(t, err)
	// A request without requested outputs reads as an answer of the same tensor.
	target := infer(t, func(_ context.Context, request []byte) ([]byte, error) { return request, nil })
	require.NoError(t, l.Learn(t.Context(), target))
	for _, rate := range []float64{0, 500} {
		r, err := load.Run(t.Context(), load.Options{Target: target, Workload: l.Asker(), Concurrency: 3, Requests: 30, Rate: rate})
		require.NoError(t, err)
		require.True(t, r.Clean(), r.Trouble())
		require.Equal(t, uint64(30), r.Requests)
		require.LessOrEqual(t, r.Connections, uint64(3))
	}
}

func TestGRPCFailures(t *testing.T) {
	l, err := questions.Rows(questions.FormGRPC, "m", "x", "", questions.RandomRows(1, 4))
	require.NoError(t, err)
	for kind, respond := range map[string]func(context.Context, []byte) ([]byte, error){
		"InvalidArgument": func(context.Context, []byte) ([]byte, error) { return nil, status.Error(codes.InvalidArgument, "no") },
		"timeout":         func(ctx context.Context, _ []byte) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() },
	} {
		r, err := load.Run(t.Context(), load.Options{
			Target: infer(t, respond), Workload: l.Asker(), Concurrency: 1, Requests: 1, Timeout: 100 * time.Millisecond,
		})
		require.NoError(t, err)
		require.Equal(t, map[string]uint64{kind: 1}, r.Failed, r.Sample)
	}
	r, err := load.Run(t.Context(), load.Options{
		Target: load.Target{Address: "127.0.0.1:1", Dial: dialGRPC}, Workload: l.Asker(), Concurrency: 1, Requests: 1,
	})
	require.NoError(t, err)
	require.Equal(t, map[string]uint64{"connect": 1}, r.Failed)
	_, err = asItIs{}.Marshal("x")
	require.ErrorIs(t, err, errNotBytes)
	require.ErrorIs(t, asItIs{}.Unmarshal(nil, "x"), errNotBytes)
	require.Equal(t, "/inference.GRPCInferenceService/ModelInfer", oip.Method)
}

func TestRow(t *testing.T) {
	result := func(n int) *load.Result {
		r := &load.Result{Elapsed: time.Second}
		for range n {
			r.Requests++
			r.Latency.Add(20 * time.Millisecond)
		}
		return r
	}
	ways := []*way{{name: wayDirect}, {name: wayFriday}, {name: wayDisabled}}
	cells := []*cell{
		{Result: result(50)},
		{Result: result(200), sent: exposition.Batches{Items: 200, Calls: 50}, cpu: 10 * time.Millisecond},
		{Result: result(40)},
	}
	b := &bench{}
	require.Equal(t, []string{"8 callers", "direct", "50.0", "20.0", "20.0", "–", "–", "0", "0", "", "", "–"}, b.row("8 callers", ways, cells, 0))
	require.Equal(t, []string{"8 callers", "friday", "200", "20.0", "20.0", "4.0", "–", "0", "0", "4.00×", "5.00×", "50"}, b.row("8 callers", ways, cells, 1))
	require.Equal(t, []string{"8 callers", "disabled", "40.0", "20.0", "20.0", "–", "–", "0", "0", "0.80×", "", "–"}, b.row("8 callers", ways, cells, 2))
}

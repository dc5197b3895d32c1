package load_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/standin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stand runs a stand-in without cost.
func stand(t testing.TB, c standin.Config) (string, *standin.Server) {
	t.Helper()
	s, err := standin.New(c)
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.NoError(t, <-served)
	})
	return ln.Addr().String(), s
}

// spoil stands between callers and a server and changes answers.
func spoil(t testing.TB, upstream string, change func(path string, answer []byte) []byte) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, _ := http.NewRequestWithContext(r.Context(), r.Method, "http://"+upstream+r.URL.Path, r.Body)
		req.Header = r.Header
		resp, err := client.Do(req)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		body = change(r.URL.Path, body)
		w.WriteHeader(resp.StatusCode)
		if strings.HasSuffix(r.URL.Path, "completions") {
			_ = http.NewResponseController(w).Flush() // so that the answer is chunked
		}
		_, _ = w.Write(body)
	}))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

func workload(t testing.TB, protocol string, items int) load.Workload {
	t.Helper()
	w, err := load.Workloads(protocol, items)
	require.NoError(t, err)
	return w
}

var protocols = []string{"openai", "kserve_v1", "open_inference"}

func TestRightAnswersAreRight(t *testing.T) {
	address, s := stand(t, standin.Config{})
	for _, p := range protocols {
		for _, items := range []int{1, 3} {
			r, err := load.Run(t.Context(), load.Options{
				Target: load.Target{Address: address}, Workload: workload(t, p, items), Concurrency: 4, Requests: 40,
			})
			require.NoError(t, err)
			require.True(t, r.Clean(), "%s: %s", p, r.Trouble())
			require.Empty(t, r.Trouble())
			require.Equal(t, uint64(40), r.Requests)
			require.Equal(t, uint64(40), r.Latency.Count())
			require.LessOrEqual(t, r.Connections, uint64(4))
			require.Positive(t, r.RPS())
		}
	}
	st := s.Stats()
	require.Equal(t, uint64(3*40), st.Batches[1])
	require.Equal(t, uint64(3*40), st.Batches[3])
}

// The answer to somebody else's request has the same form and the same length.
func TestMixedUpAnswersAreWrong(t *testing.T) {
	address, _ := stand(t, standin.Config{})
	for _, p := range protocols {
		for _, items := range []int{1, 2} {
			w := workload(t, p, items)
			var other atomic.Pointer[[]byte]
			spoiled := spoil(t, address, func(_ string, answer []byte) []byte {
				if before := other.Swap(&answer); before != nil {
					return *before
				}
				return answer
			})
			r, err := load.Run(t.Context(), load.Options{
				Target: load.Target{Address: spoiled}, Workload: w, Concurrency: 1, Requests: 10,
			})
			require.NoError(t, err)
			require.Equal(t, uint64(9), r.Wrong, "%s, %d items: all but the first", p, items)
			require.False(t, r.Clean())
			require.Contains(t, r.Trouble(), "9 wrong, first: request 1: ")
		}
	}
}

func TestSpoiledAnswersAreWrong(t *testing.T) {
	address, _ := stand(t, standin.Config{})
	swap := func(from, to string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.Replace(b, []byte(from), []byte(to), 1) }
	}
	for name, tc := range map[string]struct {
		protocol string
		items    int
		change   func([]byte) []byte
	}{
		"not JSON":    {"openai", 1, func(b []byte) []byte { return b[:len(b)-1] }},
		"empty":       {"kserve_v1", 1, func([]byte) []byte { return nil }},
		"other index": {"openai", 1, swap(`"index":0`, `"index":1`)},
		"order": {"openai", 2, func(b []byte) []byte {
			return swap(`"index":9`, `"index":1`)(swap(`"index":1`, `"index":0`)(swap(`"index":0`, `"index":9`)(b)))
		}},
		"a digit":        {"openai", 1, swap(`"embedding":[`, `"embedding":[1`)},
		"other model":    {"openai", 1, swap(`"model":"standin"`, `"model":"other"`)},
		"no usage":       {"openai", 1, swap(`"usage"`, `"usages"`)},
		"usage of 0":     {"openai", 1, swap(`"prompt_tokens":1`, `"prompt_tokens":0`)},
		"one missing":    {"kserve_v1", 2, func(b []byte) []byte { return append(b[:bytes.IndexByte(b, ',')], "]}"...) }},
		"as a float":     {"kserve_v1", 1, swap("]}", ".0]}")},
		"other id":       {"open_inference", 1, swap(`"id":"r`, `"id":"s`)},
		"no id":          {"open_inference", 1, swap(`"id":"r`, `"x":"r`)},
		"other shape":    {"open_inference", 2, swap("[2,1]", "[1,2]")},
		"unknown output": {"open_inference", 1, swap(`"sum"`, `"mus"`)},
	} {
		t.Run(name, func(t *testing.T) {
			spoiled := spoil(t, address, func(_ string, b []byte) []byte { return tc.change(bytes.Clone(b)) })
			r, err := load.Run(t.Context(), load.Options{
				Target: load.Target{Address: spoiled}, Workload: workload(t, tc.protocol, tc.items), Concurrency: 1, Requests: 1,
			})
			require.NoError(t, err)
			require.Equal(t, uint64(1), r.Wrong, "%+v", r)
		})
	}
}

// Usage of a shared batch is shared out, which no caller may count as wrong.
func TestSharesOfUsageAreRight(t *testing.T) {
	address, _ := stand(t, standin.Config{})
	spoiled := spoil(t, address, func(_ string, b []byte) []byte {
		before, _, _ := bytes.Cut(b, []byte(`"usage"`))
		return append(bytes.Clone(before), `"usage": {"total_tokens": 7, "prompt_tokens": 6}, "more": true}`...)
	})
	r, err := load.Run(t.Context(), load.Options{
		Target: load.Target{Address: spoiled}, Workload: workload(t, "openai", 1), Concurrency: 1, Requests: 3,
	})
	require.NoError(t, err)
	require.True(t, r.Clean(), r.Trouble())
}

func TestFailuresByKind(t *testing.T) {
	var calls atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // so that a gone caller is noticed
		switch calls.Add(1) % 4 {
		case 0:
			http.Error(w, "overloaded", http.StatusServiceUnavailable)
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			<-r.Context().Done()
		case 3:
			nc, _, _ := http.NewResponseController(w).Hijack()
			_, _ = nc.Write([]byte("HTTP/1.1 2x0 what\r\n\r\n"))
			_ = nc.Close()
		}
	}))
	defer srv.Close()
	r, err := load.Run(t.Context(), load.Options{
		Target: load.Target{Address: srv.Listener.Addr().String()}, Workload: workload(t, "openai", 1),
		Concurrency: 1, Requests: 8, Timeout: 50 * time.Millisecond,
	})
	require.NoError(t, err)
	require.Equal(t, map[string]uint64{"503": 2, "reset": 2, "timeout": 2, "protocol": 2}, r.Failed, r.Sample)
	require.Equal(t, uint64(8), r.Failures())
	require.Contains(t, r.Trouble(), "no answers, 2 failed (503)")

	r, err = load.Run(t.Context(), load.Options{
		Target: load.Target{Address: "127.0.0.1:1"}, Workload: workload(t, "openai", 1), Concurrency: 1, Requests: 2,
	})
	require.NoError(t, err)
	require.Equal(t, map[string]uint64{"connect": 2}, r.Failed)
}

func TestOpenLoopCountsFromWhenRequestsAreDue(t *testing.T) {
	address, _ := stand(t, standin.Config{Fixed: 20 * time.Millisecond})
	const rate = 200 // four times what the server can do
	r, err := load.Run(t.Context(), load.Options{
		Target: load.Target{Address: address}, Workload: workload(t, "openai", 1),
		Concurrency: 4, Rate: rate, Requests: 40,
	})
	require.NoError(t, err)
	require.True(t, r.Clean(), r.Trouble())
	require.Equal(t, uint64(40), r.Requests)
	// 40 calls of 20 ms take 0.8 s, while the last one was due after about 0.2 s;
	// in a closed loop no answer would take over 4 × 20 ms by the server's doing.
	require.Greater(t, r.Latency.Max(), 300*time.Millisecond)
}

func TestRunEndsWithItsContext(t *testing.T) {
	address, s := stand(t, standin.Config{Fixed: time.Hour})
	for _, rate := range []float64{0, 100} {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan *load.Result, 1)
		w := workload(t, "openai", 1)
		go func() {
			r, err := load.Run(ctx, load.Options{
				Target: load.Target{Address: address}, Workload: w, Concurrency: 2, Duration: time.Hour, Rate: rate,
			})
			assert.NoError(t, err)
			ended <- r
		}()
		require.Eventually(t, func() bool { return s.Stats().Active > 0 }, 10*time.Second, time.Millisecond)
		cancel()
		r := <-ended
		require.Zero(t, r.Failures(), "what the end cut off is no failure: %s", r.Trouble())
		require.Eventually(t, func() bool { return s.Stats().Active == 0 }, 10*time.Second, time.Millisecond)
	}
}

func TestPairedTakesTurns(t *testing.T) {
	address, _ := stand(t, standin.Config{})
	var order []string
	way := func(name string) load.Way {
		return load.Way{
			Name: name, Target: load.Target{Address: address}, Workload: workload(t, "openai", 1),
			Around: func(run func() error) error { order = append(order, name); return run() },
		}
	}
	totals, err := load.Paired(t.Context(), 3, load.Options{Concurrency: 1, Requests: 5}, way("a"), way("b"))
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "b", "a", "a", "b"}, order)
	for _, r := range totals {
		require.Equal(t, uint64(15), r.Requests)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	w := workload(t, "openai", 1)
	for says, o := range map[string]load.Options{
		"Workload: is missing": {Concurrency: 1},
		"Concurrency: 0":       {Workload: w},
		"Rate: -1":             {Workload: w, Concurrency: 1, Rate: -1},
		"neither Duration":     {Workload: w, Concurrency: 1},
	} {
		_, err := load.Run(t.Context(), o)
		require.ErrorContains(t, err, says)
	}
	_, err := load.Workloads("grpc", 1)
	require.EqualError(t, err, `protocol "grpc" is none of kserve_v1, open_inference, openai`)
	_, err = load.Workloads("openai", 0)
	require.ErrorContains(t, err, "items: 0")
}

func TestParseTarget(t *testing.T) {
	for text, due := range map[string]load.Target{
		"127.0.0.1:80":            {Address: "127.0.0.1:80"},
		"http://h":                {Address: "h:80"},
		"http://h:1/a/b/":         {Address: "h:1", Prefix: "/a/b"},
		"http://[::1]:8000/x%20y": {Address: "[::1]:8000", Prefix: "/x%20y"},
	} {
		got, err := load.ParseTarget(text)
		require.NoError(t, err, text)
		require.Equal(t, due, got)
	}
	for _, text := range []string{"https://h", "http://", "http://h?q", "http://u@h", "http://h:1:2", ":80"} {
		_, err := load.ParseTarget(text)
		require.Error(t, err, text)
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"http://h:1/a", "h", "[::1]:3", "://", "http://h\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		target, err := load.ParseTarget(text)
		if err != nil {
			return
		}
		_, _, err = net.SplitHostPort(target.Address)
		require.NoError(t, err)
		require.NotContains(t, target.Prefix+target.Address, "\n")
		require.NotContains(t, target.Prefix, " ")
	})
}

func TestHistogramAgainstSorting(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	var whole, a, b load.Histogram
	require.Zero(t, whole.Quantile(.5))
	require.Zero(t, whole.Mean())
	for i := range 20000 {
		d := time.Duration(random.ExpFloat64() * float64(3*time.Millisecond))
		if i%100 == 0 {
			d = time.Duration(i)
		}
		all = append(all, d)
		whole.Add(d)
		[]*load.Histogram{&a, &b}[i%2].Add(d)
	}
	slices.Sort(all)
	a.Merge(&b)
	a.Merge(&load.Histogram{})
	for _, q := range []float64{0, .01, .5, .9, .99, .999, 1} {
		exact := all[int(q*float64(len(all)-1))]
		require.InEpsilon(t, float64(exact)+1, float64(whole.Quantile(q))+1, 0.008, "q %v", q)
		require.Equal(t, whole.Quantile(q), a.Quantile(q))
	}
	require.Equal(t, all[len(all)-1], whole.Max())
	require.Equal(t, uint64(len(all)), a.Count())
	require.InEpsilon(t, float64(whole.Mean()), float64(a.Mean()), 1e-9)
}

func FuzzHistogram(f *testing.F) {
	for _, v := range []int64{0, 1, 127, 128, 255, 256, 257, 1e9, 1 << 62, -5} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v int64) {
		var h load.Histogram
		h.Add(time.Duration(v))
		h.Add(math.MaxInt64)
		got := h.Quantile(0)
		require.InDelta(t, float64(max(0, v)), float64(got), float64(max(0, v))*0.008)
	})
}

func TestResultAsJSON(t *testing.T) {
	r := &load.Result{Requests: 2, Elapsed: 2 * time.Second, Failed: map[string]uint64{"503": 1}, Sample: "x"}
	r.Latency.Add(time.Millisecond)
	r.Latency.Add(time.Millisecond)
	text, err := json.Marshal(r)
	require.NoError(t, err)
	require.Contains(t, string(text), `"requests":2,"wrong":0,"failed":{"503":1},"rps":1,"mean_ms":1,"p50_ms":1`)
}

func BenchmarkRun(b *testing.B) {
	address, _ := stand(b, standin.Config{})
	b.ReportAllocs()
	r, err := load.Run(b.Context(), load.Options{
		Target: load.Target{Address: address}, Workload: workload(b, "openai", 1), Concurrency: 16, Requests: uint64(b.N),
	})
	require.NoError(b, err)
	require.True(b, r.Clean(), r.Trouble())
}

func BenchmarkHistogramAdd(b *testing.B) {
	var h load.Histogram
	for i := range b.N {
		h.Add(time.Duration(i) * time.Microsecond)
	}
}

func TestChat(t *testing.T) {
	address, _ := stand(t, standin.Config{})
	w := load.Chat{Tokens: 160}
	r, err := load.Run(t.Context(), load.Options{Target: load.Target{Address: address}, Workload: w, Concurrency: 4, Requests: 40})
	require.NoError(t, err)
	require.True(t, r.Clean(), r.Trouble())
	spoiled := spoil(t, address, func(_ string, answer []byte) []byte {
		return bytes.Replace(answer, []byte(` `), []byte(`_`), 1)
	})
	r, err = load.Run(t.Context(), load.Options{Target: load.Target{Address: spoiled}, Workload: w, Concurrency: 1, Requests: 2})
	require.NoError(t, err)
	require.Equal(t, uint64(2), r.Wrong)
}

package batch_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

const (
	teiInfo   = `{"model_id":"e","model_type":{"embedding":{"pooling":"mean"}},"max_client_batch_size":%d}`
	configs   = "/v2/models/m/config"
	metadata  = "/v2/models/m"
	freeShape = `{"name":"m","inputs":[{"name":"a","shape":[-1,2]}]}`
	oneShape  = `{"name":"m","inputs":[{"name":"a","shape":[1,2]}]}`
)

// telling is a server that answers these paths' questions, and no others.
func telling(answers map[string]string) *filtertest.Server {
	s := newServer()
	s.Asked = func(_ context.Context, q filtertest.Call) (*proxy.Response, error) {
		if answer, ok := answers[q.Path]; ok {
			return filtertest.Answer(200, "application/json", answer), nil
		}
		return nil, nil
	}
	return s
}

func embeds(names ...string) []*proxy.Request {
	out := make([]*proxy.Request, len(names))
	for i, name := range names {
		out[i] = filtertest.Request(embedPath, `{"model":"e","input":"`+name+`"}`)
	}
	return out
}

func infers(names ...string) []*proxy.Request {
	out := make([]*proxy.Request, len(names))
	for i, name := range names {
		out[i] = filtertest.Request(inferPath, fmt.Sprintf(`{"inputs":[{"name":"a","shape":[1,2],"datatype":"BYTES","data":["%[1]s","%[1]s"]}]}`, name))
	}
	return out
}

func paths(calls []filtertest.Call) []string {
	var out []string
	for _, c := range calls {
		out = append(out, c.Path)
	}
	return out
}

// limitQuestions are the server's questions about limits.
func limitQuestions(s *filtertest.Server) (out []filtertest.Call) {
	for _, q := range s.Questions() {
		if !strings.HasSuffix(q.Path, "/tokenize") {
			out = append(out, q)
		}
	}
	return out
}

// TestServersLimits: what the server says of its limits is followed.
func TestServersLimits(t *testing.T) {
	for _, test := range []struct {
		name      string
		answers   map[string]string
		make      func(names ...string) []*proxy.Request
		config    string
		sizes     []int // of the calls for six requests
		questions []string
	}{
		{"tei", map[string]string{"/info": fmt.Sprintf(teiInfo, 4)}, embeds, "", []int{4, 2}, []string{"/info"}},
		{"less is configured", map[string]string{"/info": fmt.Sprintf(teiInfo, 4)}, embeds, "max_batch_size {value: 3}", []int{3, 3}, []string{"/info"}},
		{"another's info", map[string]string{"/info": `{"max_client_batch_size":2}`}, embeds, "", []int{6}, []string{"/info"}},
		{"no info", nil, embeds, "", []int{6}, []string{"/info"}},
		{"triton", map[string]string{configs: `{"max_batch_size":2}`, metadata: oneShape}, infers, "", []int{2, 2, 2}, []string{configs}},
		{"triton, not batched", map[string]string{configs: `{"max_batch_size":0}`}, infers, "", []int{1, 1, 1, 1, 1, 1}, []string{configs}},
		{"metadata", map[string]string{metadata: freeShape}, infers, "", []int{6}, []string{configs, metadata}},
		{"metadata, one row", map[string]string{metadata: oneShape}, infers, "", []int{1, 1, 1, 1, 1, 1}, []string{configs, metadata}},
		{"nothing", nil, infers, "", []int{6}, []string{configs, metadata}},
		{"no questions", nil, predicts, "", []int{6}, nil},
		{"gRPC", nil, asking, "", []int{6}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, test.config, telling(test.answers))
				for _, r := range d.behind(test.make("plug")[0], test.make(letters(6)...)...) {
					require.NoError(t, r.err)
					require.Equal(t, 200, r.status)
				}
				require.Equal(t, test.sizes, sizes(d.after()))
				require.Equal(t, test.questions, paths(limitQuestions(d.server)))
			})
		})
	}
}

// TestLargerThanTheServerAllows: a request is cut into what the server takes.
func TestLargerThanTheServerAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", telling(map[string]string{"/info": fmt.Sprintf(teiInfo, 4)}))
		require.NoError(t, call(t.Context(), d, embeds("a")[0]).err)
		r := call(t.Context(), d, filtertest.Request(embedPath, `{"model":"e","input":["a","b","c","d","e","f","g","h","i"]}`))
		require.NoError(t, r.err)
		require.Equal(t, []int{9}, sizes(d.after()), "what the server says to that is its own to say")
		require.Contains(t, r.body, `"index":8,"embedding":[3,105.0]`)

		d.server.Asked = nil
		whole := newDoor(t, "oversize: PASS_THROUGH", telling(map[string]string{"/info": fmt.Sprintf(teiInfo, 2)}))
		require.NoError(t, call(t.Context(), whole, embeds("a")[0]).err)
		require.NoError(t, call(t.Context(), whole, filtertest.Request(embedPath, `{"model":"e","input":["a","b","c"]}`)).err)
		require.Equal(t, []int{3}, sizes(whole.after()))
	})
}

// TestAskedBesideTheRequests: a server that takes its time over a question delays
// nobody, is asked one at a time, and seldom again.
func TestAskedBesideTheRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		var asked []time.Duration
		start := time.Now()
		server.Asked = func(ctx context.Context, _ filtertest.Call) (*proxy.Response, error) {
			asked = append(asked, time.Since(start))
			<-ctx.Done()
			return nil, proxy.AsError(ctx, context.Cause(ctx))
		}
		d := newDoor(t, "", server)
		for range 300 {
			began := time.Now()
			require.NoError(t, call(t.Context(), d, embeds("a")[0]).err)
			require.Equal(t, 10*time.Millisecond, time.Since(began))
			time.Sleep(time.Second - time.Since(began))
		}
		// Two seconds each, and one, two minutes between.
		require.Equal(t, []time.Duration{0, 62 * time.Second, 184 * time.Second}, asked)
	})
}

// TestQuestionEndsWithTheState though the server would never answer it.
func TestQuestionEndsWithTheState(t *testing.T) {
	server := newServer()
	server.Fixed = 0
	began := make(chan struct{})
	server.Asked = func(ctx context.Context, _ filtertest.Call) (*proxy.Response, error) {
		close(began)
		<-ctx.Done()
		return nil, proxy.AsError(ctx, context.Cause(ctx))
	}
	start := time.Now()
	t.Run("until it ends", func(t *testing.T) {
		d := newDoor(t, "", server)
		require.NoError(t, call(t.Context(), d, embeds("a")[0]).err)
		<-began
	})
	require.Less(t, time.Since(start), 2*time.Second)
}

// TestQuestion: what the server sees of one.
func TestQuestion(t *testing.T) {
	for _, test := range []struct{ path, asked string }{
		{inferPath, configs},
		{inferPath + "?a=/v2/models/", configs},
		{"/v2/models/v1/infer", "/v2/models/v1/config"},
		{embedPath, "/info"},
		{"/tenant" + embedPath, "/tenant/info"},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newDoor(t, "", telling(map[string]string{test.asked: `{"max_batch_size":1,` + fmt.Sprintf(teiInfo, 1)[1:]}))
			req := infers("a")[0]
			if strings.Contains(test.path, "embeddings") {
				req = embeds("a")[0]
			}
			req.Header.SetRequestURI(test.path)
			req.Header.Set("AUTHORIZATION", "Bearer x")
			req.Header.Set("X-Other", "o")
			req.Header.Set("X-Friday-Debug", "1")
			req.Endpoint = d.house.Endpoints[0]
			require.NoError(t, call(t.Context(), d, req).err)
			synctest.Wait()
			require.Equal(t, []filtertest.Call{{
				Path: test.asked, Endpoint: "10.0.0.1:80",
				Header: map[string]string{
					"host": "models.example", "authorization": "Bearer x", "accept": "application/json",
					"accept-encoding": "identity", "user-agent": "friday",
				},
			}}, d.server.Questions())
		})
	}
}

// TestUnaskedOverHTTP2: questions are HTTP/1.1's.
func TestUnaskedOverHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", newServer())
		req := embeds("a")[0]
		req.Protocol = "http2"
		require.NoError(t, call(t.Context(), d, req).err)
		synctest.Wait()
		require.Empty(t, d.server.Questions())
		require.NoError(t, call(t.Context(), d, embeds("a")[0]).err)
		synctest.Wait()
		require.Len(t, d.server.Questions(), 1, "but the next of HTTP/1.1 asks")
	})
}

// TestLoadedAnew: a model is asked about again, whatever was said before.
func TestLoadedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := map[string]string{configs: `{"max_batch_size":0}`}
		d := newDoor(t, "", telling(answers))
		round := func() []int {
			from := len(d.server.Calls())
			for _, r := range d.behind(infers("plug")[0], infers(letters(4)...)...) {
				require.NoError(t, r.err)
			}
			return sizes(d.server.Calls()[from+1:])
		}
		require.Equal(t, []int{1, 1, 1, 1}, round())
		require.Equal(t, 5, d.house.Count(t, "friday_batch_dispatch_total", "reason", "unbatchable")+
			d.house.Count(t, "friday_batch_dispatch_total", "reason", "idle"))
		for _, most := range []int{2, 3} {
			answers[configs] = fmt.Sprintf(`{"max_batch_size":%d}`, most)
			time.Sleep(4 * time.Minute)
			before := len(d.server.Questions())
			round()
			require.Len(t, d.server.Questions(), before, "too early")
			time.Sleep(2 * time.Minute)
			require.Equal(t, most, slices.Max(round()))
			require.Len(t, d.server.Questions(), before+1)
		}
	})
}

// TestUselessAnswers to questions change nothing.
func TestUselessAnswers(t *testing.T) {
	for name, answer := range map[string]func() *proxy.Response{
		"too long": func() *proxy.Response {
			return filtertest.Answer(200, "application/json", strings.Repeat(" ", 1<<20)+fmt.Sprintf(teiInfo, 1))
		},
		"status": func() *proxy.Response { return filtertest.Answer(203, "application/json", fmt.Sprintf(teiInfo, 1)) },
		"panic":  func() *proxy.Response { panic("asked") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newServer()
				server.Asked = func(context.Context, filtertest.Call) (*proxy.Response, error) { return answer(), nil }
				d := newDoor(t, "", server)
				for _, r := range d.behind(embeds("plug")[0], embeds("a", "b", "c")...) {
					require.NoError(t, r.err)
				}
				require.Equal(t, []int{3}, sizes(d.after()))
				require.NotEmpty(t, server.Questions())
			})
		})
	}
}

// TestMessageSize: gRPC's servers refuse messages of more than 4 MiB.
func TestMessageSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", newServer())
		requests := asking("a", "b", "c", "d", "e")
		long := strings.Repeat("x", 1500<<10)
		for i := range requests {
			requests[i] = filtertest.GRPCRequest(asks("", long))
		}
		for _, r := range d.behind(asking("plug")[0], requests...) {
			require.NoError(t, r.err)
		}
		require.Equal(t, []int{2, 2, 1}, sizes(d.after()))
		for _, c := range d.after() {
			require.Less(t, len(c.Body), 4<<20)
		}
	})
}

package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

// three is a pipeline of three calls, one after the other.
const three = `pipelines {
	name: "three"
	steps {name: "embed" call {path: "/v1/embeddings" body: '{"input": {{.input.text}}}'}}
	steps {name: "classify" call {path: "/v2/classify" body: '{"vector": {{.steps.embed.vector}}}'}}
	steps {name: "chat" call {path: "/v1/chat" body: '{"messages": [{"content": {{printf "%s is %s" .input.text .steps.classify.label}}}]}'}}
}`

// stages answers the calls of three; each path is counted.
type stages struct {
	mu    sync.Mutex
	calls map[string]int
	// fail is asked before each call; an answer of its own, or an error, takes the place.
	fail func(path string, n int) (*proxy.Response, error)
}

func (s *stages) serve(_ context.Context, path, body string, _ *proxy.Request) (*proxy.Response, error) {
	s.mu.Lock()
	s.calls[path]++
	n := s.calls[path]
	s.mu.Unlock()
	if s.fail != nil {
		if resp, err := s.fail(path, n); resp != nil || err != nil {
			return resp, err
		}
	}
	switch path {
	case "/v1/embeddings":
		return filtertest.Answer(200, "application/json", `{"vector": [0.10, 1e400], "of": `+body+`}`), nil
	case "/v2/classify":
		return filtertest.Answer(200, "application/json", `{"label": "nice", "of": `+body+`}`), nil
	}
	return filtertest.Answer(200, "application/json", `{"answer": `+body+`}`), nil
}

func (s *stages) count(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[path]
}

func newStages(t *testing.T, config string, change ...func(*house)) (*house, *stages) {
	t.Helper()
	s := &stages{calls: map[string]int{}}
	h := newHouse(t, append([]func(*house){func(h *house) { h.config, h.serve = config, s.serve }}, change...)...)
	return h, s
}

func TestAPipelineWhileItsCallerWaits(t *testing.T) {
	h, s := newStages(t, three)
	status, text, head := h.call("POST", "/pipelines/three?x=1", `{"text": "a \"quoted\", text\n"}`)
	require.Equal(t, 200, status, text)
	require.Equal(t, "application/json", head.Get("Content-Type"))
	require.JSONEq(t, `{"answer": {"messages": [{"content": "a \"quoted\", text\n is nice"}]}}`, text)
	require.Equal(t, 1, h.times(`{"vector": [0.10,1e400]}`), "the text of numbers survives")
	require.Equal(t, 1, s.count("/v1/chat"))
	require.Equal(t, 1, h.Count(t, "friday_pipeline_runs_total", "pipeline", "three", "result", "completed"))

	status, _, _ = h.call("POST", "/pipelines/other", `{}`)
	require.Equal(t, 200, status, "what is no pipeline passes")
	require.Equal(t, 1, s.count("/pipelines/other"))
	h.call("GET", "/pipelines/three", "")
	require.Equal(t, 1, s.count("/pipelines/three"), "and what is no POST")
}

func TestAPipelineThatFails(t *testing.T) {
	h, s := newStages(t, three)
	for name, c := range map[string]struct {
		body    string
		fail    func(path string, n int) (*proxy.Response, error)
		status  int
		message string
	}{
		"not JSON": {body: `{`, status: 400, message: `pipeline three, input: not JSON`},
		"nothing":  {body: ``, status: 400, message: `A pipeline needs a body of JSON`},
		"missing":  {body: `{"x": 1}`, status: 400, message: `map has no entry for key \"text\"`},
		"a step": {body: `{"text": "a"}`, status: 429, message: `pipeline three, step classify: the server answered 429: slow down`, fail: func(path string, _ int) (*proxy.Response, error) {
			if path != "/v2/classify" {
				return nil, nil
			}
			resp := filtertest.Answer(429, "text/plain", "slow down")
			resp.Header.Set("Retry-After", "7")
			return resp, nil
		}},
		"no server": {body: `{"text": "a"}`, status: 503, message: `pipeline three, step embed: 503 UF: refused`, fail: func(string, int) (*proxy.Response, error) {
			return nil, &proxy.Error{Status: 503, Flag: proxy.FlagUpstreamConnection, Message: "refused"}
		}},
		"a panic": {body: `{"text": "a"}`, status: 500, message: `panic: of the chain`, fail: func(string, int) (*proxy.Response, error) { panic("of the chain") }},
	} {
		t.Run(name, func(t *testing.T) {
			h.t, s.fail = t, c.fail
			status, text, head := h.call("POST", "/pipelines/three", c.body)
			require.Equal(t, c.status, status, text)
			require.Contains(t, text, c.message)
			if status == 429 {
				require.Equal(t, "7", head.Get("Retry-After"))
				require.Contains(t, text, `"param":"steps.classify"`)
			}
		})
	}
}

// What a caller sends is JSON of its own, whatever it looks like.
func TestATemplateCannotBeBrokenOutOf(t *testing.T) {
	h, _ := newStages(t, three)
	for _, evil := range []string{`"}], "model": "other", "x": [{"y": "`, `{{.input}}`, "\u2028</script>", `\`, "\x00"} {
		status, text, _ := h.call("POST", "/pipelines/three", fmt.Sprintf(`{"text": %s}`, quote(t, evil)))
		require.Equal(t, 200, status, text)
		got := decode(t, text)["answer"].(map[string]any)
		require.Len(t, got, 1)
		require.Equal(t, evil+" is nice", got["messages"].([]any)[0].(map[string]any)["content"])
	}
}

func TestParallelAndSwitch(t *testing.T) {
	const config = `pipelines {
		name: "both"
		steps {name: "ask" parallel {
			steps {name: "one" call {path: "/one" body: '{"n": 1}'}}
			steps {name: "two" call {path: "/two" body: '{"n": {{.input.n}}}'}}
		}}
		steps {name: "pick" switch {
			on: "{{.steps.two.kind}}"
			cases {key: "good" value {steps {name: "thanks" call {path: "/thanks" body: '{"of": {{.steps.one}}}'}}}}
			default {steps {name: "sorry" call {path: "/sorry" body: '{}'}}}
		}}
		output: '{"picked": {{.steps.pick}}, "all": {{len .steps.ask}}, "n": [{{range $i, $v := .input.list}}{{if $i}}, {{end}}{{$v}}{{end}}]}'
	}`
	h, s := newStages(t, config)
	var together atomic.Int32
	met := make(chan struct{})
	h.serve = func(ctx context.Context, path, body string, req *proxy.Request) (*proxy.Response, error) {
		_, _ = s.serve(ctx, path, body, req)
		switch path {
		case "/one", "/two": // each waits for the other
			if together.Add(1)%2 == 0 {
				met <- struct{}{}
			} else {
				select {
				case <-met:
				case <-ctx.Done():
					return nil, context.Cause(ctx)
				}
			}
			kind := "bad"
			if strings.Contains(body, "7") {
				kind = "good"
			}
			return filtertest.Answer(200, "application/json", `{"kind": "`+kind+`"}`), nil
		}
		return filtertest.Answer(200, "application/json", `{"path": "`+path+`"}`), nil
	}
	status, text, _ := h.call("POST", "/pipelines/both", `{"n": 7, "list": ["a", 1.0, null]}`)
	require.Equal(t, 200, status, text)
	require.Equal(t, `{"picked": {"path":"/thanks"}, "all": 2, "n": ["a", 1.0, null]}`, text)
	status, text, _ = h.call("POST", "/pipelines/both", `{"n": 8, "list": []}`)
	require.Equal(t, 200, status, text)
	require.Equal(t, `{"picked": {"path":"/sorry"}, "all": 2, "n": []}`, text)
}

// async begins a run that nobody waits for, and returns where to look for it.
func async(t *testing.T, h *house, body string) string {
	t.Helper()
	status, text, head := h.call("POST", "/pipelines/three", body, "Prefer", "respond-async", "Content-Type", "application/json")
	require.Equal(t, 202, status, text)
	return head.Get("Location")
}

func (h *house) result(location string) (status int, text string) {
	h.t.Helper()
	require.Eventually(h.t, func() bool {
		status, text, _ = h.call("GET", location, "")
		return status != 202
	}, patience, 10*time.Millisecond)
	return status, text
}

// A step that fails is asked again alone: those before it keep their answers.
func TestAStepIsRetriedAlone(t *testing.T) {
	h, s := newStages(t, three)
	s.fail = func(path string, n int) (*proxy.Response, error) {
		switch {
		case path == "/v2/classify" && n < 3:
			return filtertest.Answer(503, "text/plain", "busy"), nil
		case path == "/v1/chat" && n == 1:
			return nil, &proxy.Error{Status: 502, Flag: proxy.FlagUpstreamReset, Message: "reset", Err: errors.New("reset")}
		}
		return nil, nil
	}
	status, text := h.result(async(t, h, `{"text": "b"}`))
	require.Equal(t, 200, status, text)
	require.JSONEq(t, `{"answer": {"messages": [{"content": "b is nice"}]}}`, text)
	require.Equal(t, 1, s.count("/v1/embeddings"))
	require.Equal(t, 3, s.count("/v2/classify"))
	require.Equal(t, 2, s.count("/v1/chat"))
	require.Equal(t, 3, h.Count(t, "friday_job_lines_total", "result", "retried"))
}

func TestARunThatFailsForGood(t *testing.T) {
	h, s := newStages(t, three)
	s.fail = func(path string, _ int) (*proxy.Response, error) {
		if path == "/v2/classify" {
			return filtertest.Answer(400, "application/json", `{"error": "no such label"}`), nil
		}
		return nil, nil
	}
	status, text := h.result(async(t, h, `{"text": "b"}`))
	require.Equal(t, 400, status)
	require.Contains(t, text, `pipeline three, step classify: the server answered 400: {\"error\": \"no such label\"}`)
	require.Equal(t, 1, s.count("/v2/classify"))
}

// The process ends between two steps, and the next goes on with the step that was not
// answered.
func TestARunIsResumedAtItsStep(t *testing.T) {
	h, s := newStages(t, three)
	held := make(chan struct{}, 1)
	h.mu.Lock()
	h.serve = func(ctx context.Context, path, body string, req *proxy.Request) (*proxy.Response, error) {
		if path == "/v2/classify" {
			held <- struct{}{}
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		return s.serve(ctx, path, body, req)
	}
	h.mu.Unlock()
	location := async(t, h, `{"text": "c"}`)
	<-held
	require.NoError(t, h.state.Close())
	h.mu.Lock()
	h.serve = s.serve
	h.mu.Unlock()
	h.start()
	status, text := h.result(location)
	require.Equal(t, 200, status, text)
	require.Equal(t, 1, s.count("/v1/embeddings"))
	require.Equal(t, 1, s.count("/v2/classify"))
	require.Equal(t, 1, s.count("/v1/chat"))

	// Another pipeline of the name begins anew.
	location = async(t, h, `{"text": "d"}`)
	status, _ = h.result(location)
	require.Equal(t, 200, status)
	require.Equal(t, 2, s.count("/v1/embeddings"))
}

// Lines of a batch may be runs.
func TestABatchOfRuns(t *testing.T) {
	h, s := newStages(t, three)
	var file strings.Builder
	for i := range 20 {
		fmt.Fprintf(&file, `{"custom_id": "line-%d", "method": "POST", "url": "/pipelines/three", "body": {"text": "t%d"}}`+"\n", i, i)
	}
	b := h.get("POST", "/v1/batches", fmt.Sprintf(`{"input_file_id": %q, "endpoint": "/pipelines/three", "completion_window": "24h"}`, h.upload(file.String())))
	done := h.await(b["id"].(string), "completed")
	require.Equal(t, [3]string{"20", "20", "0"}, counts(done))
	out := h.content(done["output_file_id"])
	require.Equal(t, map[string]any{"answer": map[string]any{"messages": []any{map[string]any{"content": "t7 is nice"}}}}, out["line-7"]["response"].(map[string]any)["body"])
	require.Equal(t, 20, s.count("/v1/chat"))
}

func quote(t *testing.T, s string) string {
	t.Helper()
	text, err := json.Marshal(s)
	require.NoError(t, err)
	return string(text)
}

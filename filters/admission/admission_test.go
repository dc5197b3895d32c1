package admission_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fridaymesh/friday/filters/admission"
	"github.com/fridaymesh/friday/filters/batch"
	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

const (
	embedPath = "/v1/embeddings"
	embedding = `{"model":"e","input":"a text"}`
)

// door is the filter as a chain would call it, in front of a model server.
type door struct {
	*testing.T

	house  *filtertest.House
	server *filtertest.Server
	proxy.Handler
}

func newDoor(t *testing.T, config string, server *filtertest.Server) *door {
	t.Helper()
	d := &door{T: t, house: filtertest.NewHouse(t, 1), server: server}
	d.build(config)
	return d
}

// build is what a push does.
func (d *door) build(config string) {
	d.Helper()
	d.Handler = proxy.Chain(d.server, d.house.Build(d, admission.Factory{}, config))
}

// answer is what a caller gets.
type answer struct {
	status int
	body   string
	header map[string]string
}

// ask makes a request and reads its answer to the end.
func (d *door) ask(ctx context.Context, req *proxy.Request) answer {
	resp, err := d.Handle(ctx, req)
	if err != nil {
		resp = proxy.AsError(ctx, err).Response()
	}
	a := answer{status: resp.Header.StatusCode(), header: map[string]string{}}
	for k, v := range resp.Header.All() {
		a.header[string(k)] = string(v)
	}
	a.body = filtertest.ReadBody(d, resp)
	return a
}

func (d *door) embed(headers ...string) answer {
	return d.ask(d.Context(), filtertest.Request(embedPath, embedding, headers...))
}

// told is an error in OpenAI's form.
func told(t *testing.T, a answer) (kind, code, message string) {
	t.Helper()
	var e struct {
		Error struct {
			Message, Type string
			Code          *string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &e), a.body)
	require.NotEmpty(t, e.Error.Message)
	if e.Error.Code != nil {
		code = *e.Error.Code
	}
	return e.Error.Type, code, e.Error.Message
}

func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "max_concurrency {value: 1} max_queue: 1", filtertest.NewServer(10, 10*time.Millisecond, 0))
		var wg sync.WaitGroup
		answers := make([]answer, 3)
		for i := range answers {
			wg.Go(func() { answers[i] = d.embed() })
			synctest.Wait() // in this order
		}
		require.Equal(t, 1, d.house.Count(t, "friday_admission_in_flight"))
		require.Equal(t, 1, d.house.Count(t, "friday_admission_queued"))
		require.Equal(t, 1, d.house.Count(t, "friday_admission_concurrency_limit"))
		wg.Wait()
		require.Equal(t, 200, answers[0].status)
		require.Equal(t, 200, answers[1].status)
		require.Equal(t, 503, answers[2].status)
		require.Equal(t, "1", answers[2].header["Retry-After"]+answers[2].header["retry-after"])
		require.Equal(t, "application/json", answers[2].header["Content-Type"]+answers[2].header["content-type"])
		kind, code, _ := told(t, answers[2])
		require.Equal(t, "server_error overloaded", kind+" "+code)
		require.Equal(t, 2, d.house.Count(t, "friday_admission_requests_total", "result", "admitted"))
		require.Equal(t, 1, d.house.Count(t, "friday_admission_requests_total", "result", "full"))
		require.Equal(t, 1, d.house.Count(t, "friday_admission_tenant_requests_total", "tenant", "all", "result", "refused"))
		require.Zero(t, d.house.Metric(t, "friday_admission_in_flight"))
	})
}

func TestACallerThatLeavesWaitsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "max_concurrency {value: 1}", filtertest.NewServer(10, 10*time.Millisecond, 0))
		ctx, leave := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { require.Equal(t, 200, d.embed().status) })
		synctest.Wait()
		wg.Go(func() {
			_, err := d.Handle(ctx, filtertest.Request(embedPath, embedding))
			pe, ok := errors.AsType[*proxy.Error](err)
			require.True(t, ok)
			require.Equal(t, proxy.FlagDownstreamGone, pe.Flag)
		})
		synctest.Wait()
		leave(proxy.ErrCallerGone)
		synctest.Wait()
		require.Zero(t, d.house.Metric(t, "friday_admission_queued"))
		wg.Wait()
		require.Len(t, d.server.Calls(), 1)
		require.Equal(t, 1, d.house.Count(t, "friday_admission_requests_total", "result", "gone"))
	})
}

func TestTheObjective(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "max_concurrency {value: 1} latency_objective {nanos: 50000000}", filtertest.NewServer(10, 10*time.Millisecond, 0))
		for range 40 { // so that it knows what an answer takes
			require.Equal(t, 200, d.embed().status)
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		count := map[int]int{}
		start := time.Now()
		for range 20 {
			wg.Go(func() {
				a := d.embed()
				mu.Lock()
				defer mu.Unlock()
				count[a.status]++
				if a.status == 200 {
					require.LessOrEqual(t, time.Since(start), 50*time.Millisecond)
				}
			})
		}
		wg.Wait()
		require.GreaterOrEqual(t, count[200], 3)
		require.Equal(t, 20, count[200]+count[503])
		require.Equal(t, count[503], d.house.Count(t, "friday_admission_requests_total", "result", "late"))
	})
}

func TestLimitsAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const config = "requests_per_minute: 2 tenant_header: 'X-Tenant'"
		d := newDoor(t, config, filtertest.NewServer(10, 0, 0))
		a := d.embed("x-tenant", "a")
		require.Equal(t, 200, a.status)
		require.Equal(t, "2", a.header["x-ratelimit-limit-requests"])
		require.Equal(t, "1", a.header["x-ratelimit-remaining-requests"])
		require.Equal(t, "30s", a.header["x-ratelimit-reset-requests"])
		require.NotContains(t, a.header, "x-ratelimit-limit-tokens")
		d.build(config) // a push does not fill it up
		require.Equal(t, 200, d.embed("X-Tenant", "a").status)
		a = d.embed("x-tenant", "a")
		require.Equal(t, 429, a.status)
		require.Equal(t, "30", a.header["Retry-After"]+a.header["retry-after"])
		require.Equal(t, "0", a.header["x-ratelimit-remaining-requests"])
		require.Equal(t, "1m0s", a.header["x-ratelimit-reset-requests"])
		kind, code, message := told(t, a)
		require.Equal(t, "requests rate_limit_exceeded", kind+" "+code)
		require.Equal(t, "Rate limit reached for a on requests per min: Limit 2, Requested 1. Please try again in 30s.", message)
		require.Equal(t, 200, d.embed("x-tenant", "b").status, "another's")
		time.Sleep(30 * time.Second)
		require.Equal(t, 200, d.embed("x-tenant", "a").status, "as was said")
	})
}

func TestTokensAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "tokens_per_minute: 1000", filtertest.NewServer(10, 0, 0))
		chat := func(body string) answer {
			return d.ask(t.Context(), filtertest.Request("/v1/chat/completions", body))
		}
		require.NotEqual(t, 429, chat(`{"max_tokens":400,"n":2}`).status)
		a := chat(`{"max_tokens":400}`)
		require.Equal(t, 429, a.status)
		kind, _, _ := told(t, a)
		require.Equal(t, "tokens", kind)
		require.Equal(t, "194", a.header["x-ratelimit-remaining-tokens"], "800 and a fourth of 24 bytes")
		a = chat(`{"max_completion_tokens":5000}`)
		require.Equal(t, 429, a.status)
		require.Empty(t, a.header["Retry-After"]+a.header["retry-after"], "waiting would not do")
		require.Equal(t, 200, d.embed().status)
		get := filtertest.Request("/v1/models", "")
		get.Header.SetMethod("GET")
		require.NotEqual(t, 429, d.ask(t.Context(), get).status)
	})
}

func TestAPIKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "keys")
		write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
		write("acme " + hashOf("sk-1") + "\nbig " + hashOf("sk-2") + " requests_per_minute=1\n")
		d := newDoor(t, "key_file: '"+file+"'", filtertest.NewServer(10, 0, 0))

		a := d.embed()
		require.Equal(t, 401, a.status)
		require.Equal(t, "Bearer", a.header["Www-Authenticate"]+a.header["www-authenticate"])
		kind, code, _ := told(t, a)
		require.Equal(t, "invalid_request_error ", kind+" "+code)
		a = d.embed("Authorization", "Bearer sk-9")
		require.Equal(t, 401, a.status)
		_, code, _ = told(t, a)
		require.Equal(t, "invalid_api_key", code)
		require.NotContains(t, a.body, "sk-9")

		require.Equal(t, 200, d.embed("authorization", "bearer sk-1").status)
		require.Equal(t, 200, d.embed("X-Api-Key", "sk-1").status)
		require.Equal(t, 200, d.embed("api-key", "sk-1").status)
		require.Equal(t, 200, d.embed("Authorization", "Bearer sk-2").status)
		require.Equal(t, 429, d.embed("Authorization", "Bearer sk-2").status)
		require.Equal(t, 3, d.house.Count(t, "friday_admission_tenant_requests_total", "tenant", "acme"))

		write("acme " + hashOf("sk-3") + "\n")
		time.Sleep(2 * time.Second)
		require.Equal(t, 401, d.embed("Authorization", "Bearer sk-1").status, "it was withdrawn")
		require.Equal(t, 200, d.embed("Authorization", "Bearer sk-3").status)
		write("not a key file at all\n")
		time.Sleep(2 * time.Second)
		require.Equal(t, 200, d.embed("Authorization", "Bearer sk-3").status, "the keys stay as they were")
		require.Equal(t, 1, d.house.Count(t, "friday_admission_key_file_reads_total", "result", "failed"))
		require.NoError(t, os.Remove(file))
		time.Sleep(2 * time.Second)
		require.Equal(t, 200, d.embed("Authorization", "Bearer sk-3").status)
	})
}

func TestTenantsWithSecretsAreHashed(t *testing.T) {
	d := newDoor(t, "tenant_header: 'Authorization' requests_per_minute: 1", filtertest.NewServer(10, 0, 0))
	require.Equal(t, 200, d.embed("Authorization", "Bearer sk-1").status)
	a := d.embed("Authorization", "Bearer sk-1")
	require.Equal(t, 429, a.status)
	require.NotContains(t, a.body, "sk-1")
	require.Contains(t, a.body, "sha256-")
	require.Zero(t, d.house.Metric(t, "friday_admission_tenant_requests_total", "tenant", "Bearer sk-1"))
}

// stream is a body that ends when it is told to.
type stream struct {
	proxy.Body

	end chan struct{}
}

func (s *stream) Read(p []byte) (int, error) {
	<-s.end
	return s.Body.Read(p)
}

func (s *stream) Len() int64 { return -1 }

func TestAStreamIsInFlightUntilItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "max_concurrency {value: 1}", filtertest.NewServer(10, 0, 0))
		end := make(chan struct{})
		d.server.Before = func(context.Context, filtertest.Call) (*proxy.Response, error) {
			resp := filtertest.Answer(200, "text/event-stream", "data: x\n\n")
			resp.Body = &stream{resp.Body, end}
			return resp, nil
		}
		for _, finish := range []func(*proxy.Response){
			func(r *proxy.Response) { close(end); require.Equal(t, "data: x\n\n", filtertest.ReadBody(t, r)) },
			func(r *proxy.Response) { require.NoError(t, r.Close()) },
		} {
			resp, err := d.Handle(t.Context(), filtertest.Request("/v1/chat/completions", `{"stream":true}`))
			require.NoError(t, err)
			require.Equal(t, 1, d.house.Count(t, "friday_admission_in_flight"))
			finish(resp)
			require.Zero(t, d.house.Metric(t, "friday_admission_in_flight"))
		}
	})
}

func TestWhatPasses(t *testing.T) {
	for name, change := range map[string]func(d *door, r *proxy.Request){
		"disabled":       func(d *door, _ *proxy.Request) { d.build("disabled: true key_file: '/nowhere'") },
		"a health check": func(_ *door, r *proxy.Request) { r.HealthCheck = true },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t, "requests_per_minute: 1", filtertest.NewServer(10, 0, 0))
			require.Equal(t, 200, d.embed().status)
			for range 3 {
				r := filtertest.Request(embedPath, embedding)
				change(d, r)
				require.Equal(t, 200, d.ask(t.Context(), r).status)
			}
		})
	}
}

// TestWhatTheBatcherHasLearned: what is told of a call's usual time reaches the gate.
func TestWhatTheBatcherHasLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", filtertest.NewServer(1, 10*time.Millisecond, time.Millisecond))
		d.Handler = proxy.Chain(d.server, d.house.Build(t, admission.Factory{}, ""), d.house.Build(t, batch.Factory{}, ""))
		var last *proxy.Request
		for range 8 {
			last = filtertest.Request(embedPath, embedding)
			require.Equal(t, 200, d.ask(t.Context(), last).status)
		}
		require.InDelta(t, 11*time.Millisecond, last.Trace.Expected, float64(time.Millisecond))
	})
}

package models

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/filters/models/modelstest"
	"github.com/fridaymesh/friday/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a filter before a server, in the time of testing/synctest.
type rig struct {
	t      *testing.T
	house  *filtertest.House
	server *modelstest.Server
	next   proxy.Handler
	filter atomic.Pointer[filter]
}

// within runs do in virtual time, with a filter of the configuration text.
func within(t *testing.T, server *modelstest.Server, text string, do func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, server)
		r.push(text)
		do(r)
	})
}

func newRig(t *testing.T, server *modelstest.Server) *rig {
	t.Helper()
	if server.API == "" {
		server.API = modelstest.OpenInference
	}
	r := &rig{t: t, house: filtertest.NewHouse(t, 1), server: server, next: modelstest.Handler(server)}
	r.house.Endpoints[0].Handler = r.next
	return r
}

// push puts a configuration in force.
func (r *rig) push(text string) {
	r.t.Helper()
	c, err := Factory{}.Parse(filtertest.Any(r.t, Factory{}, text))
	require.NoError(r.t, err)
	r.house.Push(r.t, func(env proxy.Env) {
		f, err := Factory{}.BuildFor(filtertest.Cluster, c, env)
		require.NoError(r.t, err)
		if own, is := f.(*filter); is {
			r.filter.Store(own)
		}
	})
	synctest.Wait()
}

func (r *rig) fleet() *fleet { return r.filter.Load().fleet }

// ask sends a request for a model and says what became of it: its status, and the body.
func (r *rig) ask(ctx context.Context, path, body string) (status int, answer string, err *proxy.Error) {
	req := filtertest.Request(path, body)
	resp, failed := r.filter.Load().Handle(ctx, req, r.next)
	if failed != nil {
		pe := proxy.AsError(ctx, failed)
		return pe.Status, pe.Message, pe
	}
	return resp.Header.StatusCode(), filtertest.ReadBody(r.t, resp), nil
}

func infer(model string) string { return "/v2/models/" + model + "/infer" }

// ok asks and needs an answer.
func (r *rig) ok(model string) string {
	r.t.Helper()
	status, answer, _ := r.ask(r.t.Context(), infer(model), model)
	require.Equal(r.t, 200, status, answer)
	return answer
}

// state is what is known of the version of a model that serves or is to.
func (r *rig) state(model string) proxy.ModelStatus {
	r.t.Helper()
	synctest.Wait()
	var last proxy.ModelStatus
	for _, s := range r.fleet().status() {
		if s.Model == model && !last.Serving {
			last = s // those that are going come first
		}
	}
	return last
}

// version is what is known of a version.
func (r *rig) version(model, version string) proxy.ModelStatus {
	r.t.Helper()
	synctest.Wait()
	for _, s := range r.fleet().status() {
		if s.Model == model && s.Version == version {
			return s
		}
	}
	return proxy.ModelStatus{State: "gone"}
}

// many asks n times at once and counts the statuses.
func (r *rig) many(n int, path string) map[int]int {
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := map[int]int{}
	for i := range n {
		wg.Go(func() {
			body := fmt.Sprintf(`{"n":%d}`, i)
			status, answer, _ := r.ask(r.t.Context(), path, body)
			if status == 200 && !strings.Contains(answer, fmt.Sprintf(`{\"n\":%d}`, i)) {
				status = -1 // another's answer
			}
			mu.Lock()
			defer mu.Unlock()
			got[status]++
		})
	}
	wg.Wait()
	return got
}

const ms = time.Millisecond

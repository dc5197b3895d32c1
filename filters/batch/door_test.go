package batch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fridaymesh/friday/filters/batch"
	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	predictPath = "/v1/models/m:predict"
	embedPath   = "/v1/embeddings"
	inferPath   = "/v2/models/m/infer"
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
	house := filtertest.NewHouse(t, 1)
	return &door{t, house, server, chain(t, house, config, server)}
}

func chain(tb testing.TB, house *filtertest.House, config string, next proxy.Handler) proxy.Handler {
	tb.Helper()
	return proxy.Chain(next, house.Build(tb, batch.Factory{}, config))
}

// result is what a caller got.
type result struct {
	status  int
	body    string
	header  map[string]string
	trailer map[string]string // nil: none
	err     error
	req     *proxy.Request
}

// call makes one call and reads its answer.
func call(ctx context.Context, h proxy.Handler, req *proxy.Request) result {
	resp, err := h.Handle(ctx, req)
	if err != nil {
		return result{err: err, req: req}
	}
	r := result{status: resp.Header.StatusCode(), header: map[string]string{}, req: req}
	for k, v := range resp.Header.All() {
		r.header[strings.ToLower(string(k))] = string(v)
	}
	var body strings.Builder
	buf := make([]byte, 512)
	for {
		n, err := resp.Body.Read(buf)
		body.Write(buf[:n])
		if err != nil {
			break
		}
	}
	r.body = body.String()
	if t := resp.Body.Trailer(); t != nil {
		r.trailer = map[string]string{}
		for k, v := range proxy.TrailerFields(t) {
			r.trailer[string(k)] = string(v)
		}
	}
	r.err = resp.Close()
	return r
}

// instances is a KServe V1 request of so many instances, whose texts begin with
// name.
func instances(name string, n int) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(`{"x":"%s-%d","n":9007199254740993}`, name, i)
	}
	return `{"instances":[` + strings.Join(items, ",") + `]}`
}

// echoes is the answer to instances.
func echoes(name string, n int) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(`{"echo":{"x":"%s-%d","n":9007199254740993}}`, name, i)
	}
	return `{"predictions":[` + strings.Join(items, ",") + `]}`
}

// together makes all requests at the same moment, while the only slot is held, so
// that they meet in the queue, and returns their results in order.
func (d *door) together(requests ...*proxy.Request) []result {
	d.Helper()
	return d.behind(filtertest.Request(predictPath, instances("plug", 1)), requests...)
}

// behind is together for requests whose group plug is of.
func (d *door) behind(plug *proxy.Request, requests ...*proxy.Request) []result {
	d.Helper()
	results := make([]result, len(requests))
	var wg sync.WaitGroup
	wg.Go(func() {
		r := call(d.Context(), d, plug)
		require.NoError(d, r.err)
	})
	time.Sleep(time.Millisecond) // virtual: the plug is on its way
	for i, req := range requests {
		wg.Go(func() { results[i] = call(d.Context(), d, req) })
		time.Sleep(time.Microsecond) // virtual: in this order
	}
	wg.Wait()
	return results
}

// after are the calls that the server got after the plug.
func (d *door) after() []filtertest.Call { return d.server.Calls()[1:] }

func predicts(names ...string) []*proxy.Request {
	out := make([]*proxy.Request, len(names))
	for i, name := range names {
		out[i] = filtertest.Request(predictPath, instances(name, 1))
	}
	return out
}

func letters(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("c%02d", i)
	}
	return out
}

func sizes(calls []filtertest.Call) []int {
	out := make([]int, len(calls))
	for i, c := range calls {
		out[i] = len(c.Items)
	}
	return out
}

func requireJSON(tb testing.TB, text string) {
	tb.Helper()
	require.True(tb, json.Valid([]byte(text)), text)
}

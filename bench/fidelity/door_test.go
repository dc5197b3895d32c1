// Package fidelity_test sends requests to a stand-in directly and through a
// Friday that runs in this process behind a real socket, with the resources that
// the flags of "friday proxy --upstream" make, and compares.
package fidelity_test

import (
	"context"
	"flag"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fridaymesh/friday/bench/standin"
	"github.com/fridaymesh/friday/filters/standard"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/server"
	batchv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/batch/v1"
	"github.com/fridaymesh/friday/xds/bootstrap"
	"github.com/fridaymesh/friday/xds/resource"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Most of what is tested here waits for a slow server.
	_ = flag.Set("test.parallel", "6")
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// world is a stand-in and a Friday in front of it.
type world struct {
	*standin.Server

	t      testing.TB
	friday *server.Server
	// direct and through are where callers go, host:port.
	direct, through string

	mu   sync.Mutex
	seen []standin.Request
}

// setting changes what the flags made.
type setting func(*bootstrap.Flags, *batchv1.Batch)

func timeout(d time.Duration) setting {
	return func(f *bootstrap.Flags, _ *batchv1.Batch) { f.Timeout = d }
}

func maxBatch(n uint32) setting {
	return func(_ *bootstrap.Flags, b *batchv1.Batch) { b.MaxBatchSize = wrapperspb.UInt32(n) }
}

func maxDelay(d time.Duration) setting {
	return func(_ *bootstrap.Flags, b *batchv1.Batch) { b.MaxQueueDelay = durationpb.New(d) }
}

func maxInFlight(n uint32) setting {
	return func(_ *bootstrap.Flags, b *batchv1.Batch) { b.MaxInFlight = wrapperspb.UInt32(n) }
}

func maxQueued(n uint32) setting {
	return func(_ *bootstrap.Flags, b *batchv1.Batch) { b.MaxQueuedItems = wrapperspb.UInt32(n) }
}

func passOversize(_ *bootstrap.Flags, b *batchv1.Batch) { b.Oversize = batchv1.Batch_PASS_THROUGH }

// newWorld starts both; they end with the test.
func newWorld(t testing.TB, c standin.Config, settings ...setting) *world {
	t.Helper()
	w := &world{t: t}
	c.Observe = func(r standin.Request) {
		if r.Method != "POST" || strings.HasSuffix(r.URI, "/tokenize") {
			return // asked about the model, not of it
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.seen = append(w.seen, r)
	}
	s, err := standin.New(c)
	require.NoError(t, err)
	w.Server = s
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w.direct = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.NoError(t, <-served)
	})
	w.friday = newFriday(t, resources(t, w.direct, settings...))
	w.through = w.friday.Addresses()["inbound"]
	return w
}

// newFriday starts one with a configuration.
func newFriday(t testing.TB, r *config.Resources) *server.Server {
	t.Helper()
	f, err := server.New(server.Options{Log: zap.NewNop(), Access: zap.NewNop(), DrainTimeout: time.Second})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	require.NoError(t, f.Apply(r))
	return f
}

// resources are those of "friday proxy --upstream", with settings.
func resources(t testing.TB, upstream string, settings ...setting) *config.Resources {
	t.Helper()
	return compiled(t, source(t, upstream, settings...))
}

// source is their bootstrap.
func source(t testing.TB, upstream string, settings ...setting) *bootstrapv3.Bootstrap {
	t.Helper()
	flags := bootstrap.Flags{Upstream: upstream, Listen: "127.0.0.1:0", NodeID: "fidelity"}
	batch := &batchv1.Batch{}
	for _, set := range settings {
		set(&flags, batch)
	}
	src, err := flags.Bootstrap(t.Context())
	require.NoError(t, err)
	setBatch(t, src, batch)
	return src
}

func compiled(t testing.TB, src *bootstrapv3.Bootstrap) *config.Resources {
	t.Helper()
	b, err := bootstrap.Compile(src, &resource.Parser{Registry: standard.Registry()})
	require.NoError(t, err)
	return b.Static
}

// setBatch puts the batcher's configuration in the place of its defaults.
func setBatch(t testing.TB, b *bootstrapv3.Bootstrap, batch *batchv1.Batch) {
	t.Helper()
	filter := b.GetStaticResources().GetListeners()[0].GetFilterChains()[0].GetFilters()[0]
	hcm := &hcmv3.HttpConnectionManager{}
	require.NoError(t, filter.GetTypedConfig().UnmarshalTo(hcm))
	for _, f := range hcm.GetHttpFilters() {
		if f.GetName() != "friday.filters.http.batch" {
			continue
		}
		a, err := anypb.New(batch)
		require.NoError(t, err)
		f.ConfigType = &hcmv3.HttpFilter_TypedConfig{TypedConfig: a}
	}
	a, err := anypb.New(hcm)
	require.NoError(t, err)
	filter.GetTypedConfig().Value = a.GetValue()
}

// calls are the POSTs that the stand-in has seen so far.
func (w *world) calls() []standin.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]standin.Request(nil), w.seen...)
}

// forget empties calls.
func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = nil
}

// holding counts the calls whose body holds text.
func (w *world) holding(text string) int {
	n := 0
	for _, c := range w.calls() {
		if strings.Contains(string(c.Body), text) {
			n++
		}
	}
	return n
}

// largest is the most items of any call so far.
func (w *world) largest() int {
	most := 0
	for size := range w.Stats().Batches {
		most = max(most, size)
	}
	return most
}

// cost changes what calls cost from now on.
func (w *world) cost(fixed, perItem time.Duration) {
	w.t.Helper()
	require.NoError(w.t, w.SetCost(standin.Cost{Accelerators: w.Cost().Accelerators, Fixed: fixed, PerItem: perItem}))
}

// eventually waits for what others are about to bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, patience, time.Millisecond, what)
}

// all asks every request over a connection of its own, at the same time, and
// returns the answers in order.
func all(ctx context.Context, t testing.TB, address string, requests ...*request) []*answer {
	t.Helper()
	answers := make([]*answer, len(requests))
	var wg sync.WaitGroup
	for i, r := range requests {
		wg.Go(func() {
			c := newCaller(t, address)
			defer c.close()
			answers[i] = c.ask(ctx, r)
		})
	}
	wg.Wait()
	return answers
}

package pushes_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/filters"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/xds/xdstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keeper is a filter with memory, which counts how often that is made and let go
// of.
type keeper struct{ made, closed atomic.Int64 }

func (k *keeper) TypeURL() string                                { return "type.googleapis.com/google.protobuf.StringValue" }
func (k *keeper) Parse(a *anypb.Any) (proxy.FilterConfig, error) { return a.String(), nil }
func (k *keeper) Close() error                                   { k.closed.Add(1); return nil }
func (k *keeper) Build(_ proxy.FilterConfig, env proxy.Env) (proxy.Filter, error) {
	_, err := env.Keep("memory", func() (io.Closer, error) { k.made.Add(1); return k, nil })
	return passing{}, err
}

type passing struct{}

func (passing) Handle(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	return next.Handle(ctx, req)
}

// configuration is number n of a series in which every kind of resource changes:
// endpoints come and go, traffic shifts to another cluster and back, a listener is
// there and is not, timeouts change. The answer to /version is n.
func configuration(t *testing.T, n int, listen, more string, servers []string) []proto.Message {
	routes := xdstest.Routes("r", []string{"blue", "green"}[n/2%2])
	vh := routes.GetVirtualHosts()[0]
	vh.GetRoutes()[0].GetRoute().Timeout = durationpb.New(time.Duration(30+n%3) * time.Second)
	vh.Routes = append([]*routev3.Route{
		{
			Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: "/version"}},
			Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
				Status: 200, Body: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: strconv.Itoa(n)}},
			}},
		},
		{
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/steady"}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: "steady"}}},
		},
	}, vh.Routes...)
	out := []proto.Message{
		routes,
		xdstest.Cluster("steady"), xdstest.Endpoints(t, "steady", servers[0]),
		xdstest.Listener(t, "in", listen, "r", xdstest.Filter(t, "keeper", wrapperspb.String("x"))),
	}
	blue, green := servers[:1+n%2], servers[1:]
	if n/2%2 == 0 || n%4 == 3 {
		out = append(out, xdstest.Cluster("blue"), xdstest.Endpoints(t, "blue", blue...))
	}
	if n/2%2 == 1 || n%4 == 1 {
		out = append(out, xdstest.Cluster("green"), xdstest.Endpoints(t, "green", green...))
	}
	if n%5 == 0 {
		out = append(out, xdstest.InlineListener(t, "more", more, xdstest.Routes("i", "steady")))
	}
	return out
}

// Every update reaches the data plane, no request fails while they do, and what has
// memory keeps it: in the manner of go-control-plane's integration tests, over ADS
// of both variants.
func TestUpdatesUnderLoad(t *testing.T) {
	for name, delta := range map[string]bool{"ads": false, "delta-ads": true} {
		t.Run(name, func(t *testing.T) { updates(t, delta) })
	}
}

func updates(t *testing.T, delta bool) {
	var servers []string
	for range 2 {
		up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
		t.Cleanup(up.Close)
		servers = append(servers, strings.TrimPrefix(up.URL, "http://"))
	}
	addresses, err := process.FreeAddresses(0, 0)
	require.NoError(t, err)
	listen, more := addresses[0], addresses[1]
	cp := xdstest.New(t)
	cp.Set(configuration(t, 0, listen, more, servers)...)
	memory := new(keeper)
	p := newPlane(t, cp.Addr(), delta, filters.NewRegistry(memory))
	require.Eventually(t, p.c.Ready, patience, time.Millisecond)

	const callers = 4
	var wg sync.WaitGroup
	var sent, failed atomic.Int64
	var first atomic.Pointer[string]
	stop := make(chan struct{})
	for i := range callers {
		wg.Go(func() {
			tr := new(http.Transport)
			defer tr.CloseIdleConnections()
			client := &http.Client{Transport: tr, Timeout: patience}
			path := []string{"/", "/steady"}[i%2]
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				want := fmt.Sprint(i, " ", n)
				got, err := post(client, "http://"+listen+path, want)
				sent.Add(1)
				if err != nil || got != want {
					failed.Add(1)
					what := fmt.Sprintf("%q, %v", got, err)
					first.CompareAndSwap(nil, &what)
				}
			}
		})
	}
	tr := new(http.Transport)
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, Timeout: patience}
	for n := 1; n <= 100; n++ {
		before := sent.Load()
		cp.Set(configuration(t, n, listen, more, servers)...)
		require.Eventually(t, func() bool {
			got, err := post(client, "http://"+listen+"/version", "")
			return err == nil && got == strconv.Itoa(n) && sent.Load() > before
		}, patience, time.Millisecond, "update %d", n)
	}
	close(stop)
	wg.Wait()
	if what := first.Load(); what != nil {
		t.Log("first failure: " + *what)
	}
	require.Zero(t, failed.Load(), "of %d requests", sent.Load())
	require.EqualValues(t, 1, memory.made.Load(), "what a filter keeps is kept")
	require.Zero(t, memory.closed.Load())
	opened := testutil.ToFloat64(p.s.Metrics().UpstreamConnections.WithLabelValues("steady"))
	require.LessOrEqual(t, opened, float64(callers), "the pool of a cluster that does not change survives")
	t.Logf("%d requests, %.0f connections of the steady cluster", sent.Load(), opened)
}

func post(client *http.Client, url, body string) (string, error) {
	resp, err := client.Post(url, "text/plain", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err == nil && resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d: %s", resp.StatusCode, b)
	}
	return string(b), err
}

package config

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/router"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tagFactory makes filters that note their configuration in a header of the
// answer, and that keep something.
type tagFactory struct{ kept map[string]*keptThing }

type tagConfig struct{ tag, keep string }

type keptThing struct{ closed int }

func (k *keptThing) Close() error { k.closed++; return nil }

func (tagFactory) TypeURL() string                              { return "type.googleapis.com/test.Tag" }
func (tagFactory) Parse(*anypb.Any) (proxy.FilterConfig, error) { return nil, errors.New("unused") }

func (f tagFactory) Build(c proxy.FilterConfig, env proxy.Env) (proxy.Filter, error) {
	tc := c.(*tagConfig)
	if tc.tag == "bad" {
		return nil, errors.New("cannot")
	}
	if tc.keep != "" {
		k, err := env.Keep(tc.keep, func() (io.Closer, error) { return new(keptThing), nil })
		if err != nil {
			return nil, err
		}
		f.kept[tc.keep] = k.(*keptThing)
	}
	return tag(tc.tag), nil
}

type tag string

func (t tag) Handle(ctx context.Context, req *proxy.Request, next proxy.Handler) (*proxy.Response, error) {
	resp, err := next.Handle(ctx, req)
	if err == nil {
		resp.Header.Add("x-tag", string(t))
	}
	return resp, err
}

func request(t testing.TB, uri string) *proxy.Request {
	t.Helper()
	h := new(fasthttp.RequestHeader)
	require.NoError(t, h.Read(bufio.NewReader(strings.NewReader("GET "+uri+" HTTP/1.1\r\nHost: h\r\n\r\n"))))
	return &proxy.Request{Header: h, Body: proxy.NoBody}
}

func builder() *Builder { return NewBuilder(zap.NewNop(), prometheus.NewRegistry(), Defaults{}) }

func listener(filters []Filter, routes ...*Route) *Listener {
	return &Listener{Name: "in", Address: "127.0.0.1:1", Default: &FilterChain{HTTP: &HTTP{
		Filters: filters,
		Table:   &RouteTable{Name: "t", VirtualHosts: []*VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: routes}}},
	}}}
}

func direct(prefix string) *Route {
	return &Route{Match: router.Match{Prefix: prefix}, Direct: &DirectResponse{Status: 200}}
}

func tags(t *testing.T, snap *Snapshot, uri string) string {
	t.Helper()
	resp, err := snap.Listeners["in"].Default.HTTP.Handle(t.Context(), request(t, uri))
	require.NoError(t, err)
	defer resp.Close()
	var out []string
	for _, v := range resp.Header.PeekAll("x-tag") {
		out = append(out, string(v))
	}
	slices.Reverse(out) // the outermost wrote last
	return strings.Join(out, " ")
}

func TestMostSpecificOverrideWins(t *testing.T) {
	f := tagFactory{}
	filters := []Filter{
		{Name: "a", Factory: f, Config: &tagConfig{tag: "a"}},
		{Name: "b", Factory: f, Config: &tagConfig{tag: "b"}},
		{Name: "c", Factory: f, Config: &tagConfig{tag: "c"}, Disabled: true},
	}
	other, off, on := direct("/other"), direct("/off"), direct("/on")
	other.Overrides = map[string]Override{"a": {Config: &tagConfig{tag: "route-a"}}}
	off.Overrides = map[string]Override{"b": {Disabled: true}}
	on.Overrides = map[string]Override{"c": {}}
	l := listener(filters, other, off, on, direct("/"))
	l.Default.HTTP.Table.VirtualHosts[0].Overrides = map[string]Override{"a": {Config: &tagConfig{tag: "host-a"}}}
	c, err := builder().Build(&Resources{Listeners: []*Listener{l}})
	require.NoError(t, err)
	defer c.Abort()
	require.Equal(t, "route-a b", tags(t, c.Snapshot, "/other"))
	require.Equal(t, "host-a", tags(t, c.Snapshot, "/off"))
	require.Equal(t, "host-a b c", tags(t, c.Snapshot, "/on"))
	require.Equal(t, "host-a b", tags(t, c.Snapshot, "/"))
}

func TestWhatIsKept(t *testing.T) {
	f := tagFactory{kept: map[string]*keptThing{}}
	with := func(keep string) *Resources {
		return &Resources{Listeners: []*Listener{listener([]Filter{{Name: "a", Factory: f, Config: &tagConfig{keep: keep}}}, direct("/"))}}
	}
	b := builder()
	c, err := b.Build(with("x"))
	require.NoError(t, err)
	c.Commit()
	x := f.kept["x"]

	c, err = b.Build(with("x"))
	require.NoError(t, err)
	c.Commit()
	require.Same(t, x, f.kept["x"])
	require.Zero(t, x.closed)

	c, err = b.Build(with("y")) // not taken after all
	require.NoError(t, err)
	c.Abort()
	require.Equal(t, 1, f.kept["y"].closed)
	require.Zero(t, x.closed)

	c, err = b.Build(with("z"))
	require.NoError(t, err)
	c.Commit()
	require.Equal(t, 1, x.closed)
	b.Close()
	require.Equal(t, 1, f.kept["z"].closed)
}

func TestClustersAreKept(t *testing.T) {
	with := func(names ...string) *Resources {
		r := &Resources{}
		for _, n := range names {
			r.Clusters = append(r.Clusters, &cluster.Config{Name: n, Endpoints: []cluster.EndpointConfig{{Address: "127.0.0.1:1"}}})
		}
		return r
	}
	b := builder()
	c, err := b.Build(with("a", "b"))
	require.NoError(t, err)
	c.Commit()
	a := b.Living()["a"]
	endpoint := a.Endpoints()[0]
	c, err = b.Build(with("a"))
	require.NoError(t, err)
	c.Commit()
	require.Same(t, a, b.Living()["a"])
	require.Same(t, endpoint, b.Living()["a"].Endpoints()[0])
	require.Equal(t, []string{"a"}, slices.Collect(maps.Keys(b.Living())))
	b.Close()
}

func TestWeights(t *testing.T) {
	r := &Route{Match: router.Match{Prefix: "/"}, Clusters: []WeightedCluster{{Name: "a", Weight: 9}, {Name: "b", Weight: 1}, {Name: "c", Weight: 0}}}
	c, err := builder().Build(&Resources{Listeners: []*Listener{listener(nil, r)}})
	require.NoError(t, err)
	defer c.Abort()
	count := map[string]int{}
	for range 10000 {
		req := request(t, "/")
		_, err := c.Snapshot.Listeners["in"].Default.HTTP.Handle(t.Context(), req)
		var pe *proxy.Error
		require.ErrorAs(t, err, &pe) // there are no such clusters
		require.Equal(t, proxy.FlagNoCluster, pe.Flag)
		count[req.Cluster]++
	}
	require.InDelta(t, 9000, count["a"], 200)
	require.Zero(t, count["c"])
}

func TestRefusals(t *testing.T) {
	f := tagFactory{}
	for name, tc := range map[string]struct {
		change func(r *Resources)
		want   string
	}{
		"filter":       {func(r *Resources) { r.Listeners[0].Default.HTTP.Filters[0].Config = &tagConfig{tag: "bad"} }, `listener "in": route table "t": virtual host "all": routes[0]: filter "a": cannot`},
		"two clusters": {func(r *Resources) { r.Clusters = append(r.Clusters, r.Clusters[0]) }, `cluster "c": defined twice`},
		"two listeners": {func(r *Resources) {
			l := *r.Listeners[0]
			l.Address = "127.0.0.1:2"
			r.Listeners = append(r.Listeners, &l)
		}, `listener "in": defined twice`},
		"same address": {func(r *Resources) { l := *r.Listeners[0]; l.Name = "in2"; r.Listeners = append(r.Listeners, &l) }, `listener "in2": address 127.0.0.1:1: listener "in" has it already`},
		"bad port":     {func(r *Resources) { r.Listeners[0].Address = "127.0.0.1:99999" }, `port "99999": must be 0 to 65535`},
		"no table": {func(r *Resources) {
			r.Listeners[0].Default.HTTP.Table = nil
			r.Listeners[0].Default.HTTP.RouteName = "rds"
		}, `listener "in": route table "rds": not found`},
		"no action":       {func(r *Resources) { r.Listeners[0].Default.HTTP.Table.VirtualHosts[0].Routes[0].Direct = nil }, "routes[0]: exactly one of a cluster, a direct response and a redirect is needed"},
		"direct status":   {func(r *Resources) { r.Listeners[0].Default.HTTP.Table.VirtualHosts[0].Routes[0].Direct.Status = 99 }, "status 99: must be 200 to 599"},
		"no domains":      {func(r *Resources) { r.Listeners[0].Default.HTTP.Table.VirtualHosts[0].Domains = nil }, `route table "t"`},
		"nothing matched": {func(r *Resources) { r.Listeners[0].Default.HTTP.Table.VirtualHosts[0].Routes[0].Match = router.Match{} }, `route table "t"`},
		"zero weights": {func(r *Resources) {
			rt := r.Listeners[0].Default.HTTP.Table.VirtualHosts[0].Routes[0]
			rt.Direct, rt.Clusters = nil, []WeightedCluster{{Name: "a"}, {Name: "b"}}
		}, "the sum of the weights is 0"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Resources{
				Clusters:  []*cluster.Config{{Name: "c"}},
				Listeners: []*Listener{listener([]Filter{{Name: "a", Factory: f, Config: &tagConfig{}}}, direct("/"))},
			}
			tc.change(r)
			_, err := builder().Build(r)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestTimeoutOfTheBody(t *testing.T) {
	r := direct("/")
	r.Timeout = time.Millisecond
	slow := Filter{Name: "slow", Factory: slowFactory{}, Config: &tagConfig{}}
	c, err := builder().Build(&Resources{Listeners: []*Listener{listener([]Filter{slow}, r)}})
	require.NoError(t, err)
	defer c.Abort()
	resp, err := c.Snapshot.Listeners["in"].Default.HTTP.Handle(t.Context(), request(t, "/"))
	require.NoError(t, err)
	_, err = io.ReadAll(resp.Body)
	var pe *proxy.Error
	require.ErrorAs(t, err, &pe)
	require.Equal(t, 504, pe.Status)
	require.NoError(t, resp.Close())
}

// slowFactory makes filters whose answers end when the request's context does.
type slowFactory struct{ tagFactory }

func (slowFactory) Build(proxy.FilterConfig, proxy.Env) (proxy.Filter, error) { return slow{}, nil }

type slow struct{}

func (slow) Handle(ctx context.Context, _ *proxy.Request, _ proxy.Handler) (*proxy.Response, error) {
	r := proxy.NewResponse()
	r.Body = &slowBody{Body: proxy.NoBody, ctx: ctx}
	return r, nil
}

type slowBody struct {
	proxy.Body

	ctx context.Context //nolint:containedctx // the body's own
}

func (b *slowBody) Len() int64 { return -1 }

func (b *slowBody) Read([]byte) (int, error) {
	<-b.ctx.Done()
	return 0, fmt.Errorf("read: %w", b.ctx.Err())
}

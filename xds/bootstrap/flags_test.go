package bootstrap_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/xds/bootstrap"
)

func compile(t *testing.T, f bootstrap.Flags) *bootstrap.Bootstrap {
	t.Helper()
	b, err := f.Bootstrap(t.Context())
	require.NoError(t, err)
	got, err := bootstrap.Compile(b, parser())
	require.NoError(t, err)

	// What flags mean can be written to a file and means the same there.
	data, err := protojson.Marshal(b)
	require.NoError(t, err)
	again, err := bootstrap.Decode(data)
	require.NoError(t, err)
	require.True(t, proto.Equal(b, again))
	return got
}

func TestUpstreamFlags(t *testing.T) {
	t.Parallel()
	got := compile(t, bootstrap.Flags{Upstream: "127.0.0.1:8000", Admin: "127.0.0.1:19000", NodeID: "me"})
	require.Nil(t, got.ADS)
	require.Equal(t, "me", got.Node.GetId())
	require.Equal(t, "127.0.0.1:19000", got.AdminAddress)
	require.Equal(t, []*cluster.Config{{Name: "upstream", Endpoints: []cluster.EndpointConfig{{Address: "127.0.0.1:8000", Weight: 1}}}}, got.Static.Clusters)
	require.Len(t, got.Static.Listeners, 1)
	l := got.Static.Listeners[0]
	require.Equal(t, "inbound", l.Name)
	require.Equal(t, "0.0.0.0:19080", l.Address)
	require.Equal(t, []string{"friday.filters.http.batch", "friday.filters.http.stream"}, []string{l.Chains[0].HTTP.Filters[0].Name, l.Chains[0].HTTP.Filters[1].Name})
	route := l.Chains[0].HTTP.Table.VirtualHosts[0].Routes[0]
	require.Equal(t, "/", route.Match.Prefix)
	require.Zero(t, route.Timeout, "none, and not Envoy's 15 s")
	require.Equal(t, []config.WeightedCluster{{Name: "upstream", Weight: 1}}, route.Clusters)
}

// The n-th address leads to the n-th server.
func TestSeveralUpstreams(t *testing.T) {
	t.Parallel()
	got := compile(t, bootstrap.Flags{Upstream: "127.0.0.1:8000,127.0.0.1:8001", Listen: "127.0.0.1:19080,127.0.0.1:19081", NodeID: "me"})
	require.Len(t, got.Static.Listeners, 2)
	for i, want := range []struct{ listener, address, cluster, server string }{
		{"inbound", "127.0.0.1:19080", "upstream", "127.0.0.1:8000"}, {"inbound-2", "127.0.0.1:19081", "upstream-2", "127.0.0.1:8001"},
	} {
		l, c := got.Static.Listeners[i], got.Static.Clusters[i]
		require.Equal(t, want.listener+want.address, l.Name+l.Address)
		require.Equal(t, want.cluster+want.server, c.Name+c.Endpoints[0].Address)
		require.Equal(t, want.cluster, l.Chains[0].HTTP.Table.VirtualHosts[0].Routes[0].Clusters[0].Name)
	}
}

func TestUpstreamForms(t *testing.T) {
	t.Parallel()
	for upstream, want := range map[string]string{
		"localhost:8000":         "127.0.0.1:8000",
		"http://127.0.0.1:8000":  "127.0.0.1:8000",
		"HTTP://127.0.0.1:8000/": "127.0.0.1:8000",
		"http://127.0.0.1":       "127.0.0.1:80",
		"http://[::1]":           "[::1]:80",
		"[::1]:8000":             "[::1]:8000",
	} {
		got := compile(t, bootstrap.Flags{Upstream: upstream, Listen: ":0", Timeout: time.Minute})
		require.Equal(t, want, got.Static.Clusters[0].Endpoints[0].Address, upstream)
		require.Len(t, got.Static.Clusters[0].Endpoints, 1, upstream)
		require.Contains(t, []string{"[::]:0", "0.0.0.0:0"}, got.Static.Listeners[0].Address, "all addresses that the system has")
		require.Equal(t, time.Minute, got.Static.Listeners[0].Chains[0].HTTP.Table.VirtualHosts[0].Routes[0].Timeout)
		require.NotEmpty(t, got.Node.GetId(), "the host's name")
	}
}

func TestControlPlaneFlags(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"fridayd.models:19010", "127.0.0.1:19010", "[::1]:19010"} {
		got := compile(t, bootstrap.Flags{XDS: target, NodeID: "me", NodeCluster: "embed"})
		require.Equal(t, []string{target}, uris(got.ADS.Targets))
		require.Equal(t, "embed", got.Node.GetCluster())
		require.Empty(t, got.Static.Listeners)
		require.Empty(t, got.Static.Clusters)
	}
}

func TestFlagsErrors(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]bootstrap.Flags{
		`one of --upstream, --xds, --config and --mode redirect is needed`:       {},
		`--upstream and --xds exclude each other`:                                {Upstream: "a:1", XDS: "b:1"},
		`--listen ":1": must have an address for each of --upstream "a:1,b:1"`:   {Upstream: "a:1,b:1", Listen: ":1"},
		`--upstream "x": not host:port`:                                          {Upstream: "x"},
		`--upstream "x:y": port "y": not a number of 0 to 65535`:                 {Upstream: "x:y"},
		`--upstream ":1": the host is missing`:                                   {Upstream: ":1"},
		`--upstream "x:0": port 0: not a port to connect to`:                     {Upstream: "x:0"},
		`--upstream "127.0.0.1:19080": that is where --listen 0.0.0.0:19080`:     {Upstream: "127.0.0.1:19080"},
		`--upstream "10.0.0.1:80": that is where --listen 10.0.0.1:80 listens`:   {Upstream: "10.0.0.1:80", Listen: "10.0.0.1:80"},
		`--upstream "ftp://x:1": scheme "ftp": neither http nor https`:           {Upstream: "ftp://x:1"},
		`--upstream "http://x:1/v1": path "/v1": not supported`:                  {Upstream: "http://x:1/v1"},
		`--upstream "http://u:p@x:1": credentials are not supported`:             {Upstream: "http://u:p@x:1"},
		`--upstream "no.such.host.invalid:1": cannot be resolved: lookup`:        {Upstream: "no.such.host.invalid:1"},
		`--listen "x": not host:port`:                                            {Upstream: "127.0.0.1:1", Listen: "x"},
		`--listen "models:1": the host is not an IP address`:                     {Upstream: "127.0.0.1:1", Listen: "models:1"},
		`--admin "127.0.0.1:70000": port "70000": not a number of 0 to 65535`:    {Upstream: "127.0.0.1:1", Admin: "127.0.0.1:70000"},
		`--timeout -1s: must not be negative`:                                    {Upstream: "127.0.0.1:1", Timeout: -time.Second},
		`--listen ":1": the control plane says what to listen on`:                {XDS: "127.0.0.1:1", Listen: ":1"},
		`--timeout 1s: the control plane says how long`:                          {XDS: "127.0.0.1:1", Timeout: time.Second},
		`--xds "https://x:1": write HOST:PORT; --xds-ca has it spoken to in TLS`: {XDS: "https://x:1"},
		`--xds "x": not host:port`:                                               {XDS: "x"},
	} {
		_, err := f.Bootstrap(t.Context())
		require.Error(t, err, want)
		require.True(t, strings.HasPrefix(err.Error(), want), err.Error())
	}
}

// Connections that the kernel redirects go on to where they were meant to go: HTTP
// through the filters, everything else as bytes; what was not redirected is refused.
func TestRedirectFlags(t *testing.T) {
	t.Parallel()
	got := compile(t, bootstrap.Flags{Mode: bootstrap.ModeRedirect, Upstream: "127.0.0.1:8000", Listen: "0.0.0.0:19081", Timeout: time.Minute, Hold: 10 * time.Second, NodeID: "me"})
	require.Len(t, got.Static.Clusters, 1)
	require.Equal(t, cluster.OriginalDestination, got.Static.Clusters[0].Discovery)
	require.Empty(t, got.Static.Clusters[0].Endpoints, "the upstream is asked only whether it is ready")
	l := got.Static.Listeners[0]
	require.Equal(t, "0.0.0.0:19081", l.Address)
	require.True(t, l.Inspect.OriginalDst)
	require.True(t, l.Inspect.GoOn)
	require.NotNil(t, l.Inspect.HTTP)
	require.Len(t, l.Chains, 3)
	direct, http, bytes := l.Chains[0], l.Chains[1], l.Chains[2]
	require.EqualValues(t, 19081, direct.Match.Port)
	require.Equal(t, []string{"http/1.0", "http/1.1", "h2c"}, http.Match.Protocols)
	require.Len(t, http.HTTP.Filters, 2)
	route := http.HTTP.Table.VirtualHosts[0].Routes[0]
	require.Equal(t, time.Minute, route.Timeout)
	require.EqualValues(t, 200, route.Forward.Retry.Times, "of 50 ms each on average")
	require.True(t, bytes.Match.Any())
	require.NotNil(t, bytes.TCP)

	got = compile(t, bootstrap.Flags{Mode: bootstrap.ModeRedirect, NodeID: "me"})
	require.Contains(t, []string{"[::]:19080", "0.0.0.0:19080"}, got.Static.Listeners[0].Address)
}

func TestRedirectFlagsErrors(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]bootstrap.Flags{
		`--mode "sideways": neither port nor redirect`:                                          {Mode: "sideways", Upstream: "127.0.0.1:1"},
		`--mode redirect and --xds exclude each other`:                                          {Mode: bootstrap.ModeRedirect, XDS: "b:1"},
		`--upstream "https://x:1": https is not supported with --mode redirect`:                 {Mode: bootstrap.ModeRedirect, Upstream: "https://x:1"},
		`--upstream "x": not host:port`:                                                         {Mode: bootstrap.ModeRedirect, Upstream: "x"},
		`--listen "127.0.0.1:0": with --mode redirect the port must be the one that friday red`: {Mode: bootstrap.ModeRedirect, Listen: "127.0.0.1:0"},
		`--listen "x": not host:port`:                                                           {Mode: bootstrap.ModeRedirect, Listen: "x"},
		`--hold-timeout -1s: must be 0 to 24h0m0s`:                                              {Upstream: "127.0.0.1:1", Hold: -time.Second},
		`--hold-timeout 25h0m0s: must be 0 to 24h0m0s`:                                          {Upstream: "127.0.0.1:1", Hold: 25 * time.Hour},
		`--hold-timeout 1s: the control plane says how long`:                                    {XDS: "127.0.0.1:1", Hold: time.Second},
	} {
		_, err := f.Bootstrap(t.Context())
		require.Error(t, err, want)
		require.True(t, strings.HasPrefix(err.Error(), want), err.Error())
	}
}

package admin_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/admin"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// process is what stands behind the door.
type process struct {
	reason  atomic.Pointer[string] // nil: ready
	dump    proto.Message
	dumpErr error
	metrics *telemetry.Metrics
	level   zap.AtomicLevel

	mu   sync.Mutex
	done []string
}

func (p *process) note(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = append(p.done, what)
}

func (p *process) noted() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

func start(t *testing.T, public bool) (*process, string) {
	t.Helper()
	reg := prometheus.NewRegistry()
	p := &process{metrics: telemetry.New(reg), level: zap.NewAtomicLevel(), dump: &adminv3.ConfigDump{}}
	o := admin.Options{
		State: func() (bool, string) {
			if r := p.reason.Load(); r != nil {
				return false, *r
			}
			return true, ""
		},
		ConfigDump: func() (proto.Message, error) { return p.dump, p.dumpErr },
		Clusters: func() []admin.ClusterStatus {
			return []admin.ClusterStatus{
				{Name: "llm", AddedByAPI: true, Limits: []admin.Number{{Name: "default_priority::max_requests", Value: 1024}}, Outlier: []admin.Rate{{Name: "success_rate_average", Value: 99.5}}, Endpoints: []admin.EndpointStatus{
					{Address: "10.0.0.1:8000", Hostname: "h", Healthy: true, Flags: "healthy", Weight: 2, Active: 3, Total: 40, Succeeded: 36, Failed: 4, TimedOut: 1, NotReached: 2, Priority: 1, Region: "r", Zone: "z", SubZone: "s", Canary: true, SuccessRate: 90, LocalSuccessRate: -1},
					{Address: "[::1]:8000", Flags: "/failed_active_hc/failed_eds_health", Active: 0, Total: 1, SuccessRate: -1, LocalSuccessRate: -1, Connections: &admin.ConnectionStatus{Active: 5, Total: 6}},
				}},
				{Name: "<script>alert(1)</script>"},
			}
		},
		Drain: func(graceful bool) {
			if graceful {
				p.note("drain gracefully")
			} else {
				p.note("drain")
			}
		},
		Quit:   func() { p.note("quit") },
		Models: func() []proxy.ModelStatus { return nil },
		Purge: func(model string) int {
			p.note("purge " + model)
			return 7
		},
		Registry: reg,
		Level:    p.level,
		Info: admin.Info{
			Version: "v1.2.3", Started: time.Now().Add(-90 * time.Second), NodeID: "n1", NodeCluster: "nc",
			CommandLine: map[string]string{"listen": ":19080"},
		},
	}
	h := admin.New(o)
	if public {
		h = admin.Public(o)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return p, s.URL
}

func call(t *testing.T, method, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp, string(b)
}

func TestReady(t *testing.T) {
	p, url := start(t, false)
	resp, body := call(t, "GET", url+"/ready")
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "LIVE\n", body)
	for _, reason := range []string{"PRE_INITIALIZING: waiting for configuration", "DRAINING"} {
		p.reason.Store(&reason)
		resp, body = call(t, "GET", url+"/ready")
		require.Equal(t, 503, resp.StatusCode)
		require.Equal(t, reason+"\n", body)
		resp, body = call(t, "GET", url+"/live")
		require.Equal(t, 200, resp.StatusCode)
		require.Equal(t, "LIVE\n", body)
	}
}

func TestPurge(t *testing.T) {
	p, url := start(t, false)
	for query, want := range map[string]string{"": "purge ", "?model=a%2Fb": "purge a/b"} {
		resp, body := call(t, "POST", url+"/cache/purge"+query)
		require.Equal(t, 200, resp.StatusCode)
		require.Equal(t, "purged 7\n", body)
		require.Contains(t, p.noted(), want)
	}
	for _, query := range []string{"?model=", "?cluster=a"} {
		resp, _ := call(t, "POST", url+"/cache/purge"+query)
		require.Equal(t, 400, resp.StatusCode)
	}
	resp, _ := call(t, "GET", url+"/cache/purge")
	require.Equal(t, 405, resp.StatusCode)
	require.Len(t, p.noted(), 2)
}

func TestMetrics(t *testing.T) {
	p, url := start(t, false)
	p.metrics.UpstreamRetries.WithLabelValues("llm", "connect-failure").Add(3)
	for _, path := range []string{"/metrics", "/stats/prometheus", "/stats?format=prometheus"} {
		resp, body := call(t, "GET", url+path)
		require.Equal(t, 200, resp.StatusCode)
		require.Contains(t, resp.Header.Get("Content-Type"), "text/plain; version=0.0.4")
		require.Contains(t, body, `friday_upstream_retries_total{cluster="llm",reason="connect-failure"} 3`)
	}
}

func TestStats(t *testing.T) {
	p, url := start(t, false)
	p.metrics.UpstreamRetries.WithLabelValues("llm", "connect-failure").Add(3)
	p.metrics.UpstreamOpen.WithLabelValues("llm").Set(2)
	p.metrics.BatchSize.WithLabelValues("llm", "m").Observe(4)
	want := []string{
		`friday_batch_size_count{cluster="llm",model="m"}: 1`,
		`friday_batch_size_sum{cluster="llm",model="m"}: 4`,
		`friday_upstream_connections_open{cluster="llm"}: 2`,
		`friday_upstream_retries_total{cluster="llm",reason="connect-failure"}: 3`,
		"",
	}
	_, body := call(t, "GET", url+"/stats")
	require.Equal(t, strings.Join(want, "\n"), body)
	_, body = call(t, "GET", url+"/stats?filter=_sum")
	require.Equal(t, want[1]+"\n", body)
	for _, query := range []string{"filter=(", "format=xml"} {
		resp, _ := call(t, "GET", url+"/stats?"+query)
		require.Equal(t, 400, resp.StatusCode)
	}
}

func TestConfigDump(t *testing.T) {
	p, url := start(t, false)
	pack := func(m proto.Message) *anypb.Any {
		a, err := anypb.New(m)
		require.NoError(t, err)
		return a
	}
	p.dump = &adminv3.ConfigDump{Configs: []*anypb.Any{
		pack(&adminv3.ClustersConfigDump{VersionInfo: "7"}),
		pack(&adminv3.ListenersConfigDump{
			VersionInfo: "8",
			DynamicListeners: []*adminv3.ListenersConfigDump_DynamicListener{
				{Name: "inference", ActiveState: &adminv3.ListenersConfigDump_DynamicListenerState{Listener: pack(&listenerv3.Listener{Name: "inference"})}},
			},
		}),
	}}
	resp, body := call(t, "GET", url+"/config_dump")
	require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
	require.JSONEq(t, `{"configs":[{"@type":"type.googleapis.com/envoy.admin.v3.ClustersConfigDump","version_info":"7"},
		{"@type":"type.googleapis.com/envoy.admin.v3.ListenersConfigDump","version_info":"8","dynamic_listeners":[{"name":"inference",
		"active_state":{"listener":{"@type":"type.googleapis.com/envoy.config.listener.v3.Listener","name":"inference"}}}]}]}`, body)

	_, body = call(t, "GET", url+"/config_dump?resource=dynamic_listeners")
	require.JSONEq(t, `{"configs":[{"@type":"type.googleapis.com/envoy.admin.v3.ListenersConfigDump.DynamicListener","name":"inference",
		"active_state":{"listener":{"@type":"type.googleapis.com/envoy.config.listener.v3.Listener","name":"inference"}}}]}`, body)
	_, body = call(t, "GET", url+"/config_dump?resource=static_clusters")
	require.JSONEq(t, `{}`, body)
	for _, field := range []string{"nothing", "version_info"} {
		resp, _ = call(t, "GET", url+"/config_dump?resource="+field)
		require.Equal(t, 400, resp.StatusCode, field)
	}

	p.dump = &listenerv3.Listener{}
	resp, _ = call(t, "GET", url+"/config_dump?resource=dynamic_listeners")
	require.Equal(t, 400, resp.StatusCode)
	p.dump = &adminv3.ConfigDump{Configs: []*anypb.Any{{TypeUrl: "type.googleapis.com/unknown.Type"}}}
	resp, _ = call(t, "GET", url+"/config_dump")
	require.Equal(t, 500, resp.StatusCode)
	p.dumpErr = errors.New("no configuration yet")
	resp, body = call(t, "GET", url+"/config_dump")
	require.Equal(t, 500, resp.StatusCode)
	require.Equal(t, "no configuration yet\n", body)
}

func TestClusters(t *testing.T) {
	_, url := start(t, false)
	_, body := call(t, "GET", url+"/clusters")
	require.Equal(t, `llm::observability_name::llm
llm::default_priority::max_requests::1024
llm::outlier::success_rate_average::99.5
llm::added_via_api::true
llm::10.0.0.1:8000::cx_connect_fail::2
llm::10.0.0.1:8000::rq_active::3
llm::10.0.0.1:8000::rq_error::4
llm::10.0.0.1:8000::rq_success::36
llm::10.0.0.1:8000::rq_timeout::1
llm::10.0.0.1:8000::rq_total::40
llm::10.0.0.1:8000::hostname::h
llm::10.0.0.1:8000::health_flags::healthy
llm::10.0.0.1:8000::weight::2
llm::10.0.0.1:8000::region::r
llm::10.0.0.1:8000::zone::z
llm::10.0.0.1:8000::sub_zone::s
llm::10.0.0.1:8000::canary::true
llm::10.0.0.1:8000::priority::1
llm::10.0.0.1:8000::success_rate::90
llm::10.0.0.1:8000::local_origin_success_rate::-1
llm::[::1]:8000::cx_active::5
llm::[::1]:8000::cx_connect_fail::0
llm::[::1]:8000::cx_total::6
llm::[::1]:8000::rq_active::0
llm::[::1]:8000::rq_error::0
llm::[::1]:8000::rq_success::0
llm::[::1]:8000::rq_timeout::0
llm::[::1]:8000::rq_total::1
llm::[::1]:8000::hostname::
llm::[::1]:8000::health_flags::/failed_active_hc/failed_eds_health
llm::[::1]:8000::weight::1
llm::[::1]:8000::region::
llm::[::1]:8000::zone::
llm::[::1]:8000::sub_zone::
llm::[::1]:8000::canary::false
llm::[::1]:8000::priority::0
llm::[::1]:8000::success_rate::-1
llm::[::1]:8000::local_origin_success_rate::-1
<script>alert(1)</script>::observability_name::<script>alert(1)</script>
<script>alert(1)</script>::added_via_api::false
`, body)

	resp, body := call(t, "GET", url+"/clusters?format=json")
	require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
	// Envoy's own type takes it.
	var envoy adminv3.Clusters
	require.NoError(t, protojson.Unmarshal([]byte(body), &envoy))
	require.Equal(t, "llm", envoy.GetClusterStatuses()[0].GetName())
	hosts := envoy.GetClusterStatuses()[0].GetHostStatuses()
	require.Equal(t, "10.0.0.1", hosts[0].GetAddress().GetSocketAddress().GetAddress())
	require.EqualValues(t, 8000, hosts[0].GetAddress().GetSocketAddress().GetPortValue())
	require.Equal(t, "::1", hosts[1].GetAddress().GetSocketAddress().GetAddress())
	require.Equal(t, "UNHEALTHY", hosts[1].GetHealthStatus().GetEdsHealthStatus().String())
	require.True(t, hosts[1].GetHealthStatus().GetFailedActiveHealthCheck())
	require.Equal(t, "z", hosts[0].GetLocality().GetZone())
	require.EqualValues(t, 1, hosts[0].GetPriority())
	require.Equal(t, "rq_total", hosts[0].GetStats()[5].GetName())
	require.EqualValues(t, 40, hosts[0].GetStats()[5].GetValue())

	resp, _ = call(t, "GET", url+"/clusters?format=xml")
	require.Equal(t, 400, resp.StatusCode)
}

func TestServerInfo(t *testing.T) {
	p, url := start(t, false)
	reason := "DRAINING: SIGTERM"
	for _, want := range []string{"LIVE", "DRAINING"} {
		_, body := call(t, "GET", url+"/server_info")
		var info struct {
			Version, State     string
			UptimeCurrentEpoch string `json:"uptime_current_epoch"`
			Node               struct{ ID, Cluster string }
			CommandLineOptions map[string]string `json:"command_line_options"`
		}
		require.NoError(t, json.Unmarshal([]byte(body), &info))
		require.Equal(t, "v1.2.3", info.Version)
		require.Equal(t, want, info.State)
		require.Regexp(t, "^9[0-9]s$", info.UptimeCurrentEpoch)
		require.Equal(t, "n1", info.Node.ID)
		require.Equal(t, "nc", info.Node.Cluster)
		require.Equal(t, ":19080", info.CommandLineOptions["listen"])
		p.reason.Store(&reason)
	}
}

func TestLogging(t *testing.T) {
	p, url := start(t, false)
	for sent, want := range map[string]string{"debug": "debug", "WARNING": "warn", "warn": "warn", "error": "error", "Info": "info"} {
		resp, body := call(t, "POST", url+"/logging?level="+sent)
		require.Equal(t, 200, resp.StatusCode)
		require.Equal(t, "active loggers:\n  friday: "+want+"\n", body)
		require.Equal(t, want, p.level.String())
		_, body = call(t, "GET", url+"/logging?level=debug")
		require.Equal(t, "active loggers:\n  friday: "+want+"\n", body, "GET changes nothing")
	}
	p.level.SetLevel(zap.WarnLevel)
	for _, bad := range []string{"?level=loud", "?level=panic", "?level=", ""} {
		resp, body := call(t, "POST", url+"/logging"+bad)
		require.Equal(t, 400, resp.StatusCode)
		require.Contains(t, body, "none of debug, info, warn, error")
		require.Equal(t, "warn", p.level.String())
	}
}

func TestMutatingCallsNeedPOST(t *testing.T) {
	p, url := start(t, false)
	for _, path := range []string{"/drain_listeners", "/quitquitquit"} {
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
			resp, _ := call(t, method, url+path)
			require.Equal(t, 405, resp.StatusCode)
			require.Equal(t, "POST", resp.Header.Get("Allow"))
		}
		// A page of another site makes the browser send it.
		resp, _ := call(t, "POST", url+path, "Sec-Fetch-Site", "cross-site")
		require.Equal(t, 403, resp.StatusCode)
		resp, _ = call(t, "POST", url+path, "Origin", "https://evil.example")
		require.Equal(t, 403, resp.StatusCode)
	}
	require.Empty(t, p.noted())
	for _, path := range []string{"/drain_listeners", "/drain_listeners?graceful", "/quitquitquit"} {
		resp, body := call(t, "POST", url+path)
		require.Equal(t, 200, resp.StatusCode)
		require.Equal(t, "OK\n", body)
	}
	require.Equal(t, []string{"drain", "drain gracefully", "quit"}, p.noted())
	resp, _ := call(t, "POST", url+"/clusters")
	require.Equal(t, 405, resp.StatusCode)
	require.Equal(t, "GET, HEAD", resp.Header.Get("Allow"))
}

func TestUnknownPathAndHelp(t *testing.T) {
	_, url := start(t, false)
	resp, help := call(t, "GET", url+"/help")
	require.Equal(t, 200, resp.StatusCode)
	for _, path := range []string{"/ready", "/config_dump", "/quitquitquit", "/debug/pprof/"} {
		require.Contains(t, help, "  "+path+": ")
	}
	for _, path := range []string{"/nothing", "/ready/", "/ready/x", "//", "/debug/pprof"} {
		resp, body := call(t, "GET", url+path)
		require.Equal(t, 404, resp.StatusCode, path)
		require.Equal(t, "invalid path. "+help, body)
	}
}

func TestProfiles(t *testing.T) {
	_, url := start(t, false)
	for _, path := range []string{"", "goroutine?debug=1", "heap", "cmdline", "symbol", "trace?seconds=0.01", "profile?seconds=1"} {
		resp, body := call(t, "GET", url+"/debug/pprof/"+path)
		require.Equal(t, 200, resp.StatusCode, path)
		require.NotEmpty(t, body, path)
	}
}

func TestPage(t *testing.T) {
	p, url := start(t, false)
	p.metrics.BatchSize.WithLabelValues("llm", "a<b").Observe(4)
	p.metrics.BatchSize.WithLabelValues("llm", "a<b").Observe(5)
	p.metrics.JobsOldest.WithLabelValues().Set(90)
	p.metrics.JobsOpen.WithLabelValues("in_progress").Set(3)
	p.metrics.JobLines.WithLabelValues("completed").Add(1234)
	p.metrics.JobLineFailures.WithLabelValues("b<c").Add(5)
	resp, body := call(t, "GET", url+"/")
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "text/html; charset=UTF-8", resp.Header.Get("Content-Type"))
	for _, want := range []string{
		`<span class="good">LIVE</span>`, "v1.2.3", "n1", "10.0.0.1:8000", `<td class="n">40</td>`, "unhealthy",
		"&lt;script&gt;alert(1)&lt;/script&gt;", "no endpoints", "a&lt;b", "4.50", "1m30s old", "<td>in_progress</td>", `<td class="n">1234</td>`, "b&lt;c", `<a href="/config_dump">`, "prefers-color-scheme: dark",
	} {
		require.Contains(t, body, want)
	}
	require.NotContains(t, body, "<script")
	require.NotContains(t, body, `href="/quitquitquit"`)

	// The policy lets just this style in.
	_, rest, _ := strings.Cut(body, "<style>")
	style, _, ok := strings.Cut(rest, "</style>")
	require.True(t, ok)
	sum := sha256.Sum256([]byte(style))
	policy := resp.Header.Get("Content-Security-Policy")
	require.True(t, strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'"), policy)
	require.NotContains(t, body, "style=", "the policy forbids style attributes")

	reason := "PRE_INITIALIZING: <waiting>"
	p.reason.Store(&reason)
	_, body = call(t, "GET", url+"/")
	require.Contains(t, body, `<span class="bad">PRE_INITIALIZING</span>`)
	require.Contains(t, body, "PRE_INITIALIZING: &lt;waiting&gt;")
}

func TestPublicIsNarrow(t *testing.T) {
	p, url := start(t, true)
	for path, status := range map[string]int{
		"/ready": 200, "/live": 200, "/metrics": 200,
		"/": 404, "/config_dump": 404, "/clusters": 404, "/stats": 404, "/debug/pprof/": 404, "/server_info": 404, "/logging": 404, "/help": 404,
	} {
		resp, _ := call(t, "GET", url+path)
		require.Equal(t, status, resp.StatusCode, path)
	}
	for _, path := range []string{"/quitquitquit", "/drain_listeners"} {
		resp, body := call(t, "POST", url+path)
		require.Equal(t, 404, resp.StatusCode)
		require.NotContains(t, body, "quitquitquit")
	}
	require.Empty(t, p.noted())
}

func TestConcurrentCalls(t *testing.T) {
	p, url := start(t, false)
	reason := "DRAINING"
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, path := range []string{"/", "/ready", "/clusters", "/stats", "/server_info", "/logging"} {
				p.reason.Store(&reason)
				resp, err := http.Get(url + path) // a test's
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
				p.metrics.BatchSize.WithLabelValues("c", path).Observe(1)
				p.level.SetLevel(zap.DebugLevel)
			}
		})
	}
	wg.Wait()
}

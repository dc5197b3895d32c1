package dashboard_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/admin/dashboard"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// stage is a process of which every panel has something to say, and all words that come from
// outside are by text, which is told where they stand.
func stage(tb testing.TB, text func(place string) string) dashboard.Options {
	tb.Helper()
	reg := prometheus.NewRegistry()
	m := telemetry.New(reg)
	cluster, modelName, listener, route := text("cluster"), text("model"), text("listener"), text("route")
	inc := func(v *prometheus.CounterVec, n float64, labels ...string) { v.WithLabelValues(labels...).Add(n) }
	set := func(v *prometheus.GaugeVec, n float64, labels ...string) { v.WithLabelValues(labels...).Set(n) }
	see := func(v *prometheus.HistogramVec, n float64, labels ...string) {
		for range 100 {
			v.WithLabelValues(labels...).Observe(n)
		}
	}
	inc(m.Requests, 100, route, cluster, "200", "HTTP/1.1")
	inc(m.Requests, 10, route, cluster, "503", "HTTP/1.1")
	see(m.RequestSeconds, .02, route, cluster)
	inc(m.Failures, 10, cluster, text("flag"))
	inc(m.Failures, 2, cluster, "UO")
	set(m.DownstreamConnections, 4, listener)
	set(m.DownstreamActive, 2, listener)
	inc(m.DownstreamRefused, 1, listener, text("refused"))
	inc(m.DownstreamTLS, 1, listener, "failed")

	see(m.BatchSize, 8, cluster, modelName)
	see(m.BatchWait, .002, cluster, modelName)
	set(m.BatchModel, .008, cluster, modelName, "a")
	set(m.BatchModel, .001, cluster, modelName, "b")
	set(m.BatchLimit, 2, cluster, modelName)
	set(m.BatchQueued, 3, cluster)
	inc(m.BatchDispatch, 90, cluster, "expected")
	inc(m.BatchDispatch, 10, cluster, text("dispatch"))
	inc(m.BatchFallback, 1, cluster, text("fallback"))

	inc(m.CacheLookups, 60, cluster, "hit")
	inc(m.CacheLookups, 40, cluster, "miss")
	inc(m.CacheItems, 60, cluster, "hit")
	inc(m.CacheItems, 40, cluster, "miss")
	inc(m.CacheSaved, 12, cluster)
	set(m.CacheBytes, 1<<20)
	set(m.CacheSharedUp, 1, text("store"))
	see(m.CacheSharedSeconds, .001, text("store"))
	inc(m.CacheSharedItems, 3, text("store"), "late")

	see(m.FirstChunk, .3, cluster, modelName)
	see(m.ChunkGap, .02, cluster, modelName)
	inc(m.StreamsCancelled, 2, cluster, modelName)
	see(m.TokenUsage, 50, cluster, "chat", "openai", modelName, "output")

	inc(m.UpstreamRequests, 99, cluster, "true")
	inc(m.UpstreamRequests, 1, cluster, "false")
	inc(m.UpstreamConnections, 1, cluster)
	set(m.UpstreamOpen, 1, cluster)
	inc(m.TCPConnections, 5, listener, cluster, "ok")
	set(m.TCPActive, 1, listener, cluster)

	set(m.XDSConnected, 0, text("control plane"))
	set(m.XDSVersion, 1, text("kind"), text("version"))
	inc(m.XDSUpdates, 3, text("kind"), "accepted")
	inc(m.XDSUpdates, 1, text("kind"), "rejected")

	set(m.JobsOldest, 90)
	set(m.JobsOpen, 2, text("status"))
	inc(m.JobsEnded, 7, text("end"))
	inc(m.JobLines, 900, "completed")
	inc(m.JobLineFailures, 3, text("reason"))
	set(m.JobLinesRunning, 8)
	set(m.JobLinesLimit, 16)

	return dashboard.Options{
		State: func() (string, string) { return text("name of the state"), text("why") },
		Clusters: func() []dashboard.Cluster {
			return []dashboard.Cluster{
				{Name: cluster, Endpoints: []dashboard.Endpoint{
					{Address: text("address"), Healthy: true, Active: 2, Total: 40, Failed: 4},
					{Address: "[::1]:8000", Flags: text("flags")},
				}},
				{Name: text("empty cluster")},
			}
		},
		Refusals: func() []dashboard.Refusal {
			return []dashboard.Refusal{{Type: text("type"), Name: text("resource"), Version: text("refused version"), Problem: text("problem"), At: time.Unix(0, 0)}}
		},
		Models: func() []proxy.ModelStatus {
			return []proxy.ModelStatus{
				{Cluster: cluster, Model: modelName, Version: text("model version"), State: text("state"), Serving: true, InFlight: 2},
				{Cluster: cluster, Model: text("other model"), State: "failed", Detail: text("detail"), LastError: text("last error"), Attempts: 3, Held: 5},
			}
		},
		Registry: reg,
		Version:  text("friday's version"), Node: text("node"), Service: text("service"), Started: time.Now().Add(-time.Hour),
		Doors: []dashboard.Door{{Path: "/ready", Help: "200 while requests are taken"}},
	}
}

// bare is a process that has done nothing yet.
func bare() dashboard.Options {
	reg := prometheus.NewRegistry()
	telemetry.New(reg)
	return dashboard.Options{
		State: func() (string, string) { return "LIVE", "" }, Clusters: func() []dashboard.Cluster { return nil },
		Refusals: func() []dashboard.Refusal { return nil }, Models: func() []proxy.ModelStatus { return nil }, Registry: reg, Version: "v1.2.3", Started: time.Now(),
	}
}

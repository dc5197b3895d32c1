package server

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/fridaymesh/friday/filters/batch"
	"github.com/fridaymesh/friday/filters/cache"
	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/filters/jobs"
	"github.com/fridaymesh/friday/filters/stream"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/action"
	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/format"
	"github.com/fridaymesh/friday/proxy/tracing"
)

// traced is a house whose spans can be looked at.
type traced struct {
	*house

	to     *tracetest.InMemoryExporter
	tracer *tracing.Tracer
}

func newTraced(t *testing.T, sampler sdk.Sampler) *traced {
	t.Helper()
	to := tracetest.NewInMemoryExporter()
	tracer := tracing.New(to, resource.Empty(), sampler)
	t.Cleanup(func() { require.NoError(t, tracer.Close()) })
	return &traced{newHouse(t, Options{Defaults: config.Defaults{Tracer: tracer}}), to, tracer}
}

// spans waits for n of them and returns them by name.
func (h *traced) spans(n int) map[string][]tracetest.SpanStub {
	h.t.Helper()
	var all tracetest.SpanStubs
	require.Eventually(h.t, func() bool {
		require.NoError(h.t, h.tracer.Flush(h.t.Context()))
		all = h.to.GetSpans()
		return len(all) >= n
	}, 20*time.Second, time.Millisecond)
	by := map[string][]tracetest.SpanStub{}
	for _, s := range all {
		by[s.Name] = append(by[s.Name], s)
	}
	require.Len(h.t, all, n, "%v", by)
	h.to.Reset()
	return by
}

func attr(s tracetest.SpanStub, key string) any {
	for _, kv := range s.Attributes {
		if kv.Key == attribute.Key(key) {
			return kv.Value.AsInterface()
		}
	}
	return nil
}

func post(t *testing.T, client *http.Client, url, body string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

// A request's span is the child of its caller's, and the server's would be that of the
// attempt.
func TestTracesGoOn(t *testing.T) {
	pairs(t, func(t *testing.T, client *http.Client, p proxy.UpstreamProtocol) {
		t.Cleanup(client.CloseIdleConnections)
		seen := make(chan http.Header, 1)
		up := http2Server(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			seen <- r.Header
			w.WriteHeader(http.StatusTeapot)
		})
		h := newTraced(t, sdk.ParentBased(sdk.NeverSample()))
		r := resources(up)
		r.Clusters[0].Protocol = p
		require.NoError(t, h.Apply(r))
		url := "http://" + h.address() + "/v1/x?key=secret"

		status, _ := post(t, client, url, "{}", "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate", "a=1", "x-request-id", "id-1")
		require.Equal(t, http.StatusTeapot, status)
		got := h.spans(2)
		of, attempt := got["POST all"][0], got["POST up"][0]
		require.Equal(t, "b7ad6b7169203331", of.Parent.SpanID().String())
		require.Equal(t, of.SpanContext.SpanID(), attempt.Parent.SpanID())
		require.Equal(t, "/v1/x", attr(of, "url.path"))
		require.Equal(t, int64(418), attr(of, "http.response.status_code"))
		require.Equal(t, "up", attr(of, "friday.cluster"))
		require.Equal(t, []string{"id-1"}, attr(of, "http.request.header.x-request-id"))
		require.Equal(t, int64(418), attr(attempt, "http.response.status_code"))
		require.Equal(t, codes.Unset, of.Status.Code)
		require.Equal(t, codes.Error, attempt.Status.Code)
		head := <-seen
		require.Equal(t, []string{"00-0af7651916cd43dd8448eb211c80319c-" + attempt.SpanContext.SpanID().String() + "-01"}, head["Traceparent"])
		require.Equal(t, []string{"a=1"}, head["Tracestate"])

		const no = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
		post(t, client, url, "{}", "traceparent", no)
		require.Equal(t, []string{no}, (<-seen)["Traceparent"])
		post(t, client, url, "{}")
		require.Regexp(t, "-00$", (<-seen).Get("traceparent"))
		require.NoError(t, h.tracer.Flush(t.Context()))
		require.Empty(t, h.to.GetSpans())
	})
}

// Without tracing the server sees what the caller has sent.
func TestTracesPassUntouchedWithoutTracing(t *testing.T) {
	seen := make(chan http.Header, 1)
	h := started(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header })
	post(t, caller(t), "http://"+h.address()+"/", "{}", "traceparent", "whatever", "tracestate", "x")
	head := <-seen
	require.Equal(t, []string{"whatever"}, head["Traceparent"])
	require.Equal(t, []string{"x"}, head["Tracestate"])
	post(t, caller(t), "http://"+h.address()+"/", "{}")
	require.NotContains(t, <-seen, "Traceparent")
}

// Requests that share a call have each their own trace; the call is a trace of its own,
// which links to them, as they do to it.
func TestABatchLinksToItsMembers(t *testing.T) {
	entered, held := make(chan string, 8), make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/embeddings" { // the batcher asks for a tokenizer
			http.NotFound(w, r)
			return
		}
		var in struct{ Input any }
		_ = json.NewDecoder(r.Body).Decode(&in)
		entered <- r.Header.Get("Traceparent")
		<-held
		n := 1
		if list, ok := in.Input.([]any); ok {
			n = len(list)
		}
		var data []string
		for i := range n {
			data = append(data, fmt.Sprintf(`{"index":%d,"embedding":[1],"object":"embedding"}`, i))
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"object":"list","data":[%s],"model":"m","usage":{"prompt_tokens":%d,"total_tokens":%d}}`, strings.Join(data, ","), 3*n, 3*n)
	}))
	t.Cleanup(up.Close)
	h := newTraced(t, sdk.AlwaysSample())
	r := resources(up.URL)
	b, err := batch.Factory{}.Parse(filtertest.Any(t, batch.Factory{}, "max_in_flight: {value: 1}"))
	require.NoError(t, err)
	s, err := stream.Factory{}.Parse(filtertest.Any(t, stream.Factory{}, ""))
	require.NoError(t, err)
	r.Listeners[0].Default.HTTP.Filters = []config.Filter{
		{Name: stream.Name, Factory: stream.Factory{}, Config: s},
		{Name: batch.Name, Factory: batch.Factory{}, Config: b},
	}
	require.NoError(t, h.Apply(r))
	client := caller(t)
	var ended sync.WaitGroup
	ask := func(text string) {
		ended.Go(func() {
			status, _ := post(t, client, "http://"+h.address()+"/v1/embeddings", `{"model":"m","input":"`+text+`"}`)
			if status != http.StatusOK {
				t.Errorf("status %d", status)
			}
		})
	}
	ask("alone")
	<-entered
	ask("a")
	ask("b")
	queued := func() bool {
		families, err := h.Registry().Gather()
		require.NoError(t, err)
		for _, f := range families {
			if f.GetName() == "friday_batch_queued_items" {
				return f.GetMetric()[0].GetGauge().GetValue() == 2
			}
		}
		return false
	}
	require.Eventually(t, queued, 20*time.Second, time.Millisecond)
	close(held)
	parent := <-entered
	ended.Wait()
	// alone: request, queue, attempt. a, b: request, queue, batch. Their call: call, attempt.
	got := h.spans(3 + 3 + 3 + 2)
	require.Len(t, got["POST all"], 3)
	require.Len(t, got["queue"], 3)
	require.Len(t, got["batch"], 2)
	call := got["batch call"][0]
	require.Len(t, call.Links, 2)
	require.Equal(t, int64(2), attr(call, "friday.batch.size"))
	require.Contains(t, parent, call.SpanContext.TraceID().String())
	members := map[string]bool{}
	for _, s := range got["POST all"] {
		require.Equal(t, "m", attr(s, "gen_ai.request.model"))
		require.Equal(t, "embeddings", attr(s, "gen_ai.operation.name"))
		require.Equal(t, int64(3), attr(s, "gen_ai.usage.input_tokens"))
		members[s.SpanContext.SpanID().String()] = true
	}
	for _, l := range call.Links {
		require.True(t, members[l.SpanContext.SpanID().String()])
	}
	for _, s := range got["batch"] {
		require.Len(t, s.Links, 1)
		require.Equal(t, call.SpanContext.SpanID(), s.Links[0].SpanContext.SpanID())
		require.Equal(t, int64(2), attr(s, "friday.batch.size"))
	}
}

// The lines of a batch, and a request whose caller does not wait, link to the span of the
// request that they were created by.
func TestJobLinesLinkToWhoCreatedThem(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{}`)
	}))
	t.Cleanup(up.Close)
	h := newTraced(t, sdk.AlwaysSample())
	r := resources(up.URL)
	c, err := jobs.Factory{}.Parse(filtertest.Any(t, jobs.Factory{}, fmt.Sprintf("store {sqlite_path: %q}", filepath.Join(t.TempDir(), "jobs.db"))))
	require.NoError(t, err)
	r.Listeners[0].Default.HTTP.Filters = []config.Filter{{Name: jobs.Name, Factory: jobs.Factory{}, Config: c}}
	require.NoError(t, h.Apply(r))
	client, at := caller(t), "http://"+h.address()

	const line = `{"custom_id":"%d","method":"POST","url":"/v1/embeddings","body":{"input":"a"}}` + "\n"
	status, text := post(t, client, at+"/v1/files", "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"+
		"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n"+fmt.Sprintf(line+line, 1, 2)+"\r\n--b--\r\n", "content-type", "multipart/form-data; boundary=b")
	require.Equal(t, http.StatusOK, status, text)
	var file struct{ ID string }
	require.NoError(t, json.Unmarshal([]byte(text), &file))
	status, text = post(t, client, at+"/v1/batches", fmt.Sprintf(`{"input_file_id":%q,"endpoint":"/v1/embeddings","completion_window":"24h"}`, file.ID))
	require.Equal(t, http.StatusOK, status, text)
	status, text = post(t, client, at+"/v1/embeddings", `{"input":"b"}`, "prefer", "respond-async")
	require.Equal(t, http.StatusAccepted, status, text)

	var lines, requests []tracetest.SpanStub
	require.Eventually(t, func() bool {
		require.NoError(t, h.tracer.Flush(t.Context()))
		lines, requests = nil, nil
		for _, s := range h.to.GetSpans() {
			switch s.Name {
			case "job line":
				lines = append(lines, s)
			case "POST all":
				requests = append(requests, s)
			}
		}
		return len(lines) == 3 && len(requests) == 3
	}, 20*time.Second, time.Millisecond)
	links := map[string]int{}
	for _, l := range lines {
		require.Len(t, l.Links, 1)
		require.NotEqual(t, l.SpanContext.TraceID(), l.Links[0].SpanContext.TraceID())
		links[l.Links[0].SpanContext.SpanID().String()]++
	}
	for _, r := range requests {
		switch attr(r, "url.path") {
		case "/v1/files":
		case "/v1/batches":
			require.Equal(t, 2, links[r.SpanContext.SpanID().String()])
		case "/v1/embeddings":
			require.Equal(t, 1, links[r.SpanContext.SpanID().String()])
		default:
			t.Errorf("a request for %v", attr(r, "url.path"))
		}
	}
}

// A retry is an attempt with a span of its own; what the cache knows has none.
func TestAttemptsAndHitsAreTraced(t *testing.T) {
	calls := 0
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls == 1 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"data":[{"index":0,"embedding":[1]}]}`)
	}))
	t.Cleanup(up.Close)
	h := newTraced(t, sdk.AlwaysSample())
	r := resources(up.URL)
	route := r.Listeners[0].Default.HTTP.Table.VirtualHosts[0].Routes[0]
	route.Forward = action.Forward{Retry: &action.Retry{On: action.OnGatewayError, Times: 1}}
	name, err := format.New("embed", "")
	require.NoError(t, err)
	tag, err := format.New("%REQ(x-team)%", "nobody")
	require.NoError(t, err)
	route.Tracing = &tracing.Route{Name: name, Tags: []tracing.Tag{{Name: "team", Value: tag}}}
	c, err := cache.Factory{}.Parse(filtertest.Any(t, cache.Factory{}, ""))
	require.NoError(t, err)
	r.Listeners[0].Default.HTTP.Filters = []config.Filter{{Name: cache.Name, Factory: cache.Factory{}, Config: c}}
	require.NoError(t, h.Apply(r))
	url := "http://" + h.address() + "/v1/embeddings"
	status, _ := post(t, caller(t), url, `{"model":"m","input":"a"}`, "x-team", "blue")
	require.Equal(t, http.StatusOK, status)
	got := h.spans(3)
	require.Equal(t, "miss", attr(got["embed"][0], "friday.cache"))
	require.Equal(t, "blue", attr(got["embed"][0], "team"))
	require.Len(t, got["POST up"], 2)
	require.Equal(t, codes.Error, got["POST up"][0].Status.Code)
	require.Equal(t, int64(1), attr(got["POST up"][1], "http.request.resend_count"))
	post(t, caller(t), url, `{"model":"m","input":"a"}`)
	hit := h.spans(1)["embed"][0]
	require.Equal(t, "hit", attr(hit, "friday.cache"))
	require.Equal(t, "nobody", attr(hit, "team"))
	// The trace stands in the log and at the histogram.
	lines := h.access.All()
	require.Equal(t, hit.SpanContext.TraceID().String(), lines[len(lines)-1].ContextMap()["trace_id"])
	families, err := h.Registry().Gather()
	require.NoError(t, err)
	found := false
	for _, f := range families {
		if f.GetName() != "friday_request_seconds" {
			continue
		}
		for _, b := range f.GetMetric()[0].GetHistogram().GetBucket() {
			for _, l := range b.GetExemplar().GetLabel() {
				found = found || l.GetName() == "trace_id" && l.GetValue() == hit.SpanContext.TraceID().String()
			}
		}
	}
	require.True(t, found)
}

// A listener's own collector stands behind a cluster, and is spoken to in HTTP or gRPC.
func TestSpansGoToAClustersCollector(t *testing.T) {
	for _, c := range []struct {
		name string
		grpc bool
	}{{"HTTP", false}, {"gRPC", true}} {
		t.Run(c.name, func(t *testing.T) {
			got := make(chan *tracepb.TracesData, 16)
			refused := false
			collector := http2Server(t, func(w http.ResponseWriter, r *http.Request) {
				text, _ := io.ReadAll(r.Body)
				if !refused { // once: what may go better later is sent again
					refused = true
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				if c.grpc {
					if r.URL.Path != "/opentelemetry.proto.collector.trace.v1.TraceService/Export" || len(text) < 5 || int(binary.BigEndian.Uint32(text[1:])) != len(text)-5 {
						t.Errorf("path %s, %d bytes", r.URL.Path, len(text))
						return
					}
					text = text[5:]
					w.Header().Set("Content-Type", "application/grpc")
					w.Header().Set("Trailer", "grpc-status")
					_, _ = w.Write([]byte{0, 0, 0, 0, 0})
					w.Header().Set("Grpc-Status", "0")
				} else {
					if r.URL.Path != "/v1/traces" || r.Header.Get("X-Token") != "t" {
						t.Errorf("path %s, token %q", r.URL.Path, r.Header.Get("X-Token"))
					}
					zr, err := gzip.NewReader(bytes.NewReader(text))
					if err == nil {
						text, err = io.ReadAll(zr)
					}
					if err != nil {
						t.Errorf("gzip: %v", err)
					}
				}
				m := new(tracepb.TracesData)
				if err := proto.Unmarshal(text, m); err != nil {
					t.Errorf("spans: %v", err)
				}
				got <- m
			})
			up := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			t.Cleanup(up.Close)
			h := newHouse(t, Options{})
			r := resources(up.URL)
			r.Clusters = append(r.Clusters, &cluster.Config{Name: "collector", Endpoints: []cluster.EndpointConfig{{Address: strings.TrimPrefix(collector, "http://")}}})
			r.Listeners[0].Default.HTTP.Tracing = &tracing.Config{
				Collector: &tracing.Collector{
					ID: "1", Service: "embed", Cluster: "collector", GRPC: c.grpc, Host: "collector", Path: "/v1/traces", Headers: [][2]string{{"x-token", "t"}},
				},
				Sampling: tracing.Sampling{Client: 1, Random: 1, Overall: 1},
			}
			require.NoError(t, h.Apply(r))
			status, _ := post(t, caller(t), "http://"+h.address()+"/a", "{}")
			require.Equal(t, http.StatusOK, status)
			// What is there is sent when the configuration names the collector no longer.
			require.NoError(t, h.Apply(resources(up.URL)))
			m := <-got
			require.Len(t, m.GetResourceSpans(), 1)
			names := map[string]bool{}
			for _, s := range m.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans() {
				names[s.GetName()] = true
			}
			require.Equal(t, map[string]bool{"POST all": true, "POST up": true}, names)
			service := ""
			for _, kv := range m.GetResourceSpans()[0].GetResource().GetAttributes() {
				if kv.GetKey() == "service.name" {
					service = kv.GetValue().GetStringValue()
				}
			}
			require.Equal(t, "embed", service)
		})
	}
}

// The shares are Envoy's.
func TestShares(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(up.Close)
	for _, c := range []struct {
		name   string
		shares tracing.Sampling
		header []string
		want   bool
	}{
		{"none", tracing.Sampling{Client: 1, Random: 0, Overall: 1}, nil, false},
		{"asked for", tracing.Sampling{Client: 1, Random: 0, Overall: 1}, []string{"x-client-trace-id", "1"}, true},
		{"asked for in vain", tracing.Sampling{Client: 0, Random: 1, Overall: 1}, []string{"x-client-trace-id", "1"}, false},
		{"overall", tracing.Sampling{Client: 1, Random: 1, Overall: 0}, nil, false},
		{"the caller's own", tracing.Sampling{}, []string{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTraced(t, sdk.AlwaysSample())
			r := resources(up.URL)
			r.Listeners[0].Default.HTTP.Tracing = &tracing.Config{Sampling: c.shares}
			require.NoError(t, h.Apply(r))
			post(t, caller(t), "http://"+h.address()+"/", "{}", c.header...)
			if c.want {
				h.spans(2)
				return
			}
			require.Eventually(t, func() bool { return h.access.Len() == 1 }, 20*time.Second, time.Millisecond)
			require.NoError(t, h.tracer.Flush(t.Context()))
			require.Empty(t, h.to.GetSpans())
		})
	}
}

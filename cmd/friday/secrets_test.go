package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/fridaymesh/friday/bench/process"
)

// canary stands in everything that must be nobody's to read.
const canary = "canary-7f3a"

// collector takes spans over OTLP/HTTP and keeps them as text.
type collector struct {
	mu    sync.Mutex
	spans []*tracepb.Span
}

func (c *collector) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var in io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		zr, err := gzip.NewReader(r.Body)
		if err != nil {
			return
		}
		in = zr
	}
	text, err := io.ReadAll(in)
	m := new(tracepb.TracesData)
	if err != nil || proto.Unmarshal(text, m) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range m.GetResourceSpans() {
		for _, scope := range of.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
}

func (c *collector) all() []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spans
}

// unwell is a model server that answers well, or in one of many bad ways, which the path
// chooses; whatever it says has the canary in it.
func unwell(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	say := func(status int, media, text string) {
		w.Header().Set("Content-Type", media)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/chat/completions"):
		say(200, "text/event-stream", `data: {"model":"m","choices":[{"delta":{"content":"`+canary+`"}}]}`+"\n\ndata: [DONE]\n\n")
	case strings.HasSuffix(path, "/embeddings"):
		say(200, "application/json", `{"data":"`+canary+`"}`) // cannot be cut apart
	case strings.HasSuffix(path, ":predict"):
		say(400, "application/json", `{"error":"bad instance: `+canary+`"}`)
	case path == "/500":
		say(500, "text/plain", canary)
	case path == "/cut":
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, canary)
		panic(http.ErrAbortHandler)
	case path == "/garbage":
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, canary+" is no HTTP\r\nX: "+canary+"\r\n\r\n")
			_ = conn.Close()
		}
	default:
		say(200, "application/json", "{}")
	}
}

// What callers and servers say to each other (credentials, prompts, answers) stands in no
// log, no metric, no span and on no page, whatever goes wrong and however much is logged.
func TestSecretsStayBetweenCallerAndServer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	up := httptest.NewServer(http.HandlerFunc(unwell))
	t.Cleanup(up.Close)
	spans := &collector{}
	otlp := httptest.NewServer(spans)
	t.Cleanup(otlp.Close)
	g, bin := run(t), build(t)
	addresses, err := process.FreeAddresses(0, 0)
	require.NoError(t, err)
	listen, admin := addresses[0], addresses[1]
	env := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + otlp.URL, "OTEL_BSP_SCHEDULE_DELAY=50"}
	p, err := g.Start("friday", env, filepath.Join(bin, "friday"), "proxy",
		"--upstream", strings.TrimPrefix(up.URL, "http://"), "--listen", listen, "--admin", admin, "--log-level", "debug", "--timeout", "20s")
	require.NoError(t, err)
	require.NoError(t, p.Await(ctx, patience, process.OK("http://"+admin+"/ready")))

	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	send := func(path, body string) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+listen+path+"?api_key="+canary, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+canary)
		req.Header.Set("Api-Key", canary)
		req.Header.Set("X-Api-Key", canary)
		req.AddCookie(&http.Cookie{Name: "session", Value: canary})
		resp, err := client.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	}
	prompt := func(s string) string { return fmt.Sprintf(s, canary) }
	requests := []struct{ path, body string }{
		{"/v1/embeddings", prompt(`{"model":"m","input":%q}`)},
		{"/v1/embeddings", prompt(`{"model":"m","input":[%[1]q,%[1]q]}`)},
		{"/v1/embeddings", prompt(`{"model":"m","input":%s`)}, // no JSON
		{"/v1/chat/completions", prompt(`{"model":"m","stream":true,"messages":[{"role":"user","content":%q}]}`)},
		{"/v1/models/m:predict", prompt(`{"instances":[%q]}`)},
		{"/v2/models/m/infer", prompt(`{"inputs":[{"name":%q,"shape":[1],"datatype":"X"}]}`)},
		{"/500", canary},
		{"/cut", canary},
		{"/garbage", canary},
		{"/other", canary},
	}
	var ended sync.WaitGroup
	for _, r := range requests {
		for range 4 { // together, so that some are batched
			ended.Go(func() { send(r.path, r.body) })
		}
	}
	ended.Wait()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", listen) // and one that is no HTTP
	require.NoError(t, err)
	_, err = io.WriteString(conn, "POST / HTTP/9\r\nAuthorization: "+canary+"\r\n"+canary+"\r\n\r\n")
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, conn)
	require.NoError(t, conn.Close())
	text, err := process.Get(ctx, "http://"+admin+"/stats?filter=friday_request_seconds.*sum")
	require.NoError(t, err)
	require.NotContains(t, string(text), "e+", "a request that never was has taken no time")
	require.NotRegexp(t, `: \d{5,}`, string(text))

	spotless := func(where string, text []byte) {
		require.NotEmpty(t, text, where)
		if i := bytes.Index(text, []byte(canary)); i >= 0 {
			require.Fail(t, "a secret is told", "%s: …%s…", where, text[max(0, i-300):min(len(text), i+100)])
		}
	}
	for _, page := range []string{"/", "/metrics", "/stats", "/config_dump", "/clusters", "/server_info"} {
		text, err := process.Get(ctx, "http://"+admin+page)
		require.NoError(t, err, page)
		spotless(page, text)
	}
	require.NoError(t, p.Stop(patience))
	all := spans.all()
	require.GreaterOrEqual(t, len(all), 2*len(requests))
	for _, s := range all {
		spotless("a span", []byte(prototext.Format(s)))
	}
	logs, err := filepath.Glob(g.File("*"))
	require.NoError(t, err)
	lines := 0
	for _, name := range logs {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		if len(text) > 0 {
			spotless(filepath.Base(name), text)
			lines += bytes.Count(text, []byte{'\n'})
		}
	}
	require.Greater(t, lines, 10)
}

// Whatever the environment asks for that there is not is refused, and not left aside.
func TestTracingsEnvironmentIsChecked(t *testing.T) {
	bin := build(t)
	for _, c := range []struct{ env, want string }{
		{"OTEL_TRACES_EXPORTER=zipkin", `OTEL_TRACES_EXPORTER: "zipkin": must be otlp or none`},
		{"OTEL_TRACES_SAMPLER=often", `OTEL_TRACES_SAMPLER: "often"`},
		{"OTEL_PROPAGATORS=b3", `OTEL_PROPAGATORS: "b3"`},
		{"OTEL_EXPORTER_OTLP_PROTOCOL=http/json", `OTEL_EXPORTER_OTLP_PROTOCOL: "http/json"`},
	} {
		g := run(t)
		p, err := g.Start("friday", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", c.env}, filepath.Join(bin, "friday"), "proxy", "--upstream", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
		require.NoError(t, err)
		ended(t, p)
		require.Contains(t, p.Tail(5), c.want)
	}
}

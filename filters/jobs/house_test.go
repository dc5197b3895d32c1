package jobs

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait.
const patience = 2 * time.Minute

// soon are times that suit a test.
func soon() tempo {
	return tempo{
		window: time.Hour, lease: 10 * time.Second, poll: 20 * time.Millisecond, sweep: 50 * time.Millisecond,
		least: time.Millisecond, most: 20 * time.Millisecond, open: 10 * time.Millisecond, patience: patience,
	}
}

// house is a filter in its house, before a server that is a function.
type house struct {
	*filtertest.House

	t    *testing.T
	path string
	// postgres is the file with the connection string of a store in PostgreSQL; empty: it
	// is the file at path.
	postgres string
	tempo    tempo
	config   string // of the filter, as text; empty: none
	state    *state
	filter   *filter
	// serve answers lines and what passes.
	mu    sync.Mutex
	serve func(ctx context.Context, path, body string, req *proxy.Request) (*proxy.Response, error)
	seen  map[string]int // bodies
}

// inPostgres, where not nil, makes the stores of houses: it returns the file with a
// connection string. The tests of a real PostgreSQL set it.
var inPostgres func(*testing.T) string

func newHouse(t *testing.T, change ...func(*house)) *house {
	t.Helper()
	h := &house{t: t, House: filtertest.NewHouse(t, 1), path: filepath.Join(t.TempDir(), "jobs.db"), tempo: soon(), seen: map[string]int{}}
	h.serve = func(_ context.Context, _, body string, _ *proxy.Request) (*proxy.Response, error) {
		return echo(body), nil
	}
	h.Rest = proxy.HandlerFunc(h.handle)
	if inPostgres != nil {
		h.postgres = inPostgres(t)
	}
	for _, f := range change {
		f(h)
	}
	h.start()
	t.Cleanup(func() { require.NoError(t, h.state.Close()) })
	return h
}

func (h *house) place() place {
	if h.postgres != "" {
		return place{postgres: h.postgres}
	}
	return place{path: h.path}
}

// database is the store as a user who may do everything.
func (h *house) database() *sql.DB {
	h.t.Helper()
	if h.postgres == "" {
		db, err := sql.Open("sqlite", h.path+"?_pragma=busy_timeout(10000)")
		require.NoError(h.t, err)
		return db
	}
	dsn, err := os.ReadFile(h.postgres)
	require.NoError(h.t, err)
	db, err := sql.Open("pgx", strings.Replace(strings.TrimSpace(string(dsn)), "//friday@", "//postgres@", 1)+"&search_path=friday")
	require.NoError(h.t, err)
	return db
}

// start opens the store, after stop once more.
func (h *house) start() {
	h.t.Helper()
	parsed, err := Factory{}.Parse(filtertest.Any(h.t, Factory{}, h.config))
	require.NoError(h.t, err)
	c := parsed.(*Config)
	h.state = newStateAt(h.Env(), h.place(), h.tempo)
	h.state.serve("test", h.Rest, c)
	h.state.InForce()
	h.filter = &filter{config: c, state: h.state, origin: "test", rest: h.Rest}
}

func (h *house) handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.seen[string(body)]++
	serve := h.serve
	h.mu.Unlock()
	return serve(ctx, string(req.Header.RequestURI()), string(body), req)
}

// echo answers what was asked.
func echo(body string) *proxy.Response {
	return filtertest.Answer(200, "application/json", `{"echo": `+body+`, "pi": 3.1400}`)
}

// call sends a request to the filter.
func (h *house) call(method, path, body string, headers ...string) (int, string, http.Header) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	req := filtertest.Request(path, body, headers...)
	req.Header.SetMethod(method)
	resp, err := h.filter.Handle(ctx, req, h.Rest)
	if err != nil {
		return proxy.AsError(ctx, err).Status, err.Error(), nil
	}
	head := http.Header{}
	for k, v := range resp.Header.All() {
		head.Add(string(k), string(v))
	}
	status := resp.Header.StatusCode()
	return status, filtertest.ReadBody(h.t, resp), head
}

// get decodes a JSON answer of 200.
func (h *house) get(method, path, body string, headers ...string) map[string]any {
	h.t.Helper()
	status, text, _ := h.call(method, path, body, headers...)
	require.Equal(h.t, 200, status, "%s %s: %s", method, path, text)
	out := map[string]any{}
	require.NoError(h.t, json.Unmarshal([]byte(text), &out), text)
	return out
}

// upload sends a file, and returns its id.
func (h *house) upload(content string, headers ...string) string {
	h.t.Helper()
	status, text := h.tryUpload(content, nil, headers...)
	require.Equal(h.t, 200, status, text)
	return field(h.t, text, "id")
}

func (h *house) tryUpload(content string, fields map[string]string, headers ...string) (int, string) {
	h.t.Helper()
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	if fields == nil {
		fields = map[string]string{"purpose": "batch"}
	}
	for k, v := range fields {
		require.NoError(h.t, w.WriteField(k, v))
	}
	part, err := w.CreateFormFile("file", "lines.jsonl")
	require.NoError(h.t, err)
	_, err = io.WriteString(part, content)
	require.NoError(h.t, err)
	require.NoError(h.t, w.Close())
	status, text, _ := h.call("POST", "/v1/files", form.String(), append([]string{"Content-Type", w.FormDataContentType()}, headers...)...)
	return status, text
}

func field(t *testing.T, text, name string) string {
	t.Helper()
	out := map[string]any{}
	require.NoError(t, json.Unmarshal([]byte(text), &out), text)
	s, _ := out[name].(string)
	return s
}

// lines makes a batch's file of n lines.
func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"custom_id": "line-%d", "method": "POST", "url": "/v1/embeddings", "body": {"input": %d, "exact": 1.50}}`+"\n", i, i)
	}
	return b.String()
}

// create makes a batch of a file.
func (h *house) create(file string, headers ...string) string {
	h.t.Helper()
	b := h.get("POST", "/v1/batches", fmt.Sprintf(`{"input_file_id": %q, "endpoint": "/v1/embeddings", "completion_window": "24h"}`, file), headers...)
	return b["id"].(string)
}

// await waits for a batch's status.
func (h *house) await(id, status string, headers ...string) map[string]any {
	h.t.Helper()
	for end := time.Now().Add(patience); ; {
		b := h.get("GET", "/v1/batches/"+id, "", headers...)
		if b["status"] == status {
			return b
		}
		require.False(h.t, ended(b["status"]), "%v", b)
		require.True(h.t, time.Now().Before(end), "not %s in time: %v", status, b)
		time.Sleep(20 * time.Millisecond) // between two questions
	}
}

func ended(status any) bool {
	switch status {
	case "completed", "failed", "expired", "cancelled":
		return true
	}
	return false
}

// content reads a file of JSON lines by custom_id, and fails where one comes twice.
func (h *house) content(file any, headers ...string) map[string]map[string]any {
	h.t.Helper()
	status, text, _ := h.call("GET", "/v1/files/"+file.(string)+"/content", "", headers...)
	require.Equal(h.t, 200, status, text)
	out := map[string]map[string]any{}
	for line := range strings.Lines(text) {
		var l map[string]any
		require.NoError(h.t, json.Unmarshal([]byte(line), &l), line)
		id := l["custom_id"].(string)
		require.NotContains(h.t, out, id, "a result came twice")
		out[id] = l
	}
	return out
}

func (h *house) times(body string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen[body]
}

func counts(b map[string]any) [3]string {
	c := b["request_counts"].(map[string]any)
	s := func(k string) string { return strconv.Itoa(int(c[k].(float64))) }
	return [3]string{s("total"), s("completed"), s("failed")}
}

func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	out := map[string]any{}
	require.NoError(t, json.Unmarshal([]byte(text), &out), text)
	return out
}

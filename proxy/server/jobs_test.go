package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/batch"
	"github.com/fridaymesh/friday/filters/cache"
	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/filters/jobs"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
)

// The lines of a batch go through what stands behind the filter in the chain of their own
// route, whatever the configuration has become by then: here a cache and the batcher.
func TestJobLinesGoThroughTheChain(t *testing.T) {
	pairs(t, func(t *testing.T, client *http.Client, p proxy.UpstreamProtocol) {
		h := newHouse(t, Options{})
		t.Cleanup(client.CloseIdleConnections)
		var calls, items atomic.Int32
		held := make(chan struct{})
		up := http2Server(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/embeddings" { // the batcher asks for a tokenizer
				http.NotFound(w, r)
				return
			}
			var in struct {
				Input any `json:"input"`
			}
			_ = json.NewDecoder(r.Body).Decode(&in)
			calls.Add(1)
			<-held
			list, ok := in.Input.([]any)
			if !ok {
				list = []any{in.Input}
			}
			var data []string
			for i, text := range list {
				items.Add(1)
				data = append(data, fmt.Sprintf(`{"index":%d,"embedding":[%d],"object":"embedding"}`, i, len(text.(string))))
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"object":"list","data":[%s],"model":"m"}`, strings.Join(data, ","))
		})
		path := filepath.Join(t.TempDir(), "jobs.db")
		apply := func(attempts int) {
			r := resources(up)
			r.Clusters[0].Protocol = p
			var filters []config.Filter
			for _, f := range []struct {
				name    string
				factory proxy.Factory
				text    string
			}{
				{jobs.Name, jobs.Factory{}, fmt.Sprintf("store {sqlite_path: %q} max_attempts: %d", path, attempts)},
				{cache.Name, cache.Factory{}, ""},
				{batch.Name, batch.Factory{}, ""},
			} {
				c, err := f.factory.Parse(filtertest.Any(t, f.factory, f.text))
				require.NoError(t, err)
				filters = append(filters, config.Filter{Name: f.name, Factory: f.factory, Config: c})
			}
			r.Listeners[0].Default.HTTP.Filters = filters
			require.NoError(t, h.Apply(r))
		}
		apply(5)
		do := func(method, path, kind, body string) map[string]any {
			req, err := http.NewRequestWithContext(t.Context(), method, "http://"+h.address()+path, strings.NewReader(body))
			require.NoError(t, err)
			req.Header.Set("Content-Type", kind)
			resp, err := client.Do(req)
			require.NoError(t, err)
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, 200, resp.StatusCode, "%s", text)
			out := map[string]any{"text": string(text)}
			if strings.HasPrefix(string(text), "{") && !strings.HasSuffix(path, "/content") {
				require.NoError(t, json.Unmarshal(text, &out))
			}
			return out
		}
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		part, err := w.CreateFormFile("file", "in.jsonl")
		require.NoError(t, err)
		const n = 40
		for i := range n { // of ten different texts
			_, _ = fmt.Fprintf(part, `{"custom_id":"%d","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":"%s"}}`+"\n", i, strings.Repeat("x", 1+i%10))
		}
		require.NoError(t, w.WriteField("purpose", "batch"))
		require.NoError(t, w.Close())
		file := do("POST", "/v1/files", w.FormDataContentType(), form.String())["id"]
		made := do("POST", "/v1/batches", "application/json", fmt.Sprintf(`{"input_file_id":%q,"endpoint":"/v1/embeddings","completion_window":"24h"}`, file))
		require.Eventually(t, func() bool { return calls.Load() > 0 }, time.Minute, time.Millisecond)
		apply(4) // what runs, and what is yet to run, is not touched by a push
		close(held)
		var got map[string]any
		require.Eventually(t, func() bool {
			got = do("GET", "/v1/batches/"+made["id"].(string), "", "")
			return got["status"] == "completed"
		}, time.Minute, 5*time.Millisecond, "%v", got)
		require.Nil(t, got["error_file_id"])
		text := do("GET", "/v1/files/"+got["output_file_id"].(string)+"/content", "", "")["text"].(string)
		require.Equal(t, n, strings.Count(text, "\n"))
		for i := range n {
			require.Contains(t, text, fmt.Sprintf(`"custom_id":"%d","response":{"status_code":200`, i))
		}
		require.EqualValues(t, 10, items.Load(), "the cache and its waiters serve the others")
	})
}

// A route without the filter is not one that lines can be sent to.
func TestRestIsOfTheRoute(t *testing.T) {
	h := newHouse(t, Options{})
	up := http2Server(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) })
	probe := new(restProbe)
	apply := func(disabled bool) {
		r := resources(up)
		r.Listeners[0].Default.HTTP.Filters = []config.Filter{{Name: "probe", Factory: probe, Disabled: disabled}, {Name: "never", Factory: never{}}}
		require.NoError(t, h.Apply(r))
	}
	apply(false)
	rest := probe.rest
	resp, err := rest.Handle(t.Context(), filtertest.Request("/a", "{}"))
	require.NoError(t, err)
	require.Equal(t, "never", filtertest.ReadBody(t, resp), "it goes on behind the filter that asks, not before it")
	apply(true)
	_, err = rest.Handle(t.Context(), filtertest.Request("/a", "{}"))
	var pe *proxy.Error
	require.ErrorAs(t, err, &pe)
	require.Equal(t, 404, pe.Status)
	require.Equal(t, proxy.FlagNoRoute, pe.Flag)
}

// restProbe is a filter that asks for the rest of its chain, and fails whoever passes it.
type restProbe struct{ rest proxy.Handler }

func (p *restProbe) Build(_ proxy.FilterConfig, env proxy.Env) (proxy.Filter, error) {
	p.rest = env.Rest()
	return filterFunc(func() (*proxy.Response, error) { return nil, &proxy.Error{Status: 500} }), nil
}

// never answers by itself.
type never struct{}

func (never) Build(proxy.FilterConfig, proxy.Env) (proxy.Filter, error) {
	return filterFunc(func() (*proxy.Response, error) { return filtertest.Answer(200, "text/plain", "never"), nil }), nil
}

type filterFunc func() (*proxy.Response, error)

func (f filterFunc) Handle(context.Context, *proxy.Request, proxy.Handler) (*proxy.Response, error) {
	return f()
}

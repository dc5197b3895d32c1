package jobs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

func TestBatchCompletes(t *testing.T) {
	h := newHouse(t)
	var credentials atomic.Value
	const n = 300 // more than are taken in at once
	h.serve = func(_ context.Context, path, body string, req *proxy.Request) (*proxy.Response, error) {
		credentials.Store(path + " " + string(req.Header.Peek("authorization")) + " " + string(req.Header.Host()))
		if strings.Contains(body, `"input": 7,`) {
			return filtertest.Answer(400, "application/json", "{\"error\": \n {\"message\": \"bad\"}}"), nil
		}
		return echo(body), nil
	}
	file := h.upload(lines(n), "Authorization", "Bearer a")
	id := h.create(file, "Authorization", "Bearer a")
	b := h.await(id, "completed", "Authorization", "Bearer a")
	require.Equal(t, [3]string{"300", "299", "1"}, counts(b))
	for _, at := range []string{"created_at", "in_progress_at", "finalizing_at", "completed_at", "expires_at"} {
		require.NotNil(t, b[at], at)
	}
	require.Nil(t, b["errors"])
	require.Equal(t, "/v1/embeddings Bearer a models.example", credentials.Load())
	out := h.content(b["output_file_id"], "Authorization", "Bearer a")
	require.Len(t, out, 299)
	_, text, _ := h.call("GET", "/v1/files/"+b["output_file_id"].(string)+"/content", "", "Authorization", "Bearer a")
	require.Contains(t, text, `"custom_id":"line-3","response":{"status_code":200,"request_id":"`)
	require.Contains(t, text, `"body":{"echo":{"input":3,"exact":1.50},"pi":3.1400}},"error":null}`, "text of numbers and order of members survive")
	bad := h.content(b["error_file_id"], "Authorization", "Bearer a")
	require.Len(t, bad, 1)
	require.InDelta(t, 400, bad["line-7"]["response"].(map[string]any)["status_code"], 0)
	require.Nil(t, bad["line-7"]["error"])
	require.Equal(t, 1, h.Count(t, "friday_jobs_total", "status", "completed"))
	require.Equal(t, 299, h.Count(t, "friday_job_lines_total", "result", "completed"))
	require.Equal(t, 1, h.Count(t, "friday_job_line_failures_total", "reason", "400"))
}

// The server answers 503 twice, and then the line: one result of three attempts.
func TestBatchRetries(t *testing.T) {
	h := newHouse(t)
	var asked atomic.Int64
	h.serve = func(_ context.Context, _, body string, _ *proxy.Request) (*proxy.Response, error) {
		if asked.Add(1) <= 2 {
			resp := filtertest.Answer(503, "text/plain", "busy")
			resp.Header.Set("Retry-After", "0")
			return resp, nil
		}
		return echo(body), nil
	}
	b := h.await(h.create(h.upload(lines(1))), "completed")
	require.Equal(t, [3]string{"1", "1", "0"}, counts(b))
	require.Len(t, h.content(b["output_file_id"]), 1)
	require.Nil(t, b["error_file_id"])
	require.EqualValues(t, 3, asked.Load())
	require.Equal(t, 2, h.Count(t, "friday_job_lines_total", "result", "retried"))
}

// Attempts are bounded, and what the server said last is the result.
func TestBatchGivesUp(t *testing.T) {
	h := newHouse(t)
	h.serve = func(context.Context, string, string, *proxy.Request) (*proxy.Response, error) {
		return filtertest.Answer(500, "text/plain", "out of memory"), nil
	}
	b := h.await(h.create(h.upload(lines(1))), "completed")
	require.Equal(t, [3]string{"1", "0", "1"}, counts(b))
	r := h.content(b["error_file_id"])["line-0"]["response"].(map[string]any)
	require.InDelta(t, 500, r["status_code"], 0)
	require.Equal(t, "out of memory", r["body"])
	require.Equal(t, 5, h.times(`{"input": 0, "exact": 1.50}`))
}

// Attempts that do not reach the server are none: however long it is down, all lines
// complete afterwards.
func TestServerDown(t *testing.T) {
	h := newHouse(t)
	var down, tried atomic.Int64
	down.Store(1)
	h.serve = func(_ context.Context, _, body string, _ *proxy.Request) (*proxy.Response, error) {
		if tried.Add(1); down.Load() == 1 {
			return nil, &proxy.Error{Status: 503, Flag: proxy.FlagUpstreamConnection, Message: "refused", Err: errors.New("refused"), Unsent: true}
		}
		return echo(body), nil
	}
	id := h.create(h.upload(lines(3)))
	require.Eventually(t, func() bool { return tried.Load() > 3*defaultAttempts*2 }, patience, time.Millisecond)
	down.Store(0)
	b := h.await(id, "completed")
	require.Equal(t, [3]string{"3", "3", "0"}, counts(b))
}

func TestValidation(t *testing.T) {
	h := newHouse(t)
	good := func(n int) string {
		return fmt.Sprintf(`{"custom_id":"l%d","method":"POST","url":"/v1/embeddings","body":{"input":%d}}`, n, n)
	}
	for name, c := range map[string]struct {
		file, code string
		line       any
	}{
		"malformed":        {good(1) + "\n" + `{"custom_id": "x", "method"` + "\n" + good(3), "invalid_json_line", 2.0},
		"not an object":    {good(1) + "\n[]\n", "invalid_json_line", 2.0},
		"duplicate":        {good(1) + "\n" + good(2) + "\n\n" + good(1), "duplicate_custom_id", 4.0},
		"wrong url":        {`{"custom_id":"a","method":"POST","url":"/v1/completions","body":{}}`, "mismatched_endpoint", 1.0},
		"wrong method":     {`{"custom_id":"a","method":"GET","url":"/v1/embeddings","body":{}}`, "invalid_method", 1.0},
		"no custom_id":     {`{"method":"POST","url":"/v1/embeddings","body":{}}`, "missing_required_parameter", 1.0},
		"custom_id number": {`{"custom_id":3,"method":"POST","url":"/v1/embeddings","body":{}}`, "invalid_json_line", 1.0},
		"no body":          {`{"custom_id":"a","method":"POST","url":"/v1/embeddings"}`, "missing_required_parameter", 1.0},
		"body of a list":   {`{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":[1]}`, "invalid_body", 1.0},
		"empty":            {"\n \n", "empty_file", nil},
		"too many":         {short(mostLines + 1), "too_many_requests", float64(mostLines + 1)},
	} {
		t.Run(name, func(t *testing.T) {
			h.t = t
			b := h.await(h.create(h.upload(c.file)), "failed")
			require.NotNil(t, b["failed_at"])
			require.Nil(t, b["output_file_id"])
			first := b["errors"].(map[string]any)["data"].([]any)[0].(map[string]any)
			require.Equal(t, c.code, first["code"], "%v", first)
			require.Equal(t, c.line, first["line"])
			require.NotEmpty(t, first["message"])
			require.Equal(t, [3]string{"0", "0", "0"}, counts(b))
		})
	}
	require.Empty(t, h.seen, "nothing is executed")
}

// short makes a file of n lines that say no more than they must.
func short(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"custom_id":"%d","method":"POST","url":"/v1/embeddings","body":{}}`+"\n", i)
	}
	return b.String()
}

func TestRefusals(t *testing.T) {
	h := newHouse(t)
	file := h.upload(lines(1))
	create := func(s string) string { return strings.ReplaceAll(s, "FILE", file) }
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		code, param        any
	}{
		"unknown file":      {"POST", "/v1/batches", `{"input_file_id":"file-1","endpoint":"/v1/embeddings","completion_window":"24h"}`, 404, nil, "input_file_id"},
		"window":            {"POST", "/v1/batches", create(`{"input_file_id":"FILE","endpoint":"/v1/embeddings","completion_window":"1h"}`), 400, "invalid_value", "completion_window"},
		"no window":         {"POST", "/v1/batches", create(`{"input_file_id":"FILE","endpoint":"/v1/embeddings"}`), 400, "missing_required_parameter", "completion_window"},
		"endpoint of ours":  {"POST", "/v1/batches", create(`{"input_file_id":"FILE","endpoint":"/v1/batches","completion_window":"24h"}`), 400, "invalid_value", "endpoint"},
		"endpoint above":    {"POST", "/v1/batches", create(`{"input_file_id":"FILE","endpoint":"/v1/../admin","completion_window":"24h"}`), 400, "invalid_value", "endpoint"},
		"endpoint encoded":  {"POST", "/v1/batches", create(`{"input_file_id":"FILE","endpoint":"/v1/%2e%2e/admin","completion_window":"24h"}`), 400, "invalid_value", "endpoint"},
		"endpoint of two":   {"POST", "/v1/batches", create(`{"input_file_id":"FILE","endpoint":"//v1/files","completion_window":"24h"}`), 400, "invalid_value", "endpoint"},
		"endpoint no path":  {"POST", "/v1/batches", create(`{"input_file_id":"FILE","endpoint":"v1/x","completion_window":"24h"}`), 400, "invalid_value", "endpoint"},
		"metadata":          {"POST", "/v1/batches", create(`{"input_file_id":"FILE","endpoint":"/v1/x","completion_window":"24h","metadata":{"k":"` + strings.Repeat("v", 513) + `"}}`), 400, "string_above_max_length", "metadata"},
		"metadata number":   {"POST", "/v1/batches", create(`{"input_file_id":"FILE","endpoint":"/v1/x","completion_window":"24h","metadata":{"k":1}}`), 400, "invalid_json", nil},
		"no JSON":           {"POST", "/v1/batches", `{`, 400, "invalid_json", nil},
		"too large":         {"POST", "/v1/batches", strings.Repeat(" ", 1<<20+1), 413, "request_too_large", nil},
		"limit":             {"GET", "/v1/batches?limit=101", "", 400, "invalid_value", "limit"},
		"after":             {"GET", "/v1/batches?after=batch_1", "", 404, nil, "after"},
		"order":             {"GET", "/v1/files?order=up", "", 400, "invalid_value", "order"},
		"unknown batch":     {"GET", "/v1/batches/batch_1", "", 404, nil, "id"},
		"cancel unknown":    {"POST", "/v1/batches/batch_1/cancel", "", 404, nil, "id"},
		"file not there":    {"GET", "/v1/files/file-1", "", 404, nil, "id"},
		"content not there": {"GET", "/v1/files/file-1/content", "", 404, nil, "id"},
		"delete not there":  {"DELETE", "/v1/files/file-1", "", 404, nil, "id"},
		"job not there":     {"GET", "/v1/jobs/job_1", "", 404, nil, "id"},
		"method":            {"PUT", "/v1/files", "", 405, "method_not_allowed", nil},
		"no form":           {"POST", "/v1/files", "{}", 400, "invalid_content_type", nil},
	} {
		t.Run(name, func(t *testing.T) {
			h.t = t
			status, text, head := h.call(c.method, c.path, c.body)
			require.Equal(t, c.status, status, text)
			require.Equal(t, "application/json", head.Get("Content-Type"))
			e := decode(t, text)["error"].(map[string]any)
			require.NotEmpty(t, e["message"])
			require.Equal(t, "invalid_request_error", e["type"])
			require.Equal(t, c.code, e["code"])
			require.Equal(t, c.param, e["param"])
		})
	}
	h.t = t
	for name, fields := range map[string]map[string]string{
		"purpose missing": {}, "purpose": {"purpose": "fine-tune"}, "unknown field": {"purpose": "batch", "x": "y"},
		"expiry": {"purpose": "batch", "expires_after[anchor]": "created_at", "expires_after[seconds]": "10"},
		"anchor": {"purpose": "batch", "expires_after[anchor]": "now", "expires_after[seconds]": "3600"},
	} {
		t.Run(name, func(t *testing.T) {
			h.t = t
			status, text := h.tryUpload("{}", fields)
			require.Equal(t, http.StatusBadRequest, status, text)
		})
	}
	h.t = t
	status, text, _ := h.call("POST", "/v1/files", "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nabc", "Content-Type", "multipart/form-data; boundary=b")
	require.Equal(t, 400, status, text)
}

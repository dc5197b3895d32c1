package control

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

func TestAdmin(t *testing.T) {
	registry := prometheus.NewRegistry()
	NewMetrics(registry)
	ready := true
	h := Admin{
		Ready: func() bool { return ready },
		Policies: func() []PolicyStatus {
			return []PolicyStatus{{Name: "digits", File: "a.yaml", State: StateStale, Version: "v", Error: `a.yaml:1: <"x">`}}
		},
		Nodes:    NewServer(nil, zap.NewNop(), NewMetrics(prometheus.NewRegistry())),
		Registry: registry,
	}.Handler()
	get := func(method, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
		return w
	}
	for path, want := range map[string]string{
		"/ready": "LIVE\n", "/live": "LIVE\n", "/": "/policies\n", "/debug/pprof/": "goroutine",
		"/metrics":          `fridayd_policy_loads_total{result="refused"} 0`,
		"/stats/prometheus": `fridayd_policies{state="current"} 0`,
	} {
		w := get(http.MethodGet, path)
		require.Equal(t, http.StatusOK, w.Code, path)
		require.Contains(t, w.Body.String(), want, path)
	}
	w := get(http.MethodGet, "/policies")
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var list []map[string]string
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &list))
	require.Equal(t, []map[string]string{{
		"name": "digits", "file": "a.yaml", "state": "stale", "version": "v", "error": `a.yaml:1: <"x">`,
	}}, list)
	require.JSONEq(t, "[]", get(http.MethodGet, "/nodes").Body.String())
	require.Equal(t, http.StatusNotFound, get(http.MethodGet, "/nothing").Code)
	require.Equal(t, http.StatusMethodNotAllowed, get(http.MethodPost, "/policies").Code)
	ready = false
	require.Equal(t, http.StatusServiceUnavailable, get(http.MethodGet, "/ready").Code)
}

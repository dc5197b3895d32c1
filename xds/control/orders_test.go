package control

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

func TestOrders(t *testing.T) {
	s := silent()
	r, _ := rollout(t, s, keep(t, ""))
	registry := prometheus.NewRegistry()
	NewMetrics(registry)
	folder := NewFolder(t.TempDir(), compiler(), r.Update, zap.NewNop(), r.metrics)
	h := Admin{
		Ready: func() bool { return true }, Policies: func() []PolicyStatus { return r.Policies(folder.Status()) },
		Nodes: s, Rollout: r, Registry: registry,
	}.Handler()
	ask := func(method, path, body string, header ...string) (int, string) {
		w := httptest.NewRecorder()
		req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		req.Header.Set(ByHeader, "me@here")
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		h.ServeHTTP(w, req)
		return w.Code, w.Body.String()
	}
	r.Update(compiled(t, twoServers("{blue: 3, green: 1}", "  routes:\n  - {prefix: /v1, weights: {green: 1}}\n")))
	r.Update(compiled(t, twoServers("{blue: 100}", "  timeout: 1s\n")))
	s.pretend("n1")
	for _, c := range []struct {
		method, path, body string
		code               int
		says               string
	}{
		{"GET", "/history", "", 200, `"number": 2`},
		{"GET", "/diff", "", 200, "+  weights: {blue: 100}"},
		{"GET", "/diff?from=x", "", 400, `from: "x": must be the number of a version`},
		{"GET", "/diff?from=1&to=7", "", 404, "version 7: is not kept"},
		{"GET", "/shifts", "", 200, "[]"},
		{"GET", "/clusters", "", 200, `"name": "digits.green"`},
		{"GET", "/dump?node=n1", "", 200, `"127.0.0.1"`},
		{"GET", "/dump?node=n2", "", 200, "[]"},
		{"GET", "/policies", "", 200, "[]"},
		{"GET", "/rollback", "", 404, "POST /rollback"},
		{"POST", "/rollback?to=0", "", 400, `to: "0"`},
		{"POST", "/rollback?to=9", "", 404, "there are 1 to 2"},
		{"POST", "/release", "", 409, "no rollback holds"},
		{"POST", "/shift", "{", 400, "not an order"},
		{"POST", "/shift", `{"rout": "digits"}`, 400, "rout"},
		{"POST", "/shift", `{"route": "words", "to": {"green": 1}}`, 409, "there is no policy"},
		{"POST", "/shift/abort", "", 409, "no such shift is running"},
		{"POST", "/token", `{"node": "a"}`, 409, "fridayd takes no tokens"},
		{"GET", "/roots", "", 404, "fridayd has no certificate authority"},
		{"POST", "/shift", `{"route": "digits", "to": {"green": 20}}`, 200, `"steps": 10`},
		{"GET", "/shifts", "", 200, `"by": "me@here at `},
		{"POST", "/shift/abort?route=digits", "", 200, `"state": "aborted"`},
		{"POST", "/rollback", "", 200, `"of": 1`},
		{"POST", "/release", "", 200, `"in_force": true`},
	} {
		code, body := ask(c.method, c.path, c.body)
		require.Equal(t, c.code, code, "%s %s: %s", c.method, c.path, body)
		require.Contains(t, body, c.says, "%s %s", c.method, c.path)
	}
	code, _ := ask("POST", "/rollback", "", "Sec-Fetch-Site", "cross-site")
	require.Equal(t, http.StatusForbidden, code, "a page of another site")

	_, err := r.Rollback(1, "")
	require.NoError(t, err)
	var list []ClusterView
	_, body := ask("GET", "/clusters", "")
	require.NoError(t, json.Unmarshal([]byte(body), &list))
	require.Equal(t, map[string]float64{"digits": 75, "digits/v1": 0}, list[0].Weights)
	require.Equal(t, map[string]float64{"digits": 25, "digits/v1": 100}, list[1].Weights)
}

// Metadata selects, also where a node comes back with other metadata.
func TestMetadataSelects(t *testing.T) {
	h := serve(t)
	h.Update(compiled(t, doc("digits", "  selector: {node_metadata: {tier: gold, size: \"2\"}}\n")))
	c := h.client(t, "n1", "")
	c.node.Metadata = fields(t, `{"tier": "gold", "size": 2, "other": [1]}`)
	c.start("digits")
	require.Equal(t, map[string]string{"tier": "gold", "size": "2"}, h.Nodes()[0].Metadata)
	require.Equal(t, "127.0.0.1", h.Nodes()[0].Address)
	other := h.client(t, "n2", "")
	other.node.Metadata = fields(t, `{"tier": "gold"}`)
	other.start()
}

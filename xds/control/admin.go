package control

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/pprof" // #nosec G108 -- served on the admin door only, which is loopback by default
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fridaymesh/friday/proxy/samesite"
	"github.com/fridaymesh/friday/xds/control/join"
)

// Admin is what fridayd's admin door shows.
type Admin struct {
	// Ready says whether nodes are served.
	Ready    func() bool
	Policies func() []PolicyStatus
	Nodes    *Server
	Rollout  *Rollout
	Registry prometheus.Gatherer
	// Tokens are made for who asks for one; nil: none are taken.
	Tokens *join.Tokens
}

type adminRoute struct {
	path string
	h    http.Handler
}

// Handler is the admin door: /ready, /live, /metrics (and Envoy's name for it,
// /stats/prometheus), /policies, /nodes, /clusters, /dump, /history, /diff,
// /shifts, /roots and /debug/pprof/; and what changes something, by POST: /rollback,
// /release, /shift, /shift/abort and /token.
func (a Admin) Handler() http.Handler {
	metrics := promhttp.HandlerFor(a.Registry, promhttp.HandlerOpts{})
	mux := http.NewServeMux()
	routes := []adminRoute{
		{"/ready", http.HandlerFunc(a.ready)},
		{"/live", http.HandlerFunc(live)},
		{"/metrics", metrics},
		{"/stats/prometheus", metrics},
		{"/policies", asJSON(func() any { return a.Policies() })},
		{"/nodes", asJSON(func() any { return a.Nodes.Nodes() })},
		{"/clusters", asJSON(func() any { return a.Nodes.Clusters() })},
		{"/dump", http.HandlerFunc(a.dump)},
		{"/history", asJSON(func() any { return a.Rollout.History() })},
		{"/diff", http.HandlerFunc(a.diff)},
		{"/shifts", asJSON(func() any { return a.Rollout.Shifts() })},
		{"/roots", http.HandlerFunc(a.roots)},
		{"/debug/pprof/", http.HandlerFunc(pprof.Index)},
		{"/debug/pprof/cmdline", http.HandlerFunc(pprof.Cmdline)},
		{"/debug/pprof/profile", http.HandlerFunc(pprof.Profile)},
		{"/debug/pprof/symbol", http.HandlerFunc(pprof.Symbol)},
		{"/debug/pprof/trace", http.HandlerFunc(pprof.Trace)},
	}
	var list strings.Builder
	for _, r := range routes {
		mux.Handle("GET "+r.path, r.h)
		list.WriteString(r.path + "\n")
	}
	for _, r := range a.orders() {
		mux.Handle("POST "+r.path, r.h)
		list.WriteString("POST " + r.path + "\n")
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, list.String()) })
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		text(w, http.StatusNotFound, "not found; there are\n"+list.String())
	})
	// A page of another site that a person looks at must not order anything here.
	return samesite.Guard(mux)
}

// Public is the part of the door that others than the host may reach: /ready, /live
// and /metrics.
func (a Admin) Public() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", a.ready)
	mux.HandleFunc("GET /live", live)
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.Registry, promhttp.HandlerOpts{}))
	return mux
}

func live(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "LIVE\n") }

func (a Admin) ready(w http.ResponseWriter, _ *http.Request) {
	if !a.Ready() {
		text(w, http.StatusServiceUnavailable, "NOT READY\n")
		return
	}
	text(w, http.StatusOK, "LIVE\n")
}

func asJSON(value func() any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, value()) })
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(value) // the caller has gone
}

func text(w http.ResponseWriter, status int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, s) // #nosec G705 -- plain text, and said to be
}

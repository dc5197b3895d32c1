package admin

import (
	"io"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fridaymesh/friday/proxy/admin/dashboard"
	"github.com/fridaymesh/friday/proxy/samesite"
)

// New returns the whole door, to be served on loopback. Calls that change
// something need POST. What a browser sends on behalf of another site is refused.
func New(o Options) http.Handler {
	d := &door{o: o}
	metrics := promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
	d.entries = []entry{
		{"/", "this page for people", get, nil},
		{"/cache/purge", "drop what is cached; ?model=NAME: of that model only", post, d.purge},
		{"/clusters", "endpoints of every cluster; ?format=json", get, d.clusters},
		{"/config_dump", "the configuration in force; ?resource=FIELD for one kind of resource", get, d.configDump},
		{"/debug/pprof/", "profiles of the process", get, profile},
		{"/drain_listeners", "stop taking connections, for good, and finish what runs; ?graceful: after the drain delay", post, d.drain},
		{"/help", "this list", get, d.help},
		{"/live", "200 while the process answers", get, live},
		{"/logging", "the log level; POST ?level=debug|info|warn|error sets it", getOrPost, d.logging},
		{"/metrics", "metrics in Prometheus' format", get, metrics.ServeHTTP},
		{"/models", "the models that are looked after: state, error, in flight, held; as JSON", get, d.models},
		{"/quitquitquit", "end the process after a drain", post, d.quit},
		{"/ready", "200 while requests are taken, else 503 and why", get, d.ready},
		{"/server_info", "version, state, uptime, node and options as JSON", get, d.serverInfo},
		{"/stats", "metrics as plain lines; ?format=prometheus, ?filter=REGEX", get, d.stats},
		{"/stats/prometheus", "metrics in Prometheus' format", get, metrics.ServeHTTP},
	}
	d.entries[0].serve = dashboard.New(d.shown()).ServeHTTP
	for path, serve := range dashboard.Assets() {
		d.entries = append(d.entries, entry{path, "", get, serve})
	}
	return samesite.Guard(d)
}

// Public returns the part of the door that others than the host may reach:
// /ready, /live and /metrics.
func Public(o Options) http.Handler {
	d := &door{o: o}
	d.entries = []entry{
		{"/live", "200 while the process answers", get, live},
		{"/metrics", "metrics in Prometheus' format", get, promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP},
		{"/ready", "200 while requests are taken, else 503 and why", get, d.ready},
	}
	return d
}

type door struct {
	o       Options
	entries []entry
}

// entry is one path and what is behind it. One without a Help is a part of another.
type entry struct {
	Path, Help string
	methods    []string
	serve      http.HandlerFunc
}

//nolint:gochecknoglobals // never written
var (
	get       = []string{http.MethodGet, http.MethodHead}
	post      = []string{http.MethodPost}
	getOrPost = []string{http.MethodGet, http.MethodHead, http.MethodPost}
)

// ServeHTTP finds the entry of the path: the same path, and for profiles one
// below.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-cache, max-age=0")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	i := slices.IndexFunc(d.entries, func(e entry) bool {
		return e.Path == r.URL.Path || len(e.Path) > 1 && strings.HasSuffix(e.Path, "/") && strings.HasPrefix(r.URL.Path, e.Path)
	})
	if i < 0 {
		text(w, http.StatusNotFound, "invalid path. admin commands are:\n"+d.list())
		return
	}
	if e := d.entries[i]; slices.Contains(e.methods, r.Method) {
		e.serve(w, r)
		return
	}
	w.Header().Set("Allow", strings.Join(d.entries[i].methods, ", "))
	text(w, http.StatusMethodNotAllowed, "Method Not Allowed\n")
}

func (d *door) help(w http.ResponseWriter, _ *http.Request) {
	text(w, http.StatusOK, "admin commands are:\n"+d.list())
}

func (d *door) list() string {
	var b strings.Builder
	for _, e := range d.entries {
		if e.Help == "" {
			continue
		}
		b.WriteString("  " + e.Path + ": " + e.Help)
		if slices.Equal(e.methods, post) {
			b.WriteString(" (POST)")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func text(w http.ResponseWriter, status int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, s) // #nosec G705 -- plain text, and nosniff; an error is whoever asked having gone
}

func profile(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/debug/pprof/cmdline":
		pprof.Cmdline(w, r)
	case "/debug/pprof/profile":
		pprof.Profile(w, r)
	case "/debug/pprof/symbol":
		pprof.Symbol(w, r)
	case "/debug/pprof/trace":
		pprof.Trace(w, r)
	default:
		pprof.Index(w, r)
	}
}

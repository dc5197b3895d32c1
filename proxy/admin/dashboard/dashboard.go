package dashboard

import (
	"embed"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/template"
)

// Options is where what the page shows comes from. The functions are called by several
// requests at once and must return soon. All are required.
type Options struct {
	// State is the state's name, and why requests are not taken, if they are not.
	State func() (name, reason string)
	// Clusters returns the clusters in the order to show.
	Clusters func() []Cluster
	// Refusals returns the resources of the control plane that are not in force as sent.
	Refusals func() []Refusal
	// Models are those that are looked after.
	Models   func() []proxy.ModelStatus
	Registry prometheus.Gatherer

	Version       string
	Node, Service string // what the control plane knows the process by; may be empty
	Started       time.Time
	// Doors are the other paths to show.
	Doors []Door
}

// Door is a path of the admin door and what is behind it.
type Door struct{ Path, Help string }

// Cluster is one cluster and its endpoints.
type Cluster struct {
	Name      string
	Endpoints []Endpoint
}

// Endpoint is one endpoint of a cluster.
type Endpoint struct {
	Address string
	Healthy bool
	// Flags are Envoy's health flags.
	Flags  string
	Active int64
	// Total is the requests ever sent, of which Failed ended badly.
	Total, Failed uint64
}

// Refusal is a resource that was refused.
type Refusal struct {
	Type, Name string
	// Version is the one that was refused, Problem why.
	Version, Problem string
	At               time.Time
}

//go:embed page.html panels.html dashboard.css dashboard.js icon.svg
var files embed.FS

// page escapes what it is given. All of that stands between tags or in the quoted values of
// attributes, and no address is made of it (dashboard_test.go has html/template confirm it).
//
//nolint:gochecknoglobals // never written
var page = parsed()

func parsed() *template.Template {
	t, err := template.Parse("page.html", text("page.html")+text("panels.html"), template.HTML, functions())
	if err != nil {
		panic(err) // it is embedded
	}
	return t
}

// text is an embedded file.
func text(name string) string {
	b, err := files.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
	return string(b)
}

// policy lets the browser load the assets of this door and ask it again, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Dashboard serves the page.
type Dashboard struct {
	o        Options
	readings readings
}

// New makes a Dashboard.
func New(o Options) *Dashboard { return &Dashboard{o: o} }

// ServeHTTP writes the page.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	body, err := page.Execute(d.view(time.Now()), template.Limits{})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=UTF-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	_, _ = w.Write(body) // whoever asked has gone if it fails
}

// Assets are what the page loads, by path.
func Assets() map[string]http.HandlerFunc {
	asset := func(name, kind string) http.HandlerFunc {
		b := []byte(text(name))
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = w.Write(b) // whoever asked has gone if it fails
		}
	}
	return map[string]http.HandlerFunc{
		"/dashboard.css": asset("dashboard.css", "text/css; charset=UTF-8"),
		"/dashboard.js":  asset("dashboard.js", "text/javascript; charset=UTF-8"),
		"/icon.svg":      asset("icon.svg", "image/svg+xml"),
	}
}

// view is all that the page says. A panel that is nil has nothing to say.
type view struct {
	State, Reason          string
	Version, Node, Service string
	Up, Window             float64 // seconds
	// Since says that Window is all the time since the start.
	Since       bool
	Traffic     *traffic
	Batching    *batching
	Cache       *cache
	Streams     *streams
	Models      []proxy.ModelStatus
	Jobs        *jobs
	Config      *configuration
	Connections *connections
	Clusters    []Cluster
	Doors       []Door
}

func (d *Dashboard) view(now time.Time) *view {
	f := d.readings.take(d.o.Registry, now, d.o.Started)
	v := &view{
		Version: d.o.Version, Node: d.o.Node, Service: d.o.Service,
		Up: now.Sub(d.o.Started).Truncate(time.Second).Seconds(), Window: f.window.Round(time.Second).Seconds(), Since: f.then == nil,
		Traffic: trafficOf(f), Batching: batchingOf(f), Cache: cacheOf(f), Streams: streamsOf(f), Models: d.o.Models(), Jobs: jobsOf(f),
		Config: configurationOf(f, d.o.Refusals()), Connections: connectionsOf(f),
		Clusters: d.o.Clusters(), Doors: d.o.Doors,
	}
	v.State, v.Reason = d.o.State()
	return v
}

package admin

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/fridaymesh/friday/proxy"
)

func live(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "LIVE\n") }

func (d *door) ready(w http.ResponseWriter, _ *http.Request) {
	ready, reason := d.o.State()
	if ready {
		text(w, http.StatusOK, "LIVE\n")
		return
	}
	text(w, http.StatusServiceUnavailable, reason+"\n")
}

// state returns the state's name, and why requests are not taken if they are not.
func (d *door) state() (name, reason string) {
	ready, reason := d.o.State()
	if ready {
		return "LIVE", ""
	}
	name, _, _ = strings.Cut(reason, ":")
	return name, reason
}

// serverInfo has the fields of envoy.admin.v3.ServerInfo that have a meaning
// here.
func (d *door) serverInfo(w http.ResponseWriter, _ *http.Request) {
	info := d.o.Info
	state, _ := d.state()
	writeJSON(w, struct {
		Version            string            `json:"version"`
		State              string            `json:"state"`
		UptimeCurrentEpoch string            `json:"uptime_current_epoch"`
		UptimeAllEpochs    string            `json:"uptime_all_epochs"`
		CommandLineOptions map[string]string `json:"command_line_options"`
		Node               nodeJSON          `json:"node"`
	}{
		info.Version, state, d.uptime(), d.uptime(), info.CommandLine,
		nodeJSON{ID: info.NodeID, Cluster: info.NodeCluster, UserAgentName: "friday", UserAgentVersion: info.Version},
	})
}

// uptime is whole seconds, written as protobuf writes a Duration in JSON.
func (d *door) uptime() string {
	return strconv.FormatInt(int64(time.Since(d.o.Info.Started)/time.Second), 10) + "s"
}

type nodeJSON struct {
	ID               string `json:"id"`
	Cluster          string `json:"cluster"`
	UserAgentName    string `json:"user_agent_name"`
	UserAgentVersion string `json:"user_agent_version"`
}

// models shows the models that are looked after.
func (d *door) models(w http.ResponseWriter, _ *http.Request) {
	all := d.o.Models()
	if all == nil {
		all = []proxy.ModelStatus{}
	}
	writeJSON(w, struct {
		Models []proxy.ModelStatus `json:"models"`
	}{all})
}

func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		text(w, http.StatusInternalServerError, err.Error()+"\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n')) // whoever asked has gone if it fails
}

// level parses those that an operator may choose; "warning" is Envoy's word.
func level(s string) (zapcore.Level, bool) {
	s = strings.ToLower(s)
	if s == "warning" {
		s = "warn"
	}
	l, err := zapcore.ParseLevel(s)
	return l, err == nil && slices.Contains([]zapcore.Level{zapcore.DebugLevel, zapcore.InfoLevel, zapcore.WarnLevel, zapcore.ErrorLevel}, l)
}

func (d *door) logging(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		wanted := r.URL.Query().Get("level")
		l, ok := level(wanted)
		if wanted == "" || !ok { // zap takes the empty text for info
			text(w, http.StatusBadRequest, "level: "+strconv.Quote(wanted)+" is none of debug, info, warn, error\n")
			return
		}
		d.o.Level.SetLevel(l)
	}
	text(w, http.StatusOK, "active loggers:\n  friday: "+d.o.Level.String()+"\n")
}

func (d *door) drain(w http.ResponseWriter, r *http.Request) {
	d.o.Drain(r.URL.Query().Has("graceful"))
	text(w, http.StatusOK, "OK\n")
}

func (d *door) purge(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	for name := range query {
		if name != "model" {
			text(w, http.StatusBadRequest, strconv.Quote(name)+" is not known: only model is\n")
			return
		}
	}
	if query.Has("model") && query.Get("model") == "" {
		text(w, http.StatusBadRequest, "model: empty: leave it out to purge all\n")
		return
	}
	text(w, http.StatusOK, "purged "+strconv.Itoa(d.o.Purge(query.Get("model")))+"\n")
}

func (d *door) quit(w http.ResponseWriter, _ *http.Request) {
	text(w, http.StatusOK, "OK\n")
	// The answer first: the end of the process may be quicker than it.
	_ = http.NewResponseController(w).Flush() // not every writer can
	d.o.Quit()
}

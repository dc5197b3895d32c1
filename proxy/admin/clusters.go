package admin

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// clusters writes Envoy's text, of which tools take lines apart at "::", or its
// JSON (envoy.admin.v3.Clusters).
func (d *door) clusters(w http.ResponseWriter, r *http.Request) {
	switch format := r.URL.Query().Get("format"); format {
	case "json":
		writeJSON(w, clustersJSON(d.o.Clusters()))
	case "", "text":
		text(w, http.StatusOK, clustersText(d.o.Clusters()))
	default:
		text(w, http.StatusBadRequest, "format: "+strconv.Quote(format)+" is neither text nor json\n")
	}
}

func clustersText(clusters []ClusterStatus) string {
	var b strings.Builder
	for _, c := range clusters {
		fmt.Fprintf(&b, "%s::observability_name::%s\n", c.Name, c.Name)
		for _, l := range c.Limits {
			fmt.Fprintf(&b, "%s::%s::%d\n", c.Name, l.Name, l.Value)
		}
		for _, r := range c.Outlier {
			fmt.Fprintf(&b, "%s::outlier::%s::%s\n", c.Name, r.Name, rate(r.Value))
		}
		fmt.Fprintf(&b, "%s::added_via_api::%t\n", c.Name, c.AddedByAPI)
		for i := range c.Endpoints {
			e := &c.Endpoints[i]
			name := c.Name + "::" + e.Address
			for _, s := range e.stats() {
				fmt.Fprintf(&b, "%s::%s::%s\n", name, s.Name, s.Value)
			}
			for _, f := range [][2]string{
				{"hostname", e.Hostname},
				{"health_flags", e.Flags},
				{"weight", strconv.FormatUint(uint64(max(1, e.Weight)), 10)},
				{"region", e.Region},
				{"zone", e.Zone},
				{"sub_zone", e.SubZone},
				{"canary", strconv.FormatBool(e.Canary)},
				{"priority", strconv.FormatUint(uint64(e.Priority), 10)},
				{"success_rate", rate(e.SuccessRate)},
				{"local_origin_success_rate", rate(e.LocalSuccessRate)},
			} {
				fmt.Fprintf(&b, "%s::%s::%s\n", name, f[0], f[1])
			}
		}
	}
	return b.String()
}

// rate is -1 where it is not known, as in Envoy.
func rate(percent float64) string { return strconv.FormatFloat(max(-1, percent), 'g', 6, 64) }

// statJSON is an envoy.admin.v3.SimpleMetric. Its value is text, as in protobuf's
// JSON of 64 bits.
type statJSON struct {
	Type  string `json:"type"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

// stats are by name, as Envoy's.
func (e *EndpointStatus) stats() (stats []statJSON) {
	counter := func(name string, n uint64) {
		stats = append(stats, statJSON{"COUNTER", name, strconv.FormatUint(n, 10)})
	}
	gauge := func(name string, n int64) {
		stats = append(stats, statJSON{"GAUGE", name, strconv.FormatInt(n, 10)})
	}
	if e.Connections != nil {
		gauge("cx_active", e.Connections.Active)
	}
	counter("cx_connect_fail", e.NotReached)
	if e.Connections != nil {
		counter("cx_total", e.Connections.Total)
	}
	gauge("rq_active", e.Active)
	counter("rq_error", e.Failed)
	counter("rq_success", e.Succeeded)
	counter("rq_timeout", e.TimedOut)
	counter("rq_total", e.Total)
	return stats
}

// health takes the flags apart, as envoy.admin.v3.HostHealthStatus has them.
func (e *EndpointStatus) health() healthJSON {
	has := func(flag string) bool { return strings.Contains(e.Flags, "/"+flag) }
	h := healthJSON{
		FailedActive: has("failed_active_hc"), FailedOutlier: has("failed_outlier_check"), Degraded: has("degraded_active_hc"),
		PendingRemoval: has("pending_dynamic_removal"), PendingActive: has("pending_active_hc"),
		Excluded: has("excluded_via_immediate_hc_fail"), ActiveTimeout: has("active_hc_timeout"), EDSHealthStatus: "HEALTHY",
	}
	switch {
	case has("failed_eds_health"):
		h.EDSHealthStatus = "UNHEALTHY"
	case has("eds_status_draining"):
		h.EDSHealthStatus = "DRAINING"
	case has("degraded_eds_health"):
		h.EDSHealthStatus = "DEGRADED"
	}
	return h
}

type (
	dumpJSON struct {
		ClusterStatuses []clusterJSON `json:"cluster_statuses"`
	}
	clusterJSON struct {
		Name              string     `json:"name"`
		AddedViaAPI       bool       `json:"added_via_api"`
		HostStatuses      []hostJSON `json:"host_statuses"`
		ObservabilityName string     `json:"observability_name"`
	}
	hostJSON struct {
		Address struct {
			SocketAddress socketJSON `json:"socket_address"`
		} `json:"address"`
		Stats        []statJSON   `json:"stats"`
		HealthStatus healthJSON   `json:"health_status"`
		Weight       uint32       `json:"weight"`
		Hostname     string       `json:"hostname,omitempty"`
		Priority     uint32       `json:"priority"`
		Locality     localityJSON `json:"locality"`
	}
	localityJSON struct {
		Region  string `json:"region,omitempty"`
		Zone    string `json:"zone,omitempty"`
		SubZone string `json:"sub_zone,omitempty"`
	}
	socketJSON struct {
		Address   string `json:"address"`
		PortValue int    `json:"port_value"`
	}
	healthJSON struct {
		FailedActive    bool   `json:"failed_active_health_check,omitempty"`
		FailedOutlier   bool   `json:"failed_outlier_check,omitempty"`
		Degraded        bool   `json:"failed_active_degraded_check,omitempty"`
		PendingRemoval  bool   `json:"pending_dynamic_removal,omitempty"`
		PendingActive   bool   `json:"pending_active_hc,omitempty"`
		Excluded        bool   `json:"excluded_via_immediate_hc_fail,omitempty"`
		ActiveTimeout   bool   `json:"active_hc_timeout,omitempty"`
		EDSHealthStatus string `json:"eds_health_status"`
	}
)

func clustersJSON(clusters []ClusterStatus) dumpJSON {
	dump := dumpJSON{ClusterStatuses: []clusterJSON{}}
	for _, c := range clusters {
		j := clusterJSON{Name: c.Name, AddedViaAPI: c.AddedByAPI, HostStatuses: []hostJSON{}, ObservabilityName: c.Name}
		for i := range c.Endpoints {
			e := &c.Endpoints[i]
			h := hostJSON{
				Stats: e.stats(), HealthStatus: e.health(), Weight: max(1, e.Weight), Hostname: e.Hostname, Priority: e.Priority,
				Locality: localityJSON{e.Region, e.Zone, e.SubZone},
			}
			h.Address.SocketAddress = socket(e.Address)
			j.HostStatuses = append(j.HostStatuses, h)
		}
		dump.ClusterStatuses = append(dump.ClusterStatuses, j)
	}
	return dump
}

func socket(address string) socketJSON {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return socketJSON{Address: address}
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return socketJSON{Address: address}
	}
	return socketJSON{host, n}
}

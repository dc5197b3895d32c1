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
		fmt.Fprintf(&b, "%s::added_via_api::%t\n", c.Name, c.AddedByAPI)
		for _, e := range c.Endpoints {
			name := c.Name + "::" + e.Address
			for _, s := range e.stats() {
				fmt.Fprintf(&b, "%s::%s::%s\n", name, s.Name, s.Value)
			}
			fmt.Fprintf(&b, "%s::health_flags::%s\n", name, e.flags())
			fmt.Fprintf(&b, "%s::weight::%d\n", name, max(1, e.Weight))
		}
	}
	return b.String()
}

// flags are Envoy's health flags. Health comes from the control plane.
func (e *EndpointStatus) flags() string {
	if e.Healthy {
		return "healthy"
	}
	return "/failed_eds_health"
}

// statJSON is an envoy.admin.v3.SimpleMetric. Its value is text, as in protobuf's
// JSON of 64 bits.
type statJSON struct {
	Type  string `json:"type"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

// stats are by name, as Envoy's.
func (e *EndpointStatus) stats() (stats []statJSON) {
	if e.Connections != nil {
		stats = append(stats,
			statJSON{"GAUGE", "cx_active", strconv.FormatInt(e.Connections.Active, 10)},
			statJSON{"COUNTER", "cx_total", strconv.FormatUint(e.Connections.Total, 10)})
	}
	return append(stats,
		statJSON{"GAUGE", "rq_active", strconv.FormatInt(e.Active, 10)},
		statJSON{"COUNTER", "rq_total", strconv.FormatUint(e.Total, 10)})
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
		Stats        []statJSON `json:"stats"`
		HealthStatus healthJSON `json:"health_status"`
		Weight       uint32     `json:"weight"`
	}
	socketJSON struct {
		Address   string `json:"address"`
		PortValue int    `json:"port_value"`
	}
	healthJSON struct {
		EDSHealthStatus string `json:"eds_health_status"`
	}
)

func clustersJSON(clusters []ClusterStatus) dumpJSON {
	dump := dumpJSON{ClusterStatuses: []clusterJSON{}}
	for _, c := range clusters {
		j := clusterJSON{Name: c.Name, AddedViaAPI: c.AddedByAPI, HostStatuses: []hostJSON{}, ObservabilityName: c.Name}
		for _, e := range c.Endpoints {
			h := hostJSON{Stats: e.stats(), HealthStatus: healthJSON{"HEALTHY"}, Weight: max(1, e.Weight)}
			if !e.Healthy {
				h.HealthStatus.EDSHealthStatus = "UNHEALTHY"
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

package dashboard

import "slices"

// configuration is what the control plane sent, and what became of it.
type configuration struct {
	Targets  []*group // label: who; value 1: connected
	Kinds    []kind
	Refusals []Refusal
}

// kind is one kind of resource.
type kind struct {
	Name, Words, Version string
	Accepted, Rejected   *group
}

func configurationOf(f *figures, refusals []Refusal) *configuration {
	if !f.has("friday_xds_connected") && !f.has("friday_xds_updates_total") && !f.has("friday_xds_version_info") && len(refusals) == 0 {
		return nil
	}
	c := &configuration{Targets: f.by("friday_xds_connected", "target"), Refusals: refusals}
	versions := make(map[string]string)
	names := make([]string, 0, 8)
	for _, g := range f.by("friday_xds_version_info", "type", "version") {
		if g.Value == 1 {
			versions[g.Labels[0]] = g.Labels[1]
			names = append(names, g.Labels[0])
		}
	}
	updates := f.by("friday_xds_updates_total", "type", "result")
	for _, g := range updates {
		names = append(names, g.Labels[0])
	}
	slices.Sort(names)
	of := byLabels(updates)
	for _, n := range slices.Compact(names) {
		c.Kinds = append(c.Kinds, kind{n, kindWords(n), versions[n], of(n, "accepted"), of(n, "rejected")})
	}
	return c
}

type connections struct {
	Listeners []listener
	Upstream  []upstream
	Relays    []relay
}

type listener struct {
	Name             string
	Open, Active     float64
	FailedHandshakes float64 // since the start
	WhyRefused       []*group
}

type upstream struct {
	Name             string
	Open, Pending    float64
	Opened, Sent     *group
	Reused           float64 // share
	Retried, Refused float64 // since the start, as the next
	FailedHandshakes float64
}

type relay struct {
	Listener, Cluster string
	Active            float64
	Ended, Failed     float64
}

func connectionsOf(f *figures) *connections {
	c := &connections{}
	active := byLabels(f.by("friday_downstream_requests_active", "listener"))
	refused := f.by("friday_downstream_connections_refused_total", "listener", "reason")
	hands := byLabels(f.by("friday_downstream_tls_handshakes_total", "listener", "result"))
	for _, g := range f.by("friday_downstream_connections", "listener") {
		l := listener{Name: g.Labels[0], Open: g.Value, Active: active(g.Labels[0]).Value, FailedHandshakes: hands(g.Labels[0], "failed").Value}
		for _, r := range refused {
			if r.Labels[0] == l.Name && r.Value > 0 {
				l.WhyRefused = append(l.WhyRefused, r)
			}
		}
		c.Listeners = append(c.Listeners, l)
	}
	c.Upstream = upstreamOf(f)
	ended := byLabels(f.by("friday_tcp_connections_total", "listener", "cluster", "result"))
	for _, g := range f.by("friday_tcp_connections_active", "listener", "cluster") {
		n, cluster := g.Labels[0], g.Labels[1]
		bad := ended(n, cluster, "failed").Value + ended(n, cluster, "cut").Value
		c.Relays = append(c.Relays, relay{n, cluster, g.Value, ended(n, cluster, "ok").Value + bad, bad})
	}
	if len(c.Listeners)+len(c.Upstream)+len(c.Relays) == 0 {
		return nil
	}
	return c
}

func upstreamOf(f *figures) (out []upstream) {
	open := byLabels(f.by("friday_upstream_connections_open", "cluster"))
	pending := byLabels(f.by("friday_upstream_requests_pending", "cluster"))
	opened := byLabels(f.by("friday_upstream_connections_total", "cluster"))
	reused := byLabels(f.by("friday_upstream_requests_total", "cluster", "reused"))
	retried := byLabels(f.by("friday_upstream_retries_total", "cluster"))
	over := byLabels(f.by("friday_upstream_overflow_total", "cluster"))
	hands := byLabels(f.by("friday_upstream_tls_handshakes_total", "cluster", "result"))
	for _, g := range busiest(f.by("friday_upstream_requests_total", "cluster")) {
		n := g.Labels[0]
		out = append(out, upstream{
			Name: n, Open: open(n).Value, Pending: pending(n).Value, Opened: opened(n), Sent: g,
			Reused: reused(n, "true").Grown / g.Grown, Retried: retried(n).Value, Refused: over(n).Value,
			FailedHandshakes: hands(n, "failed").Value,
		})
	}
	return out
}

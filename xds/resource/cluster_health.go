package resource

import (
	"encoding/hex"
	"strconv"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/fridaymesh/friday/proxy/cluster"
)

// healthCheck reads the one health check.
func (p *problems) healthCheck(m *clusterv3.Cluster, c *cluster.Config) {
	checks := m.GetHealthChecks()
	if len(checks) == 0 || p.under("health_checks[0]") {
		return
	}
	if len(checks) > 1 {
		p.add("health_checks", strconv.Itoa(len(checks)), "only one is supported")
		return
	}
	h, path := checks[0], "health_checks[0]"
	c.Check = &cluster.Check{
		Timeout: h.GetTimeout().AsDuration(), Interval: h.GetInterval().AsDuration(),
		UnhealthyInterval:     h.GetUnhealthyInterval().AsDuration(),
		UnhealthyEdgeInterval: h.GetUnhealthyEdgeInterval().AsDuration(),
		HealthyEdgeInterval:   h.GetHealthyEdgeInterval().AsDuration(),
		NoTraffic:             h.GetNoTrafficInterval().AsDuration(),
		NoTrafficHealthy:      h.GetNoTrafficHealthyInterval().AsDuration(),
		InitialJitter:         h.GetInitialJitter().AsDuration(),
		Jitter:                h.GetIntervalJitter().AsDuration(), JitterPercent: h.GetIntervalJitterPercent(),
		UnhealthyAfter: h.GetUnhealthyThreshold().GetValue(), HealthyAfter: h.GetHealthyThreshold().GetValue(),
		NoReuse:     h.GetReuseConnection() != nil && !h.GetReuseConnection().GetValue(),
		LogFailures: h.GetAlwaysLogHealthCheckFailures(),
	}
	switch {
	case h.GetHttpHealthCheck() != nil:
		c.Check.HTTP = p.httpCheck(path+".http_health_check", h.GetHttpHealthCheck())
	case h.GetTcpHealthCheck() != nil:
		t := h.GetTcpHealthCheck()
		c.Check.TCP = &cluster.TCPCheck{
			Send:    p.payload(path+".tcp_health_check.send", t.GetSend()),
			Receive: p.payloads(path+".tcp_health_check.receive", t.GetReceive()),
		}
	case h.GetGrpcHealthCheck() != nil:
		g := h.GetGrpcHealthCheck()
		set, add := headers(g.GetInitialMetadata())
		c.Check.GRPC = &cluster.GRPCCheck{Service: g.GetServiceName(), Authority: g.GetAuthority(), Metadata: append(set, add...)}
	}
}

func (p *problems) httpCheck(path string, m *corev3.HealthCheck_HttpHealthCheck) *cluster.HTTPCheck {
	h := &cluster.HTTPCheck{
		Host: m.GetHost(), Path: m.GetPath(), HTTP2: m.GetCodecClientType() == typev3.CodecClientType_HTTP2,
		Expected:  p.statuses(path+".expected_statuses", m.GetExpectedStatuses()),
		Retriable: p.statuses(path+".retriable_statuses", m.GetRetriableStatuses()),
		Remove:    m.GetRequestHeadersToRemove(),
		Send:      p.payload(path+".send", m.GetSend()),
		Receive:   p.payloads(path+".receive", m.GetReceive()),
	}
	if m.GetMethod() != corev3.RequestMethod_METHOD_UNSPECIFIED {
		h.Method = m.GetMethod().String()
	}
	if m.GetMethod() == corev3.RequestMethod_CONNECT {
		p.add(path+".method", "CONNECT", "not for a health check")
	}
	h.Set, h.Add = headers(m.GetRequestHeadersToAdd())
	return h
}

// statuses reads half-open ranges.
func (p *problems) statuses(path string, ranges []*typev3.Int64Range) (out []cluster.StatusRange) {
	for i, r := range ranges {
		if r.GetStart() < 100 || r.GetEnd() > 600 || r.GetStart() >= r.GetEnd() {
			p.add(path+"["+strconv.Itoa(i)+"]", strconv.FormatInt(r.GetStart(), 10)+" to "+strconv.FormatInt(r.GetEnd(), 10), "must be within 100 to 600, the end not included")
			continue
		}
		out = append(out, cluster.StatusRange{Start: int(r.GetStart()), End: int(r.GetEnd())})
	}
	return out
}

func (p *problems) payload(path string, m *corev3.HealthCheck_Payload) []byte {
	if m == nil {
		return nil
	}
	if m.GetText() == "" {
		return m.GetBinary()
	}
	b, err := hex.DecodeString(m.GetText())
	if err != nil {
		p.add(path+".text", quote(m.GetText()), "not hexadecimal")
	}
	return b
}

func (p *problems) payloads(path string, m []*corev3.HealthCheck_Payload) (out [][]byte) {
	for i, one := range m {
		out = append(out, p.payload(path+"["+strconv.Itoa(i)+"]", one))
	}
	return out
}

// headers tells those that replace from those that are added.
func headers(options []*corev3.HeaderValueOption) (set, add [][2]string) {
	for _, o := range options {
		f := [2]string{o.GetHeader().GetKey(), o.GetHeader().GetValue()}
		if f[1] == "" {
			f[1] = string(o.GetHeader().GetRawValue())
		}
		if f[1] == "" && !o.GetKeepEmptyValue() {
			continue
		}
		replaces := o.GetAppend() != nil && !o.GetAppend().GetValue() ||
			o.GetAppendAction() == corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
		switch {
		case o.GetAppendAction() == corev3.HeaderValueOption_OVERWRITE_IF_EXISTS:
		case replaces:
			set = append(set, f)
		default:
			add = append(add, f)
		}
	}
	return set, add
}

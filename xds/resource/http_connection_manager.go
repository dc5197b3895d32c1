package resource

import (
	"slices"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/fridaymesh/friday/proxy/config"
)

// http reads an HttpConnectionManager.
func (p *problems) http(path string, m *hcmv3.HttpConnectionManager, r *Parser, l *Listener) *config.HTTP {
	h := &config.HTTP{
		Codec:          codec(m.GetCodecType()),
		HeadersTimeout: timeout(m.GetRequestHeadersTimeout()),
		IdleTimeout:    timeout(m.GetCommonHttpProtocolOptions().GetIdleTimeout()),
		MaxHeaderBytes: int(m.GetMaxRequestHeadersKb().GetValue()) << 10, // the table's checks hold it to 8192
		Limits:         limits(m),
	}
	p.accessLogs(path, m, h)
	h.Edge = p.edge(path, m)
	if m.GetTracing() != nil {
		h.Tracing = p.tracing(path+".tracing", m.GetTracing(), l)
	}
	switch {
	case m.GetRds() != nil:
		h.RouteName = m.GetRds().GetRouteConfigName()
		if h.RouteName == "" {
			p.addf(path+".rds.route_config_name", "missing")
		}
		p.ads(path+".rds.config_source", m.GetRds().GetConfigSource())
		l.RoutesTimeout = longer(l.RoutesTimeout, patience(m.GetRds().GetConfigSource()), len(l.Tables) == 0)
		l.Tables = append(l.Tables, h.RouteName)
	case m.GetRouteConfig() != nil:
		h.Table = p.table(path+".route_config", m.GetRouteConfig(), r)
		if h.Table != nil {
			l.Clusters = append(l.Clusters, clusterNames(h.Table)...)
		}
		if validate := m.GetRouteConfig().GetValidateClusters(); validate == nil || validate.GetValue() {
			l.Validated = append(l.Validated, h.Table)
		}
	}
	h.AllowConnect = m.GetHttp2ProtocolOptions().GetAllowConnect()
	h.Upgrades = p.upgrades(path+".upgrade_configs", m.GetUpgradeConfigs())
	before := len(l.Extensions)
	h.Filters = p.httpFilters(path+".http_filters", m.GetHttpFilters(), r, l)
	for _, use := range l.Extensions[before:] {
		use.of = h
	}
	return h
}

// upgrades reads what a connection may become.
func (p *problems) upgrades(path string, all []*hcmv3.HttpConnectionManager_UpgradeConfig) (kinds []string) {
	for i, u := range all {
		kind := strings.ToLower(u.GetUpgradeType())
		switch at := path + "[" + strconv.Itoa(i) + "].upgrade_type"; {
		case kind == "":
			p.addf(at, "missing")
		case kind == "connect" || kind == "connect-udp" || kind == "h2c":
			p.add(at, strconv.Quote(u.GetUpgradeType()), "not supported")
		case slices.Contains(kinds, kind):
			p.add(at, strconv.Quote(u.GetUpgradeType()), "there already")
		case u.GetEnabled() == nil || u.GetEnabled().GetValue():
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// limits reads what a caller may take.
func limits(m *hcmv3.HttpConnectionManager) config.Limits {
	o := m.GetCommonHttpProtocolOptions()
	l := config.Limits{
		MaxHeaders:               int(o.GetMaxHeadersCount().GetValue()),
		RequestTimeout:           timeout(m.GetRequestTimeout()),
		StreamIdleTimeout:        timeout(m.GetStreamIdleTimeout()),
		MaxConnectionDuration:    timeout(o.GetMaxConnectionDuration()),
		MaxRequestsPerConnection: int(o.GetMaxRequestsPerConnection().GetValue()),
		DelayedCloseTimeout:      timeout(m.GetDelayedCloseTimeout()),
	}
	if l.DelayedCloseTimeout == Unlimited { // 0s: no delay
		l.DelayedCloseTimeout = -1
	}
	switch o.GetHeadersWithUnderscoresAction() {
	case corev3.HttpProtocolOptions_ALLOW:
	case corev3.HttpProtocolOptions_REJECT_REQUEST:
		l.Underscores = config.RefuseUnderscores
	case corev3.HttpProtocolOptions_DROP_HEADER:
		l.Underscores = config.DropUnderscores
	}
	return l
}

// codec reads a codec_type; the table refuses the others.
func codec(t hcmv3.HttpConnectionManager_CodecType) config.Codec {
	switch t { //nolint:exhaustive // as above
	case hcmv3.HttpConnectionManager_HTTP1:
		return config.CodecHTTP1
	case hcmv3.HttpConnectionManager_HTTP2:
		return config.CodecHTTP2
	}
	return config.CodecAuto
}

// httpFilters reads a chain of HTTP filters, which a router ends.
func (p *problems) httpFilters(path string, all []*hcmv3.HttpFilter, r *Parser, l *Listener) (chain []config.Filter) {
	if len(all) == 0 {
		p.addf(path, "missing: the last filter must be envoy.filters.http.router")
		return nil
	}
	last := len(all) - 1
	for i, f := range all {
		at := path + "[" + strconv.Itoa(i) + "]"
		isRouter := f.GetTypedConfig().MessageName() == "envoy.extensions.filters.http.router.v3.Router"
		switch {
		case p.under(at + ".config_discovery"):
		case isRouter && i != last:
			p.add(at, strconv.Quote(f.GetName()), "envoy.filters.http.router must be the last filter")
		case isRouter:
			p.router(at, f)
		case i == last:
			p.add(at, strconv.Quote(f.GetName()), "the last filter must be envoy.filters.http.router")
		case f.GetConfigDiscovery() != nil:
			use := p.discovery(at, f, r)
			use.at = len(chain)
			l.Extensions = append(l.Extensions, use)
			chain = append(chain, config.Filter{Name: f.GetName(), Disabled: f.GetDisabled()})
		default:
			if filter, ok := p.httpFilter(at, f, r); ok {
				chain = append(chain, filter)
			}
		}
	}
	return chain
}

// httpFilter reads one filter; false: there is none to add.
func (p *problems) httpFilter(at string, f *hcmv3.HttpFilter, r *Parser) (config.Filter, bool) {
	at += ".typed_config"
	builder, parsed, err := p.filter(at, f.GetTypedConfig(), r)
	if err == nil {
		return config.Filter{Name: f.GetName(), Factory: builder, Config: parsed, Disabled: f.GetDisabled()}, true
	}
	if !p.leaves(at, f.GetTypedConfig(), err, f.GetIsOptional()) {
		p.cause(at, err)
	}
	return config.Filter{}, false
}

// router checks the filter that sends requests on; there is nothing to set.
func (p *problems) router(at string, f *hcmv3.HttpFilter) {
	if f.GetDisabled() {
		p.add(at+".disabled", "true", "the router cannot be disabled")
	}
	m := new(routerv3.Router)
	if err := f.GetTypedConfig().UnmarshalTo(m); err != nil {
		p.addf(at+".typed_config", "not a Router: cannot be decoded")
		return
	}
	p.check(at+".typed_config", m.ProtoReflect())
}

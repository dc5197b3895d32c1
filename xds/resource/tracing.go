package resource

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"os"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tracev3 "github.com/envoyproxy/go-control-plane/envoy/config/trace/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/tracers/opentelemetry/resource_detectors/v3" // its type is taken
	tagv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/proxy/format"
	"github.com/fridaymesh/friday/proxy/tracing"
)

// tracing reads how a listener's requests are traced.
func (p *problems) tracing(path string, m *hcmv3.HttpConnectionManager_Tracing, l *Listener) *tracing.Config {
	share := func(v *typev3.Percent) float64 {
		if v == nil {
			return 1
		}
		return v.GetValue() / 100
	}
	c := &tracing.Config{
		Sampling: tracing.Sampling{
			Client: share(m.GetClientSampling()), Random: share(m.GetRandomSampling()), Overall: share(m.GetOverallSampling()),
		},
		Tags:    p.tags(path+".custom_tags", m.GetCustomTags()),
		MaxPath: int(m.GetMaxPathTagLength().GetValue()),
	}
	if m.GetOperation() != "" {
		c.Name = p.format(path+".operation", m.GetOperation(), "")
	}
	if provider := m.GetProvider().GetTypedConfig(); provider != nil {
		if c.Collector = p.collector(path+".provider.typed_config", provider, l); c.Collector == nil {
			return nil
		}
	}
	return c
}

// collector reads where spans go; nil: to a tracer that is left aside, or not well said.
func (p *problems) collector(path string, a *anypb.Any, l *Listener) *tracing.Collector {
	m := new(tracev3.OpenTelemetryConfig)
	if !a.MessageIs(m) {
		p.leave(path, messageName(typeOf(a)), "spans are sent by OpenTelemetry's protocol only: these requests are not traced")
		return nil
	}
	if err := a.UnmarshalTo(m); err != nil {
		p.addf(path, "not an OpenTelemetryConfig: cannot be decoded")
		return nil
	}
	before := len(p.errs)
	p.check(path, m.ProtoReflect())
	c := &tracing.Collector{Service: m.GetServiceName()}
	switch grpc, http := m.GetGrpcService(), m.GetHttpService(); {
	case grpc != nil && http != nil:
		p.addf(path, "one of grpc_service and http_service, not both")
	case grpc != nil:
		c.GRPC = true
		c.Cluster, c.Host = grpc.GetEnvoyGrpc().GetClusterName(), grpc.GetEnvoyGrpc().GetAuthority()
		if c.Host == "" {
			c.Host = c.Cluster
		}
		if grpc.GetTimeout() != nil {
			c.Timeout = grpc.GetTimeout().AsDuration()
		}
		for _, v := range grpc.GetInitialMetadata() {
			c.Headers = append(c.Headers, [2]string{strings.ToLower(v.GetKey()), v.GetValue()})
		}
		if c.Cluster == "" {
			p.addf(path+".grpc_service.envoy_grpc.cluster_name", "missing")
		}
	case http != nil:
		p.overHTTP(path+".http_service", http, c)
	default:
		p.addf(path, "missing: grpc_service or http_service")
	}
	if len(p.errs) > before {
		return nil
	}
	c.ID = fingerprint(m)
	l.Clusters = append(l.Clusters, c.Cluster)
	return c
}

func (p *problems) overHTTP(path string, m *corev3.HttpService, c *tracing.Collector) {
	uri := m.GetHttpUri()
	c.Cluster, c.Timeout = uri.GetCluster(), uri.GetTimeout().AsDuration()
	u, err := url.Parse(uri.GetUri())
	switch {
	case err != nil || u.Host == "":
		p.add(path+".http_uri.uri", quote(uri.GetUri()), "must have a host: http://collector:4318/v1/traces")
		return
	}
	c.Host, c.Path = u.Host, u.RequestURI()
	for i, h := range m.GetRequestHeadersToAdd() {
		at := path + "." + index("request_headers_to_add", i) + ".header"
		p.headerName(at+".key", h.GetHeader().GetKey())
		c.Headers = append(c.Headers, [2]string{h.GetHeader().GetKey(), h.GetHeader().GetValue()})
	}
}

// fingerprint is equal for equal messages, and tells nothing of what they hold.
func fingerprint(m proto.Message) string {
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// routeTracing reads what a route has in the place of its listener's; nil: nothing.
func (p *problems) routeTracing(path string, m *routev3.Route) *tracing.Route {
	t, d := m.GetTracing(), m.GetDecorator()
	if t == nil && d == nil {
		return nil
	}
	out := &tracing.Route{Tags: p.tags(path+".tracing.custom_tags", t.GetCustomTags())}
	share := func(v *typev3.FractionalPercent) float64 {
		if v == nil {
			return 1
		}
		return float64(perMillion(v)) / 1_000_000
	}
	if t.GetClientSampling() != nil || t.GetRandomSampling() != nil || t.GetOverallSampling() != nil {
		out.Sampling = &tracing.Sampling{
			Client: share(t.GetClientSampling()), Random: share(t.GetRandomSampling()), Overall: share(t.GetOverallSampling()),
		}
	}
	switch {
	case t.GetOperation() != "":
		out.Name = p.format(path+".tracing.operation", t.GetOperation(), "")
	case d.GetOperation() != "":
		out.Name = p.format(path+".decorator.operation", literally(d.GetOperation()), "")
	}
	return out
}

// literally is text as a format string has it.
func literally(text string) string { return strings.ReplaceAll(text, "%", "%%") }

// tags reads attributes of spans.
func (p *problems) tags(path string, all []*tagv3.CustomTag) (out []tracing.Tag) {
	for i, t := range all {
		at := path + "[" + strconv.Itoa(i) + "]"
		if f := p.tag(at, t); f != nil {
			out = append(out, tracing.Tag{Name: t.GetTag(), Value: f})
		}
	}
	return out
}

func (p *problems) tag(at string, m *tagv3.CustomTag) *format.Formatter {
	switch spec := m.GetType().(type) {
	case *tagv3.CustomTag_Literal_:
		return p.format(at+".literal.value", literally(spec.Literal.GetValue()), "")
	case *tagv3.CustomTag_Environment_:
		value, ok := os.LookupEnv(spec.Environment.GetName())
		if !ok {
			value = spec.Environment.GetDefaultValue()
		}
		return p.format(at+".environment", literally(value), "")
	case *tagv3.CustomTag_RequestHeader:
		h := spec.RequestHeader
		return p.format(at+".request_header.name", "%REQ("+h.GetName()+")%", h.GetDefaultValue())
	case *tagv3.CustomTag_Metadata_:
		if spec.Metadata.GetKind().GetRequest() == nil {
			// Nothing else has metadata that is kept.
			return p.format(at+".metadata", literally(spec.Metadata.GetDefaultValue()), "")
		}
		keys := []string{spec.Metadata.GetMetadataKey().GetKey()}
		for _, segment := range spec.Metadata.GetMetadataKey().GetPath() {
			keys = append(keys, segment.GetKey())
		}
		return p.format(at+".metadata.metadata_key", "%DYNAMIC_METADATA("+strings.Join(keys, ":")+")%", spec.Metadata.GetDefaultValue())
	case *tagv3.CustomTag_Value:
		return p.format(at+".value", spec.Value, "")
	}
	p.addf(at, "missing: literal, environment, request_header, metadata or value")
	return nil
}

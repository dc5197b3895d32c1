package tracing

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/format"
)

var background = context.Background() //nolint:gochecknoglobals // immutable

// Config is how a listener's requests are traced.
type Config struct {
	// Collector, where not nil, is where spans go; nil: where the environment says.
	Collector *Collector
	Sampling  Sampling
	Tags      []Tag
	// MaxPath is how much of a path is noted, in bytes. Default 256.
	MaxPath int
	// Name, where not nil, is the name of spans.
	Name *format.Formatter
}

// Route is what a route has in the place of its listener's.
type Route struct {
	// Sampling, where not nil, is the route's own.
	Sampling *Sampling
	// Tags are noted beside the listener's, and win over those of the same names.
	Tags []Tag
	// Name, where not nil, is the name of spans.
	Name *format.Formatter
}

// Tag is an attribute of a listener's spans.
type Tag struct {
	Name string
	// Value is empty for requests that are not to have the attribute.
	Value *format.Formatter
}

// Rule is how the requests of one route are traced. A nil Rule traces none.
type Rule struct {
	tracer   *Tracer
	sampling *Sampling // nil: the environment's
	tags     []Tag
	maxPath  int
	name     *format.Formatter
}

// maxPath is Envoy's default.
const maxPath = 256

// NewRule is nil where there is no tracer. c, where nil, has all requests traced that the
// environment wants to be.
func NewRule(t *Tracer, c *Config) *Rule {
	if t == nil {
		return nil
	}
	r := &Rule{tracer: t, maxPath: maxPath}
	if c != nil {
		r.sampling, r.tags, r.name = &c.Sampling, c.Tags, c.Name
		if c.MaxPath > 0 {
			r.maxPath = c.MaxPath
		}
	}
	return r
}

// With is the rule of a route; nil: it has nothing of its own.
func (r *Rule) With(o *Route) *Rule {
	if r == nil || o == nil {
		return r
	}
	own := *r
	if o.Sampling != nil {
		own.sampling = o.Sampling
	}
	own.tags = append(slices.Clip(own.tags), o.Tags...)
	if o.Name != nil {
		own.name = o.Name
	}
	return &own
}

// Begin begins req's span, unless it has one.
func (r *Rule) Begin(req *proxy.Request) {
	if r == nil || req.Span != nil {
		return
	}
	s, h := r.tracer.begin(req, r.sampling), req.Header
	req.Span, s.By = s, r
	if !s.Sampled() {
		return
	}
	s.Set("http.request.method", string(h.Method()))
	path, _, _ := bytes.Cut(h.RequestURI(), []byte{'?'}) // some callers put their key behind it
	s.Set("url.path", clip(path, r.maxPath))
	s.Set("server.address", valid(h.Host()))
	if agent := h.UserAgent(); len(agent) > 0 {
		s.Set("user_agent.original", valid(agent))
	}
	s.Set("network.protocol.name", req.Protocol)
	if host, _, err := net.SplitHostPort(req.Remote.String()); err == nil {
		s.Set("client.address", host)
	}
	if id, ok := proxy.FieldValue(h, "x-request-id"); ok {
		s.Set("http.request.header.x-request-id", []string{valid([]byte(id))})
	}
}

// End ends the span of a request that has been answered, where a Rule began it.
func End(facts *format.Facts) {
	req := facts.Request
	s := req.Span
	if !s.Sampled() {
		return
	}
	r, ok := s.By.(*Rule)
	if !ok {
		return
	}
	s.Name(r.title(facts))
	s.Set("friday.route", req.Route)
	s.Set("friday.cluster", req.Cluster)
	s.Set("http.response.status_code", facts.Status)
	s.Set("http.request.body.size", facts.Received)
	s.Set("http.response.body.size", facts.Sent)
	t := &req.Trace
	if t.Model != "" {
		s.Set("gen_ai.request.model", t.Model)
	}
	if t.BatchSize > 0 {
		s.Set("friday.batch.size", t.BatchSize)
	}
	for _, tag := range r.tags {
		if v := tag.Value.String(facts); v != "" {
			s.Set(tag.Name, valid([]byte(v)))
		}
	}
	switch pe := facts.Err; {
	case pe != nil:
		s.Set("friday.response_flag", string(pe.Flag))
		// What went wrong in detail stands in the access log: it may quote what others have sent.
		s.Fail(string(pe.Flag), pe.Message)
	case facts.Status >= 500:
		s.Fail(strconv.Itoa(facts.Status), "")
	}
	s.End()
}

// title is the name of a request's span, one of few.
func (r *Rule) title(facts *format.Facts) string {
	if r.name != nil {
		if name := r.name.String(facts); name != "" {
			return name
		}
	}
	name := string(facts.Request.Header.Method())
	if facts.Request.Route != "" {
		name += " " + facts.Request.Route
	}
	return name
}

func clip(b []byte, most int) string {
	if len(b) > most {
		b = b[:most]
	}
	return valid(b)
}

// valid is b as a collector takes it: what is no UTF-8 makes the whole message one that
// cannot be read.
func valid(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return string(bytes.ToValidUTF8(b, []byte{'?'}))
}

package resource

import (
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/fridaymesh/friday/proxy/action"
	"github.com/fridaymesh/friday/proxy/format"
)

// mutable is a message with header mutations.
type mutable interface {
	GetRequestHeadersToAdd() []*corev3.HeaderValueOption
	GetRequestHeadersToRemove() []string
	GetResponseHeadersToAdd() []*corev3.HeaderValueOption
	GetResponseHeadersToRemove() []string
}

// headers reads the header mutations of one level.
func (p *problems) headers(path string, m mutable) action.Headers {
	h := action.Headers{
		RequestAdd:     p.headerValues(dot(path, "request_headers_to_add"), m.GetRequestHeadersToAdd()),
		RequestRemove:  m.GetRequestHeadersToRemove(),
		ResponseAdd:    p.headerValues(dot(path, "response_headers_to_add"), m.GetResponseHeadersToAdd()),
		ResponseRemove: m.GetResponseHeadersToRemove(),
	}
	for i, name := range h.RequestRemove {
		p.headerName(dot(path, index("request_headers_to_remove", i)), name)
	}
	return h
}

// headerValues reads headers to add.
func (p *problems) headerValues(path string, all []*corev3.HeaderValueOption) (out []format.HeaderValue) {
	for i, m := range all {
		at := path + "[" + strconv.Itoa(i) + "]"
		v := format.HeaderValue{Name: m.GetHeader().GetKey(), Value: m.GetHeader().GetValue(), KeepEmpty: m.GetKeepEmptyValue()}
		if v.Value == "" {
			v.Value = string(m.GetHeader().GetRawValue())
		}
		p.headerName(at+".header.key", v.Name)
		if _, err := format.New(v.Value, ""); err != nil {
			p.addf(at+".header.value", "%v", err)
		}
		switch m.GetAppendAction() {
		case corev3.HeaderValueOption_ADD_IF_ABSENT:
			v.Append = format.AddIfAbsent
		case corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD:
			v.Append = format.OverwriteOrAdd
		case corev3.HeaderValueOption_OVERWRITE_IF_EXISTS:
			v.Append = format.OverwriteIfExists
		default:
			if m.GetAppend() != nil && !m.GetAppend().GetValue() {
				v.Append = format.OverwriteOrAdd
			}
		}
		if m.GetAppend() != nil && m.GetAppendAction() != corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD {
			p.addf(at, "append and append_action must not both be set")
		}
		out = append(out, v)
	}
	return out
}

// headerName refuses the names that Envoy does not let configurations touch.
func (p *problems) headerName(path, name string) {
	if strings.HasPrefix(name, ":") || strings.EqualFold(name, "host") {
		p.add(path, quote(name), ":-prefixed or host headers may not be modified")
	}
}

// format compiles a format string.
func (p *problems) format(path, text, missing string) *format.Formatter {
	f, err := format.New(text, missing)
	if err != nil {
		p.addf(path, "%v", err)
	}
	return f
}

// bodyFormat reads how a body of Friday's own is made.
func (p *problems) bodyFormat(path string, m *corev3.SubstitutionFormatString) *format.BodyFormat {
	out := &format.BodyFormat{ContentType: m.GetContentType()}
	missing := "-"
	if m.GetOmitEmptyValues() {
		missing = ""
	}
	switch spec := m.GetFormat().(type) {
	case *corev3.SubstitutionFormatString_TextFormat:
		out.Text = p.format(path+".text_format", spec.TextFormat, missing)
	case *corev3.SubstitutionFormatString_TextFormatSource:
		text := spec.TextFormatSource.GetInlineString()
		if text == "" {
			text = string(spec.TextFormatSource.GetInlineBytes())
		}
		out.Text = p.format(path+".text_format_source", text, missing)
	case *corev3.SubstitutionFormatString_JsonFormat:
		j, err := format.NewJSON(spec.JsonFormat.AsMap())
		if err != nil {
			p.addf(path+".json_format", "%v", err)
		}
		out.JSON = j
	}
	return out
}

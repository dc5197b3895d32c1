package resource

import (
	"strconv"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3" // its type is taken

	"github.com/fridaymesh/friday/proxy/edge"
	"github.com/fridaymesh/friday/proxy/format"
)

// edge reads what a listener does to every request and every answer.
func (p *problems) edge(path string, m *hcmv3.HttpConnectionManager) edge.Config {
	c := edge.Config{
		Paths: edge.Paths{Normalize: m.GetNormalizePath().GetValue(), MergeSlashes: m.GetMergeSlashes()},
		Hosts: edge.Hosts{
			StripAnyPort: m.GetStripAnyHostPort(), StripMatchingPort: m.GetStripMatchingHostPort(), StripDot: m.GetStripTrailingHostDot(),
		},
		Origin: edge.Origin{
			Connection: m.GetUseRemoteAddress().GetValue(), Hops: int(m.GetXffNumTrustedHops()), KeepForwarded: m.GetSkipXffAppend(),
		},
		RequestID:     m.GetGenerateRequestId().GetValue(), // and not where it is absent: nothing is added unasked
		KeepRequestID: m.GetPreserveExternalRequestId(),
		TellRequestID: m.GetAlwaysSetRequestIdInResponse(),
		Server:        m.GetServerName(),
		Via:           m.GetVia(),
	}
	switch m.GetPathWithEscapedSlashesAction() {
	case hcmv3.HttpConnectionManager_REJECT_REQUEST:
		c.Paths.Escaped = edge.RefuseEscaped
	case hcmv3.HttpConnectionManager_UNESCAPE_AND_REDIRECT:
		c.Paths.Escaped = edge.RedirectUnescaped
	case hcmv3.HttpConnectionManager_UNESCAPE_AND_FORWARD:
		c.Paths.Escaped = edge.ForwardUnescaped
	default:
	}
	switch m.GetServerHeaderTransformation() {
	case hcmv3.HttpConnectionManager_APPEND_IF_ABSENT:
		c.Naming = edge.AppendIfAbsent
	case hcmv3.HttpConnectionManager_PASS_THROUGH:
		c.Naming = edge.PassThrough
	default:
	}
	switch m.GetForwardClientCertDetails() {
	case hcmv3.HttpConnectionManager_FORWARD_ONLY:
		c.ClientCert = edge.ForwardCert
	case hcmv3.HttpConnectionManager_APPEND_FORWARD:
		c.ClientCert = edge.AppendCert
	case hcmv3.HttpConnectionManager_SANITIZE_SET:
		c.ClientCert = edge.SetCert
	case hcmv3.HttpConnectionManager_ALWAYS_FORWARD_ONLY:
		c.ClientCert = edge.AlwaysForwardCert
	default:
	}
	d := m.GetSetCurrentClientCertDetails()
	c.CertDetails = edge.CertDetails{
		Subject: d.GetSubject().GetValue(), Cert: d.GetCert(), Chain: d.GetChain(), DNS: d.GetDns(), URI: d.GetUri(),
	}
	if local := m.GetLocalReplyConfig(); local != nil {
		c.Local = p.localReplies(path+".local_reply_config", local)
	}
	return c
}

// localReplies reads how the listener's own answers look.
func (p *problems) localReplies(path string, m *hcmv3.LocalReplyConfig) *edge.Local {
	out := &edge.Local{}
	if f := m.GetBodyFormat(); f != nil {
		out.Format = p.bodyFormat(path+".body_format", f)
	}
	for i, mapper := range m.GetMappers() {
		at := path + ".mappers[" + strconv.Itoa(i) + "]"
		one := edge.Mapper{When: p.when(at+".filter", mapper.GetFilter()), Status: int(mapper.GetStatusCode().GetValue())}
		if b := mapper.GetBody(); b != nil {
			body := b.GetInlineString()
			if body == "" {
				body = string(b.GetInlineBytes())
			}
			one.Body = &body
		}
		if f := mapper.GetBodyFormatOverride(); f != nil {
			one.Format = p.bodyFormat(at+".body_format_override", f)
		}
		if values := p.headerValues(at+".headers_to_add", mapper.GetHeadersToAdd()); len(values) > 0 {
			add, err := format.NewMutation(values, nil)
			if err == nil { // else headerValues has said so
				one.Add = add
			}
		}
		out.Mappers = append(out.Mappers, one)
	}
	return out
}

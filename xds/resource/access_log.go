package resource

import (
	"strconv"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/fridaymesh/friday/proxy/accesslog"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/format"
)

// accessLogs reads the access logs of an HttpConnectionManager: one without a format is
// in Friday's own.
func (p *problems) accessLogs(path string, m *hcmv3.HttpConnectionManager, h *config.HTTP) {
	h.AccessLog = config.LogErrors
	for i, l := range m.GetAccessLog() {
		at := path + ".access_log[" + strconv.Itoa(i) + "]"
		if p.under(at) || p.under(at+".typed_config") {
			continue
		}
		log, own := p.accessLog(at, l)
		switch {
		case own && l.GetFilter() != nil:
			p.addf(at+".filter", "not supported without a log_format")
		case own:
			h.AccessLog = config.LogAll
		default:
			h.Logs = append(h.Logs, log)
			if h.AccessLog == config.LogErrors {
				h.AccessLog = config.LogNone
			}
		}
	}
}

// accessLog reads one of them; own: it is in Friday's own format, to standard output.
func (p *problems) accessLog(path string, m *accesslogv3.AccessLog) (log accesslog.Config, own bool) {
	config := m.GetTypedConfig()
	at := path + ".typed_config"
	var f *corev3.SubstitutionFormatString
	file, stdout, stderr := new(filev3.FileAccessLog), new(streamv3.StdoutAccessLog), new(streamv3.StderrAccessLog)
	switch {
	case config.MessageIs(file) && config.UnmarshalTo(file) == nil:
		log.Path, f = file.GetPath(), file.GetLogFormat()
		switch spec := file.GetAccessLogFormat().(type) {
		case *filev3.FileAccessLog_Format:
			log.Text = p.format(at+".format", spec.Format, "-")
		case *filev3.FileAccessLog_JsonFormat, *filev3.FileAccessLog_TypedJsonFormat:
			object := file.GetJsonFormat()
			if object == nil {
				object = file.GetTypedJsonFormat()
			}
			log.JSON = p.json(at+".json_format", object.AsMap())
		}
	case config.MessageIs(stdout) && config.UnmarshalTo(stdout) == nil:
		log.Path, f = "/dev/stdout", stdout.GetLogFormat()
	case config.MessageIs(stderr) && config.UnmarshalTo(stderr) == nil:
		log.Path, f = "/dev/stderr", stderr.GetLogFormat()
	}
	if f != nil {
		made := p.bodyFormat(at+".log_format", f)
		log.Text, log.JSON = made.Text, made.JSON
	}
	own = log.Text == nil && log.JSON == nil
	if own && log.Path != "/dev/stdout" {
		p.addf(at+".log_format", "missing: Friday's own format goes to standard output only")
	}
	if m.GetFilter() != nil {
		log.When = p.when(path+".filter", m.GetFilter())
	}
	return log, own
}

func (p *problems) json(path string, object map[string]any) *format.JSON {
	j, err := format.NewJSON(object)
	if err != nil {
		p.addf(path, "%v", err)
	}
	return j
}

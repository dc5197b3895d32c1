package edge

import (
	"net"
	"strings"

	"github.com/fridaymesh/friday/proxy"
)

// Hosts is how hosts are brought into one form.
type Hosts struct {
	// StripAnyPort removes the port, StripMatchingPort only the listener's own.
	StripAnyPort, StripMatchingPort bool
	// StripDot removes a dot at the end.
	StripDot bool
}

func (h Hosts) apply(req *proxy.Request) {
	if h == (Hosts{}) {
		return
	}
	host := string(req.Header.Host())
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.LastIndexByte(host, ']') < i {
		name, port = host[:i], host[i:]
	}
	if h.StripAnyPort || h.StripMatchingPort && port != "" && port[1:] == localPort(req.Local) {
		port = ""
	}
	if h.StripDot {
		name = strings.TrimSuffix(name, ".")
	}
	if name+port != host {
		req.Header.SetHost(name + port)
	}
}

func localPort(a net.Addr) string {
	if a == nil {
		return ""
	}
	_, port, _ := net.SplitHostPort(a.String())
	return port
}

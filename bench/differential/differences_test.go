//go:build interop

package differential

import (
	"net"
	"net/http"
	"regexp"
	"strings"
)

// ownAddress matches the addresses of this machine.
var ownAddress = func() *regexp.Regexp {
	addresses, _ := net.InterfaceAddrs()
	var all []string
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() {
			all = append(all, regexp.QuoteMeta(n.IP.String()))
		}
	}
	return regexp.MustCompile(`\b(` + strings.Join(all, "|") + `)\b`)
}()

// difference is something in which the two may differ. docs/envoy.md has the same list.
type difference struct {
	reason string
	// everywhere: in every case, not only in those that allow it.
	everywhere bool
	// forgive takes the difference out of one side's outcome, and says whether it was
	// there.
	forgive func(side string, o *outcome) bool
}

// differences by name.
func differences() map[string]difference {
	return map[string]difference{
		"x-forwarded-proto": {
			reason:     "Friday adds nothing that the configuration does not ask for; Envoy always tells the server the scheme",
			everywhere: true,
			forgive: func(side string, o *outcome) bool {
				return side == "envoy" && dropSeen(o, "X-Forwarded-Proto")
			},
		},
		"failure text": {
			reason: "the text of an answer that could not be had says less: Envoy names the transport's reason, Friday its log does",
			forgive: func(_ string, o *outcome) bool {
				if o.Status != http.StatusServiceUnavailable || o.Header.Get("X-Endpoint") != "" {
					return false
				}
				o.Body = "(the reason)"
				return dropSent(o, "Content-Length")
			},
		},
		"code of own answers": {
			reason: "%RESPONSE_CODE% in an answer that the proxy makes is the answer's status; Envoy has 0 there",
			forgive: func(_ string, o *outcome) bool {
				o.Body = "(with a code)"
				code, length := dropSent(o, "X-R"), dropSent(o, "Content-Length")
				return code || length
			},
		},
		"x-envoy headers": {
			reason: "Friday has no x-envoy-internal, x-envoy-external-address and x-envoy-upstream-healthchecked-cluster: they are Envoy's own",
			forgive: func(side string, o *outcome) bool {
				internal, external := dropSeen(o, "X-Envoy-Internal"), dropSeen(o, "X-Envoy-External-Address")
				checked := dropSent(o, "X-Envoy-Upstream-Healthchecked-Cluster")
				return side == "envoy" && (internal || external || checked)
			},
		},
		"loopback callers": {
			reason: "Envoy tells of a caller on loopback the machine's own address",
			forgive: func(side string, o *outcome) (there bool) {
				for i := range o.Seen {
					for name, values := range o.Seen[i].Header {
						for k, v := range values {
							if own := ownAddress.ReplaceAllString(v, "127.0.0.1"); side == "envoy" && own != v {
								o.Seen[i].Header[name][k], there = own, true
							}
						}
					}
				}
				return there
			},
		},
		"TLS 1.3 with endpoints": {
			reason: "where the configuration names no highest version, Friday speaks up to TLS 1.3 with endpoints, Envoy up to TLS 1.2",
			forgive: func(_ string, o *outcome) (there bool) {
				for i := range o.Seen {
					was := o.Seen[i].TLS
					o.Seen[i].TLS = strings.Replace(was, "TLS 1.3", "TLS 1.2", 1)
					there = there || o.Seen[i].TLS != was
				}
				return there
			},
		},
		"mirrored requests": {
			reason: "Envoy adds x-envoy-internal and x-forwarded-for to mirrored requests, whatever the configuration says; Friday adds nothing",
			forgive: func(side string, o *outcome) bool {
				if side != "envoy" {
					return false
				}
				return dropSeen(o, "X-Envoy-Internal") && dropSeen(o, "X-Forwarded-For")
			},
		},
	}
}

// dropSeen drops a field from what the endpoints saw.
func dropSeen(o *outcome, name string) (there bool) {
	for i := range o.Seen {
		there = there || o.Seen[i].Header[http.CanonicalHeaderKey(name)] != nil
		o.Seen[i].Header.Del(name)
	}
	return there
}

// dropSent drops a field from what the caller got.
func dropSent(o *outcome, name string) (there bool) {
	there = o.Header[http.CanonicalHeaderKey(name)] != nil
	o.Header.Del(name)
	return there
}

package policy

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fridaymesh/friday/xds/control/ca"
)

// dnsLabel is RFC 1123's, as Kubernetes has it.
var dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// validate finds what no type can say. What a filter thinks of its own settings
// is for its factory to say. Of the paths in failed, and of what is below them,
// a problem is known already.
func validate(p *Policy, failed map[string]bool) Problems {
	v := &validator{p: p, failed: failed}
	v.identity()
	if p.Spec() == nil {
		v.add("spec", "missing")
		return v.problems
	}
	v.listening()
	v.servers()
	v.weights("spec.weights", v.p.Spec().GetWeights())
	v.routes()
	return v.problems
}

type validator struct {
	p        *Policy
	failed   map[string]bool
	problems Problems
}

func (v *validator) add(path, format string, args ...any) {
	for at := path; at != ""; at = parent(at) {
		if v.failed[at] {
			return
		}
	}
	v.problems = append(v.problems, v.p.Problem(path, format, args...))
}

func (v *validator) identity() {
	switch got := v.p.Doc.GetApiVersion(); got {
	case APIVersion:
	case "":
		v.add("apiVersion", "missing: write %s", APIVersion)
	default:
		v.add("apiVersion", "%s: must be %s", quote(got), APIVersion)
	}
	if v.p.Doc.GetKind() != Kind { // any other value was refused before
		v.add("kind", "missing: write %s", Kind)
	}
	if namespace := v.p.Doc.GetMetadata().GetNamespace(); v.p.Has("metadata.namespace") && !dnsLabel.MatchString(namespace) {
		v.add("metadata.namespace", "%s: must be a DNS label: at most 63 of a-z, 0-9 and -, neither first nor last -", quote(namespace))
	}
	switch name := v.p.Doc.GetMetadata().GetName(); {
	case name == "":
		v.add("metadata.name", "missing")
	case !dnsLabel.MatchString(name):
		v.add("metadata.name", "%s: must be a DNS label: at most 63 of a-z, 0-9 and -, neither first nor last -", quote(name))
	}
}

func (v *validator) listening() {
	spec := v.p.Spec()
	if v.p.Has("spec.port") && (spec.GetPort() < 1 || spec.GetPort() > 65535) {
		v.add("spec.port", "%d: must be 1 to 65535", spec.GetPort())
	}
	if a := spec.GetAddress(); v.p.Has("spec.address") && !isIP(a) {
		v.add("spec.address", "%s: must be an IP address, 0.0.0.0 for all", quote(a))
	}
	v.identities("spec.tls.identities", spec.GetTls().GetIdentities())
}

// identities are SPIFFE ids, or beginnings of them.
func (v *validator) identities(path string, all []string) {
	for i, text := range all {
		id, _ := strings.CutSuffix(text, "/*")
		_, err := ca.ParseID(id)
		if id != text && ca.CheckDomain(strings.TrimPrefix(id, "spiffe://")) == nil {
			err = nil // everybody of a trust domain
		}
		if err != nil {
			v.add(fmt.Sprintf("%s[%d]", path, i), "%s: must be a SPIFFE id such as spiffe://cluster.local/ns/models/sa/llama, or the beginning of one and /*", quote(text))
		}
	}
}

// endpointFault says what is wrong with a text that is no IP:port.
func endpointFault(text string) string {
	host, port, ok := strings.Cut(text, ":")
	switch {
	case strings.Contains(text, "://"):
		return "must be IP:port, without a scheme"
	case isIP(text):
		return "must be IP:port: the port is missing"
	case ok && host == "localhost":
		return "must be IP:port: names are not resolved, write 127.0.0.1:" + port
	case ok && !isIP(host) && !strings.HasPrefix(text, "[") && !strings.Contains(port, ":"):
		return "must be IP:port: names are not resolved"
	default:
		return "must be IP:port"
	}
}

// itself says whether ap leads, on the sidecar's own host, back to the policy's
// listener.
func (v *validator) itself(ap netip.AddrPort) bool {
	if uint32(ap.Port()) != v.p.Port() {
		return false
	}
	own, err := netip.ParseAddr(v.p.Address())
	if err != nil {
		return false // told already
	}
	return own == ap.Addr() || (own.IsUnspecified() && (ap.Addr().IsLoopback() || ap.Addr().IsUnspecified()))
}

func (v *validator) positive(path string, d *durationpb.Duration) {
	if d != nil && d.AsDuration() == 0 {
		v.add(path, "0: must be more than 0")
	}
}

func (v *validator) routes() {
	routes := v.p.Spec().GetRoutes()
	for i, r := range routes {
		path := fmt.Sprintf("spec.routes[%d].prefix", i)
		prefix := r.GetPrefix()
		v.weights(fmt.Sprintf("spec.routes[%d].weights", i), r.GetWeights())
		switch {
		case prefix == "":
			v.add(path, "missing")
			continue
		case !strings.HasPrefix(prefix, "/"):
			v.add(path, "%s: must begin with /", quote(prefix))
			continue
		case strings.ContainsAny(prefix, "?#"):
			v.add(path, "%s: must not have ? or #, only paths are compared", quote(prefix))
			continue
		}
		for j, earlier := range routes[:i] {
			if e := earlier.GetPrefix(); e != "" && strings.HasPrefix(prefix, e) {
				v.add(path, "%s: never reached, since routes[%d] on line %d takes %s first", quote(prefix), j,
					v.p.Line(fmt.Sprintf("spec.routes[%d].prefix", j)), quote(e))
				break
			}
		}
	}
}

func isIP(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == ""
}

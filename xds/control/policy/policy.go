package policy

import (
	"fmt"
	"strings"
	"time"

	policyv1alpha1 "github.com/fridaymesh/friday/xds/api/friday/policy/v1alpha1"
)

// What a document says that it is.
const (
	APIVersion = "friday.dev/v1alpha1"
	Kind       = "InferencePolicy"
)

// The defaults of a policy's fields.
const (
	DefaultPort           = 19080
	DefaultAddress        = "0.0.0.0"
	DefaultConnectTimeout = 5 * time.Second
	// DefaultIdleTimeout is shorter than the 5 s after which many servers close.
	DefaultIdleTimeout = 4 * time.Second
)

// Policy is one document of a file, valid by itself. It is immutable.
type Policy struct {
	File string
	// Doc is the document; defaults are not written into it.
	Doc *policyv1alpha1.InferencePolicy
	// Text is the document as it was written, comments included.
	Text string

	lines map[string]int // field path -> line
}

// Name is unique among the policies of a control plane.
func (p *Policy) Name() string {
	m := p.Doc.GetMetadata()
	if m.GetNamespace() == "" {
		return m.GetName()
	}
	return m.GetName() + "." + m.GetNamespace()
}

// Selector says which sidecars the policy is for.
func (p *Policy) Selector() *policyv1alpha1.Selector {
	s := p.Spec().GetSelector()
	if s == nil && p.Doc.GetMetadata().GetNamespace() != "" {
		return &policyv1alpha1.Selector{NodeCluster: p.Name()}
	}
	return s
}

// Spec is what the policy asks for.
func (p *Policy) Spec() *policyv1alpha1.InferencePolicySpec { return p.Doc.GetSpec() }

// Port is what the sidecar listens on.
func (p *Policy) Port() uint32 {
	if n := p.Spec().GetPort(); n != 0 {
		return n
	}
	return DefaultPort
}

// Address is the IP address that the sidecar listens on.
func (p *Policy) Address() string {
	if a := p.Spec().GetAddress(); a != "" {
		return a
	}
	return DefaultAddress
}

// Node is what a selector sees of a sidecar.
type Node struct {
	ID, Cluster string
	// Metadata are the members of node.metadata, as text.
	Metadata map[string]string
}

// Selects says whether the policy is for a node.
func (p *Policy) Selects(n Node) bool {
	s := p.Selector()
	for key, want := range s.GetNodeMetadata() {
		if got, ok := n.Metadata[key]; !ok || got != want {
			return false
		}
	}
	return (s.GetNodeId() == "" || s.GetNodeId() == n.ID) && (s.GetNodeCluster() == "" || s.GetNodeCluster() == n.Cluster)
}

// TLS are the fields that need certificates.
func (p *Policy) TLS() []string {
	var fields []string
	if p.Spec().GetTls() != nil {
		fields = append(fields, "spec.tls")
	}
	for _, g := range p.Groups() {
		if g.Server.GetTls() != nil {
			fields = append(fields, g.Path+".tls")
		}
	}
	return fields
}

// Line is where the field of that path stands, or the nearest around it that is
// there.
func (p *Policy) Line(path string) int {
	for {
		if n, ok := p.lines[path]; ok {
			return n
		}
		if path == "" {
			return 0
		}
		path = parent(path)
	}
}

// parent is the path around a path. A dot within a map's key does no harm: it
// only adds a step.
func parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// Has says whether the file gives the field of that path a value.
func (p *Policy) Has(path string) bool {
	_, ok := p.lines[path]
	return ok
}

// Problem makes a problem of the field of that path.
func (p *Policy) Problem(path, format string, args ...any) *Problem {
	return &Problem{File: p.File, Line: p.Line(path), Path: path, Text: fmt.Sprintf(format, args...)}
}

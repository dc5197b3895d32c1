package control

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/filters"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/xds/control/policy"
	"github.com/fridaymesh/friday/xds/resource"
)

// Compiled is a policy and the resources that it becomes. It is immutable.
type Compiled struct {
	*policy.Policy
	// Version is a digest of the resources.
	Version string

	items   [kinds][]item // of each kind, by name
	digests [kinds]string // of each kind's items
	// shifted are the weights that are not the file's own, by the route's prefix.
	shifted map[string]map[string]uint32
}

// item is one resource of a policy.
type item struct {
	policy *Compiled
	name   string
	// digest is of the resource and of what it hangs on.
	digest   string
	resource types.Resource
}

// Compiler makes resources of policies, and holds them against what a sidecar
// would make of them, by the sidecar's own parser. Safe for concurrent use.
type Compiler struct {
	parser *resource.Parser
	// domain is the trust domain; empty where there is no authority.
	domain string
}

// NewCompiler makes a Compiler that knows the filters of a registry. The trust domain
// is that of the authority; empty: there is none, and policies that need one are
// refused.
func NewCompiler(registry *filters.Registry, trustDomain string) *Compiler {
	return &Compiler{parser: &resource.Parser{Registry: registry}, domain: trustDomain}
}

// Compile makes the resources of p. The error, if any, is [policy.Problems].
func (c *Compiler) Compile(p *policy.Policy) (*Compiled, error) {
	problems := c.filters(p)
	if c.domain == "" {
		for _, path := range p.TLS() {
			problems = append(problems, p.Problem(path, "sidecars have no certificates: fridayd runs without --ca and without --ca-cert"))
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	out, err := translate(p, c.domain)
	if err == nil {
		err = c.accepted(out)
	}
	if err != nil {
		return nil, refusal(p, err)
	}
	return out, nil
}

// filters asks each filter what it thinks of its settings. Its words name the
// field, so that the line is known.
func (c *Compiler) filters(p *policy.Policy) policy.Problems {
	var problems policy.Problems
	ask := func(path string, f filterSettings) {
		config, err := pack(f.message)
		if err == nil {
			_, _, err = c.parser.Registry.Parse(config)
		}
		if err != nil {
			problems = append(problems, faults(p, path+"."+f.field, err)...)
		}
	}
	for _, f := range settings(p.Spec().GetFilters()) {
		ask("spec.filters", f)
	}
	for i, r := range p.Spec().GetRoutes() {
		for _, f := range settings(r.GetFilters()) {
			ask(fmt.Sprintf("spec.routes[%d].filters", i), f)
		}
	}
	return problems
}

// fieldPath begins the words of a filter's refusal.
var fieldPath = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z0-9_]+|\[\d+\])*$`)

// faults makes a problem of each line of a filter's words about its settings at
// path.
func faults(p *policy.Policy, path string, err error) policy.Problems {
	var problems policy.Problems
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSuffix(line, "\n")
		at, words := path, line
		if field, rest, ok := strings.Cut(line, ": "); ok && fieldPath.MatchString(field) {
			at, words = path+"."+field, rest
		}
		problems = append(problems, p.Problem(at, "%s", words))
	}
	return problems
}

// refusal makes problems of what the sidecar's parser says about resources. A
// policy that got so far is at fault in a way that has no line of its own.
func refusal(p *policy.Policy, err error) policy.Problems {
	var problems policy.Problems
	for line := range strings.Lines(err.Error()) {
		problems = append(problems, p.Problem("", "policy %q: %s", p.Name(), strings.TrimSuffix(line, "\n")))
	}
	return problems
}

// accepted runs the resources through what a sidecar does with them, short of
// putting them in force.
func (c *Compiler) accepted(out *Compiled) error {
	var errs []error
	parse := func(m proto.Message) any {
		a, err := pack(m)
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		_, parsed, err := c.parser.ParseAny(a.GetTypeUrl(), a)
		errs = append(errs, err)
		return parsed
	}
	var whole config.Resources
	parsed := [kinds][]any{}
	for kind, items := range out.items {
		for _, it := range items {
			parsed[kind] = append(parsed[kind], parse(it.resource))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	gather(&whole, parsed)
	builder := config.NewBuilder(zap.NewNop(), prometheus.NewRegistry(), config.Defaults{Trial: true})
	defer builder.Close()
	change, err := builder.Build(&whole)
	if err != nil {
		return err
	}
	change.Abort()
	return nil
}

// gather puts parsed resources together as a sidecar does.
func gather(whole *config.Resources, parsed [kinds][]any) {
	members := map[string]*resource.Endpoints{}
	for _, r := range parsed[endpoints] {
		if e, ok := r.(*resource.Endpoints); ok {
			members[e.Name] = e
		}
	}
	for _, r := range parsed[clusters] {
		if c, ok := r.(*resource.Cluster); ok {
			full := *c.Config
			if e := members[full.Name]; e != nil {
				e.Apply(&full)
			}
			whole.Clusters = append(whole.Clusters, &full)
		}
	}
	for _, r := range parsed[listeners] {
		if l, ok := r.(*resource.Listener); ok {
			whole.Listeners = append(whole.Listeners, l.Listener)
		}
	}
	whole.Routes = map[string]*config.RouteTable{}
	for _, r := range parsed[routeSets] {
		if t, ok := r.(*resource.RouteTable); ok {
			whole.Routes[t.Name] = t.RouteTable
		}
	}
}

// pack makes an Any whose bytes depend on the message only.
func pack(m proto.Message) (*anypb.Any, error) {
	a := new(anypb.Any)
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return a, nil
}

// digestLength is in hexadecimal letters: 48 bits tell versions of one name
// apart.
const digestLength = 12

// digestBytes is of bytes.
func digestBytes(parts ...[]byte) string {
	h := sha256.New()
	for _, b := range parts {
		h.Write(fmt.Appendf(nil, "%d ", len(b)))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))[:digestLength]
}

// digest is of the messages' bytes.
func digest(messages ...proto.Message) (string, error) {
	all := make([][]byte, 0, len(messages))
	for _, m := range messages {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			return "", fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
		}
		all = append(all, b)
	}
	return digestBytes(all...), nil
}

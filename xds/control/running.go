package control

import "maps"

// revisions are what versions of resources stand for. The older half is forgotten
// when there are many, but for what is still looked for.
type revisions struct {
	current, before map[revision][]item
}

// revision is a version of one kind of resources, as nodes acknowledge it.
type revision struct {
	kind    string
	version string
}

const maxRevisions = 1024

// add makes a stage's versions known.
func (r *revisions) add(st stage) {
	for kind, v := range st.versions() {
		r.put(revision{typeNames()[kind], v}, st[kind])
	}
}

func (r *revisions) put(key revision, items []item) {
	if r.current == nil || len(r.current) >= maxRevisions {
		r.current, r.before = map[revision][]item{}, r.current
	}
	r.current[key] = items
}

// find is what a version of a kind holds; nil: it is not known.
func (r *revisions) find(kind, version string) []item {
	key := revision{kind, version}
	if items, ok := r.current[key]; ok {
		return items
	}
	items, ok := r.before[key]
	if ok {
		r.put(key, items)
	}
	return items
}

// Running is how far a node is with one policy.
type Running struct {
	Policy string `json:"policy"`
	// Version is what it runs, as far as its acknowledgements tell; empty: nothing
	// of the policy, or parts of two versions.
	Version string `json:"version,omitempty"`
	// Served is what it is to run.
	Served string `json:"served"`
	// State is current, behind (it has not answered yet) or refused.
	State string `json:"state"`
	// Error is a node's words where it has refused.
	Error string `json:"error,omitempty"`
}

// The states of a policy at a node.
const (
	RunsCurrent = "current"
	RunsBehind  = "behind"
	RunsRefused = "refused"
)

// running is how far a node is with each of its policies. s.mu is held.
func (s *Server) running(key string, n *node) []Running {
	list := make([]Running, 0, len(n.policies))
	acked := make([]map[string]item, kinds)
	for kind, name := range typeNames() {
		acked[kind] = map[string]item{}
		for _, it := range n.runs[name] {
			acked[kind][it.name] = it
		}
	}
	for _, p := range n.policies {
		r := Running{Policy: p.Name(), Served: p.Version, State: RunsBehind}
		if has(p, acked) {
			r.Version, r.State = p.Version, RunsCurrent
		} else if old := acked[listeners][p.Name()].policy; old != nil && has(old, acked) {
			r.Version = old.Version
		}
		if refused := s.refusals[p.Name()]; refused != nil && len(refused.words[key]) > 0 {
			r.State = RunsRefused
			for words := range maps.Values(refused.words[key]) {
				r.Error = max(r.Error, words) // one of them, always the same
			}
		}
		list = append(list, r)
	}
	return list
}

// has says whether all of a policy's resources are among those acknowledged.
func has(p *Compiled, acked []map[string]item) bool {
	for kind, items := range p.items {
		for _, it := range items {
			if acked[kind][it.name].digest != it.digest {
				return false
			}
		}
	}
	return true
}

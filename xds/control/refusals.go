package control

import (
	"strings"

	"go.uber.org/zap"
)

// A Veto is a policy's version that too many sidecars have refused.
type Veto struct {
	Policy, Version string
	// Node is one of those who refused it, in these words.
	Node, Words string
	// Refused of Of sidecars that the policy is for.
	Refused, Of int
}

// refused is who has refused the version in force of a policy.
type refused struct {
	version string
	// words are by node and kind: who takes the listener later still refuses the
	// cluster.
	words map[string]map[string]string
}

// quorum is how many of a policy's sidecars must refuse a version of it before it
// is taken back for all: two, or a tenth of them, whichever is more; the only one,
// where there is just one. One sidecar that is broken by itself (somebody else has
// the port) stands alone in that, and goes on with its last good version anyway;
// two are a pattern among a few, and a tenth is one among a thousand.
func quorum(of int) int { return max(min(2, of), (of+9)/10) }

// refuse notes that a node refused a version of one kind of resources. Who is at
// fault are the policies that are named in its words, of those that were new to
// it; all of these, where it names none.
func (s *Server) refuse(key string, n *node, kind, version, words string) {
	var suspects, named []*Compiled
	accepted := map[string]string{}
	for _, it := range n.runs[kind] {
		accepted[it.name] = it.digest
	}
	for _, it := range s.known.find(kind, version) {
		if accepted[it.name] == it.digest {
			continue
		}
		suspects = append(suspects, it.policy)
		if mentions(words, it.name) {
			named = append(named, it.policy)
		}
	}
	if len(named) == 0 {
		named = suspects
	} else {
		n.takeBut(kind, s.known.find(kind, version), words)
	}
	for _, p := range named {
		r := s.refusals[p.Name()]
		if r == nil || r.version != p.Version {
			continue // of a version that is no longer in force
		}
		if r.words[key] == nil {
			r.words[key] = map[string]string{}
		}
		r.words[key][kind] = words
		s.judge(p, n, words)
	}
}

// takeBut notes that a node runs what it was sent of one kind, but for what its
// words name: of that it goes on with what it had.
func (n *node) takeBut(kind string, sent []item, words string) {
	runs := make([]item, 0, len(sent))
	for _, it := range sent {
		if !mentions(words, it.name) {
			runs = append(runs, it)
		}
	}
	for _, it := range n.runs[kind] {
		if mentions(words, it.name) {
			runs = append(runs, it)
		}
	}
	n.runs[kind] = runs
}

// judge takes a policy's version back where a quorum has refused it.
func (s *Server) judge(p *Compiled, n *node, words string) {
	of := 0
	for _, other := range s.nodes {
		if p.Selects(other.Node) {
			of++
		}
	}
	r := s.refusals[p.Name()]
	if len(r.words) < quorum(of) {
		return
	}
	for _, v := range s.refused {
		if v.Policy == p.Name() && v.Version == p.Version {
			return
		}
	}
	s.refused = append(s.refused, Veto{
		Policy: p.Name(), Version: p.Version, Node: n.ID, Words: words, Refused: len(r.words), Of: of,
	})
	s.log.Error("policy refused by its sidecars", zap.String("policy", p.Name()), zap.String("version", p.Version),
		zap.Int("refused", len(r.words)), zap.Int("of", of), zap.String("error", words))
	select {
	case s.vetoes <- struct{}{}:
	default: // told already
	}
}

// accept notes that a node has taken a version of one kind, maybe after all.
func (s *Server) accept(key string, n *node, kind, version string) {
	n.runs[kind] = s.known.find(kind, version)
	for _, it := range n.runs[kind] {
		r := s.refusals[it.policy.Name()]
		if r == nil || r.words[key] == nil {
			continue
		}
		if delete(r.words[key], kind); len(r.words[key]) == 0 {
			delete(r.words, key)
		}
	}
}

// forget drops what was refused of versions that are no longer in force.
func (s *Server) forget(policies []*Compiled) {
	kept := make(map[string]*refused, len(policies))
	for _, p := range policies {
		r := s.refusals[p.Name()]
		if r == nil || r.version != p.Version {
			r = &refused{version: p.Version, words: map[string]map[string]string{}}
		}
		kept[p.Name()] = r
	}
	s.refusals = kept
}

// Vetoes tells that there are vetoes to be taken.
func (s *Server) Vetoes() <-chan struct{} { return s.vetoes }

// TakeVetoes are those since it was last called.
func (s *Server) TakeVetoes() []Veto {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.refused
	s.refused = nil
	return list
}

// mentions says whether a refusal's words name a resource: in quotes, as Friday
// does, or as a word of its own, as Envoy does.
func mentions(words, name string) bool {
	if strings.Contains(words, `"`+name+`"`) {
		return true
	}
	part := func(c byte) bool {
		return c == '-' || c == '_' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	for at := 0; ; {
		i := strings.Index(words[at:], name)
		if i < 0 {
			return false
		}
		begin, end := at+i, at+i+len(name)
		if (begin == 0 || !part(words[begin-1])) && (end == len(words) || !part(words[end])) {
			return true
		}
		at = end
	}
}

package control

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/fridaymesh/friday/xds/control/history"
)

// HistoryView is the history as people see it.
type HistoryView struct {
	// Folder is where it is kept; empty: in memory, so that it ends with fridayd.
	Folder   string        `json:"folder,omitempty"`
	Versions []VersionView `json:"versions"` // the newest first
	Rollback *Pin          `json:"rollback,omitempty"`
	Rejected []Rejection   `json:"rejected,omitempty"`
}

// VersionView is one version.
type VersionView struct {
	*history.Version

	InForce bool `json:"in_force"`
	// Rejected are the versions of its policies that sidecars have refused, with
	// their words, by policy.
	Rejected map[string]string `json:"rejected,omitempty"`
}

// History is every version that is kept.
func (r *Rollout) History() HistoryView {
	r.mu.Lock()
	defer r.mu.Unlock()
	view := HistoryView{Folder: r.store.OnDisk(), Versions: []VersionView{}, Rejected: slices.Clone(r.state.Rejected)}
	if r.state.Pin != nil {
		pin := *r.state.Pin
		view.Rollback = &pin
	}
	for _, v := range slices.Backward(r.store.Versions()) {
		line := VersionView{Version: v, InForce: v.Number == r.current}
		for _, p := range v.Policies {
			if x := r.rejected(p.Name, p.Version); x != nil {
				if line.Rejected == nil {
					line.Rejected = map[string]string{}
				}
				line.Rejected[p.Name] = x.said()
			}
		}
		view.Versions = append(view.Versions, line)
	}
	return view
}

func (x Rejection) said() string {
	return fmt.Sprintf("refused by %d of %d sidecars, as %s: %s", x.Refused, x.Of, x.Node, x.Words)
}

// Diff says how version b differs from a. 0 as b is the version in force, 0 as a
// the one before b.
func (r *Rollout) Diff(a, b int) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b == 0 {
		b = r.current
	}
	kept := r.store.Versions()
	if a == 0 {
		i := slices.IndexFunc(kept, func(v *history.Version) bool { return v.Number == b })
		if i < 1 {
			return "", fmt.Errorf("%w: there is no version before %d", ErrNothing, b)
		}
		a = kept[i-1].Number
	}
	from, to := r.store.Find(a), r.store.Find(b)
	switch {
	case from == nil:
		return "", r.unknown(a)
	case to == nil:
		return "", r.unknown(b)
	}
	return history.Diff(from, to), nil
}

// Policies are the folder's, with what is served in their place.
func (r *Rollout) Policies(folder []PolicyStatus) []PolicyStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range folder {
		p := &folder[i]
		wanted, served := r.find(r.wanted(), p.Name), r.find(r.served, p.Name)
		if p.Name == "" {
			continue
		}
		switch {
		case served == nil:
			p.Served = "none"
		case served.Version != p.Version:
			p.Served = served.Version
		}
		if wanted != nil {
			if x := r.rejection(wanted); x != nil {
				p.State, p.Error = StateRejected, x.said()
				continue
			}
		}
		if r.state.Pin != nil && p.Served != "" {
			p.State = StateHeld
		}
	}
	return folder
}

// ClusterView is a group of servers as it is served.
type ClusterView struct {
	Name      string   `json:"name"`
	Policy    string   `json:"policy"`
	Version   string   `json:"version"`
	Endpoints []string `json:"endpoints"`
	// Weights are its own of all, in percent, by route; empty: the policy has one
	// server.
	Weights map[string]float64 `json:"weights,omitempty"`
	// Current of Sidecars run the policy's version.
	Current  int `json:"current"`
	Sidecars int `json:"sidecars"`
}

// Clusters are all groups of servers, by name.
func (s *Server) Clusters() []ClusterView {
	s.mu.Lock()
	defer s.mu.Unlock()
	current, of := map[string]int{}, map[string]int{}
	for key, n := range s.nodes {
		for _, run := range s.running(key, n) {
			of[run.Policy]++
			if run.State == RunsCurrent {
				current[run.Policy]++
			}
		}
	}
	list := []ClusterView{}
	for _, p := range s.policies {
		for _, g := range p.Groups() {
			v := ClusterView{
				Name: p.Cluster(g.Name), Policy: p.Name(), Version: p.Version, Endpoints: g.Server.GetEndpoints(),
				Current: current[p.Name()], Sidecars: of[p.Name()],
			}
			if g.Name != "" {
				v.Weights = map[string]float64{p.Name(): share(p.Weights(""), g.Name)}
				for _, route := range p.Spec().GetRoutes() {
					v.Weights[p.Name()+route.GetPrefix()] = share(p.Weights(route.GetPrefix()), g.Name)
				}
			}
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b ClusterView) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// share is in percent, of two digits.
func share(weights map[string]uint32, name string) float64 {
	var sum uint64
	for w := range maps.Values(weights) {
		sum += uint64(w)
	}
	return float64(uint64(weights[name])*10000/max(sum, 1)) / 100
}

// Dump is what a node is served, as Envoy writes resources, by short type name,
// and how far it is with them.
type Dump struct {
	Node      NodeStatus                   `json:"node"`
	Resources map[string][]json.RawMessage `json:"resources"`
}

// Dump is every connected node of that id; "" is all.
func (s *Server) Dump(id string) ([]Dump, error) {
	status := s.Nodes()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Dump{}
	for _, n := range status {
		if id != "" && n.ID != id {
			continue
		}
		known := s.nodes[key(n.Cluster, n.ID)]
		if known == nil {
			continue // it has left
		}
		d := Dump{Node: n, Resources: map[string][]json.RawMessage{}}
		for kind, items := range whole(known.policies) {
			for _, it := range items {
				text, err := protojson.Marshal(it.resource)
				if err != nil {
					return nil, fmt.Errorf("%s %q: %w", typeNames()[kind], it.name, err)
				}
				d.Resources[typeNames()[kind]] = append(d.Resources[typeNames()[kind]], text)
			}
		}
		out = append(out, d)
	}
	return out, nil
}

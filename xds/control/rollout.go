package control

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/xds/control/history"
	"github.com/fridaymesh/friday/xds/control/policy"
)

// Rollout stands between the folder and the nodes and decides which policies are
// served: those of the folder, unless
//
//   - a rollback holds an older version, until the folder changes or it is
//     released;
//   - sidecars have refused a policy's version: then its last good one stands in
//     for it, and the others are as they are;
//   - a shift has set a route's weights, until the folder's own weights change.
//
// Each set that comes to be served is kept in the history. The three decisions
// are kept beside it, so that they outlive the process.
type Rollout struct {
	compiler *Compiler
	nodes    *Server
	store    *history.Store
	meter    Meter
	log      *zap.Logger
	metrics  *Metrics
	begun    chan struct{} // holds one: there is a shift to be watched

	mu       sync.Mutex
	folder   []*Compiled // what the folder says
	pinned   []*Compiled // what the rollback holds; nil: there is none
	served   []*Compiled
	current  int // the number of the version that served belongs to; 0: none yet
	state    rolloutState
	compiled map[string]*Compiled // of older texts and other weights
	watches  map[string]*watching // by route, of running shifts
}

// rolloutState is what outlives the process.
type rolloutState struct {
	Pin      *Pin        `json:"rollback,omitempty"`
	Rejected []Rejection `json:"rejected,omitempty"`
	Shifts   []*Shift    `json:"shifts,omitempty"`
}

// Pin is a rollback that holds.
type Pin struct {
	To   int       `json:"to"`
	Time time.Time `json:"time"`
	By   string    `json:"by,omitempty"`
	// Folder is the digest of what the folder said then.
	Folder string `json:"folder"`
}

// Rejection is a version of a policy that sidecars have refused.
type Rejection struct {
	Policy  string    `json:"policy"`
	Version string    `json:"version"`
	Time    time.Time `json:"time"`
	Node    string    `json:"node"`
	Words   string    `json:"error"`
	Refused int       `json:"refused"`
	Of      int       `json:"of"`
}

// NewRollout makes a Rollout that keeps its history in store and reads the
// sidecars' metrics through meter.
func NewRollout(compiler *Compiler, nodes *Server, store *history.Store, meter Meter, log *zap.Logger, metrics *Metrics) (*Rollout, error) {
	r := &Rollout{
		compiler: compiler, nodes: nodes, store: store, meter: meter, log: log, metrics: metrics,
		begun: make(chan struct{}, 1), compiled: map[string]*Compiled{}, watches: map[string]*watching{},
	}
	if _, err := store.LoadState(&r.state); err != nil {
		return nil, err
	}
	return r, nil
}

// Run takes refused policies back and leads shifts on, until ctx ends.
func (r *Rollout) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { r.runShifts(ctx) })
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.nodes.Vetoes():
			for _, v := range r.nodes.TakeVetoes() {
				r.reject(v)
			}
		}
	}
}

// Update is told what the folder says now.
func (r *Rollout) Update(folder []*Compiled) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.folder = folder
	origin := "folder"
	if pin := r.state.Pin; pin != nil {
		err := error(nil)
		switch {
		case pin.Folder != digestOf(folder):
			r.state.Pin, r.pinned = nil, nil
			origin = "folder changed, which ends the rollback"
			r.log.Info("the folder has changed, the rollback ends", zap.Int("version", pin.To))
		case r.pinned == nil: // as after a restart
			if r.pinned, err = r.restore(pin.To); err != nil {
				r.state.Pin = nil
				r.log.Error("the rollback cannot be kept, the folder is served", zap.Error(err))
			}
		}
	}
	r.settleShifts()
	r.enter(origin, 0)
}

// stepOrigin is that of what is never kept.
const stepOrigin = "shift"

// enter puts in force what is to be served now, and keeps it where it is a new
// version. of is the version that it brings back. r.mu is held.
func (r *Rollout) enter(origin string, of int) {
	list := r.effective()
	step := origin == stepOrigin || r.current == 0 && r.shifting()
	if r.current == 0 || !same(list, r.served) {
		r.served = list
		r.nodes.Update(list)
	}
	policies := entries(list)
	digest := history.Digest(policies)
	switch latest := r.store.Latest(); {
	case latest != nil && (latest.Digest == digest || step):
		r.current = latest.Number // a shift's steps are no versions, only its end is
	default:
		v := &history.Version{Time: time.Now().UTC(), Origin: origin, Of: of, Digest: digest, Policies: policies}
		if err := r.store.Add(v); err != nil {
			r.log.Error("a version could not be kept", zap.Error(err))
		}
		r.current = v.Number
		r.log.Named("audit").Info("version in force", zap.Int("version", v.Number), zap.String("origin", origin), zap.Strings("policies", names(list)))
	}
	r.save()
}

// save keeps the state and shows it. r.mu is held.
func (r *Rollout) save() {
	r.state.Rejected = slices.DeleteFunc(r.state.Rejected, func(x Rejection) bool { return !r.remembered(x) })
	if err := r.store.SaveState(r.state); err != nil {
		r.log.Error("rollback, refusals and shifts could not be kept", zap.Error(err))
	}
	r.metrics.Version.Set(float64(r.current))
	held := 0.
	if r.state.Pin != nil {
		held = 1
	}
	r.metrics.RolledBack.Set(held)
	rejected := 0
	for _, p := range r.wanted() {
		if r.rejection(p) != nil {
			rejected++
		}
	}
	r.metrics.Rejected.Set(float64(rejected))
	r.metrics.ShiftWeight.Reset()
	for _, s := range r.state.Shifts {
		for name, w := range s.Weights {
			r.metrics.ShiftWeight.WithLabelValues(s.Route, s.Policy+"."+name).Set(float64(w))
		}
	}
}

// remembered says whether a refusal still matters: it is of what the folder says,
// or of a version that is kept.
func (r *Rollout) remembered(x Rejection) bool {
	for _, p := range r.wanted() {
		if p.Name() == x.Policy && p.Version == x.Version {
			return true
		}
	}
	return slices.ContainsFunc(r.store.Versions(), func(v *history.Version) bool {
		p := v.Find(x.Policy)
		return p != nil && p.Version == x.Version
	})
}

// wanted is what would be served if nobody had refused anything. r.mu is held.
func (r *Rollout) wanted() []*Compiled {
	if r.state.Pin != nil {
		return r.pinned
	}
	list := slices.Clone(r.folder)
	for i, p := range list {
		for _, s := range r.state.Shifts {
			if s.Policy != p.Name() || maps.Equal(s.Weights, p.Weights(s.Prefix)) {
				continue
			}
			if q, err := r.weighted(list[i], s.Prefix, s.Weights); err == nil {
				list[i] = q
			} else {
				r.log.Error("a shift's weights cannot be served", zap.String("route", s.Route), zap.Error(err))
			}
		}
	}
	return list
}

// effective is what is to be served. r.mu is held.
func (r *Rollout) effective() []*Compiled {
	var list []*Compiled
	var instead []*Compiled
	for _, p := range r.wanted() {
		if r.rejection(p) == nil {
			list = append(list, p)
		} else if good := r.lastGood(p.Name()); good != nil {
			instead = append(instead, good)
		}
	}
	for _, p := range instead {
		// What others have taken in the meantime stays theirs.
		taken := slices.ContainsFunc(list, func(other *Compiled) bool { return p.Conflict(other.Policy) != nil })
		if taken {
			r.log.Error("the last good version of a refused policy is in conflict with others and not served", zap.String("policy", p.Name()))
			continue
		}
		list = append(list, p)
	}
	slices.SortFunc(list, byName)
	return list
}

// rejection is the refusal of p's version; nil: none.
func (r *Rollout) rejection(p *Compiled) *Rejection { return r.rejected(p.Name(), p.Version) }

func (r *Rollout) rejected(name, version string) *Rejection {
	for i, x := range r.state.Rejected {
		if x.Policy == name && x.Version == version {
			return &r.state.Rejected[i]
		}
	}
	return nil
}

// weighted is p with other weights on a route.
func (r *Rollout) weighted(p *Compiled, prefix string, weights map[string]uint32) (*Compiled, error) {
	key := fmt.Sprintf("%s %s%s %s %s", p.Version, p.Name(), prefix, history.Shares(weights), selector(p.Policy))
	if c := r.compiled[key]; c != nil {
		return c, nil
	}
	other, ok := p.WithWeights(prefix, weights)
	if !ok {
		return nil, fmt.Errorf("policy %q has no such route or server", p.Name())
	}
	c, err := r.compiler.Compile(other)
	if err != nil {
		return nil, err
	}
	if c.shifted = maps.Clone(p.shifted); c.shifted == nil {
		c.shifted = map[string]map[string]uint32{}
	}
	c.shifted[prefix] = weights
	r.keep(key, c)
	return c, nil
}

// maxCompiled bounds what is kept of what was compiled.
const maxCompiled = 1024

func (r *Rollout) keep(key string, c *Compiled) {
	if len(r.compiled) >= maxCompiled {
		clear(r.compiled)
	}
	r.compiled[key] = c
}

// entries are policies as the history keeps them.
func entries(list []*Compiled) []history.Policy {
	out := make([]history.Policy, len(list))
	for i, p := range list {
		out[i] = history.Policy{
			Name: p.Name(), Version: p.Version, Selector: selector(p.Policy), File: p.File, Text: p.Text, Weights: p.shifted,
		}
	}
	return out
}

func digestOf(list []*Compiled) string { return history.Digest(entries(list)) }

// selector is whom a policy is for, in one line.
func selector(p *policy.Policy) string {
	s := p.Selector()
	var parts []string
	if c := s.GetNodeCluster(); c != "" {
		parts = append(parts, "node_cluster="+c)
	}
	if id := s.GetNodeId(); id != "" {
		parts = append(parts, "node_id="+id)
	}
	for _, key := range slices.Sorted(maps.Keys(s.GetNodeMetadata())) {
		parts = append(parts, key+"="+s.GetNodeMetadata()[key])
	}
	return strings.Join(parts, ",")
}

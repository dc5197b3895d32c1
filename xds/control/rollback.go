package control

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/xds/control/history"
	"github.com/fridaymesh/friday/xds/control/policy"
)

// reject takes a policy's version back for all, because sidecars refuse it.
func (r *Rollout) reject(v Veto) {
	r.mu.Lock()
	defer r.mu.Unlock()
	inForce := slices.ContainsFunc(r.served, func(p *Compiled) bool { return p.Name() == v.Policy && p.Version == v.Version })
	if !inForce || r.rejected(v.Policy, v.Version) != nil {
		return
	}
	r.state.Rejected = append(r.state.Rejected, Rejection{
		Policy: v.Policy, Version: v.Version, Time: time.Now().UTC(), Node: v.Node, Words: v.Words, Refused: v.Refused, Of: v.Of,
	})
	for _, s := range r.state.Shifts {
		if s.Policy == v.Policy && s.State == ShiftRunning {
			r.abort(s, fmt.Sprintf("refused by %d of %d sidecars: %s", v.Refused, v.Of, v.Words), "")
		}
	}
	r.metrics.Rollbacks.WithLabelValues("automatic").Inc()
	r.log.Named("audit").Error("policy version rejected, its last good version is served", zap.String("policy", v.Policy),
		zap.String("version", v.Version), zap.Int("refused", v.Refused), zap.Int("of", v.Of), zap.String("node", v.Node), zap.String("error", v.Words))
	r.enter(fmt.Sprintf("automatic rollback: %s %s was refused by %d of %d sidecars", v.Policy, v.Version, v.Refused, v.Of), 0)
}

// lastGood is the newest version of a policy that is kept and that nobody has
// refused; nil: there is none, and nothing of the policy can be served.
func (r *Rollout) lastGood(name string) *Compiled {
	for _, v := range slices.Backward(r.store.Versions()) {
		p := v.Find(name)
		if p == nil || r.rejected(name, p.Version) != nil {
			continue
		}
		c, err := r.compileKept(p)
		if err != nil {
			r.log.Warn("an older version of a policy cannot be served any more", zap.String("policy", name), zap.Int("version", v.Number), zap.Error(err))
			continue
		}
		if r.rejection(c) == nil { // which may differ from what an older fridayd made of it
			return c
		}
	}
	return nil
}

// compileKept makes resources of a policy of the history.
func (r *Rollout) compileKept(p *history.Policy) (*Compiled, error) {
	key := p.Name + "@" + p.Version + "@" + p.Selector
	if c := r.compiled[key]; c != nil {
		return c, nil
	}
	list, err := policy.Decode(p.File, []byte(p.Text))
	if err != nil {
		return nil, err
	}
	if len(list) != 1 {
		return nil, fmt.Errorf("%s: holds %d policies", p.File, len(list))
	}
	c, err := r.compiler.Compile(list[0])
	for prefix, weights := range p.Weights {
		if err == nil {
			c, err = r.weighted(c, prefix, weights)
		}
	}
	if err != nil {
		return nil, err
	}
	r.keep(key, c)
	return c, nil
}

// restore makes resources of a whole version.
func (r *Rollout) restore(number int) ([]*Compiled, error) {
	v := r.store.Find(number)
	if v == nil {
		return nil, r.unknown(number)
	}
	list := []*Compiled{} // a version without policies is one, too
	var errs []error
	for i := range v.Policies {
		c, err := r.compileKept(&v.Policies[i])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		list = append(list, c)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("version %d cannot be served any more: %w", number, err)
	}
	slices.SortFunc(list, byName)
	return list, nil
}

// ErrUnknownVersion says that a version is not kept, or never was.
var ErrUnknownVersion = errors.New("is not kept")

func (r *Rollout) unknown(number int) error {
	kept := r.store.Versions()
	if len(kept) == 0 {
		return fmt.Errorf("version %d: %w: there is none yet", number, ErrUnknownVersion)
	}
	return fmt.Errorf("version %d: %w: there are %d to %d", number, ErrUnknownVersion, kept[0].Number, kept[len(kept)-1].Number)
}

// ErrNothing says that there is nothing to do.
var ErrNothing = errors.New("nothing to do")

// Rollback serves an older version at once; 0: the last one before the one in
// force that differs from it and that no sidecar has refused. It holds until the
// folder changes or [Rollout.Release].
func (r *Rollout) Rollback(to int, by string) (*history.Version, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if to == 0 {
		if to = r.previous(); to == 0 {
			return nil, fmt.Errorf("%w: there is no earlier version that differs from the one in force", ErrNothing)
		}
	}
	list, err := r.restore(to)
	if err != nil {
		return nil, err
	}
	if same(list, r.served) {
		return nil, fmt.Errorf("%w: version %d is what is served already", ErrNothing, to)
	}
	// Who asks for a version by its number gets it, whatever was said of it before.
	r.state.Rejected = slices.DeleteFunc(r.state.Rejected, func(x Rejection) bool {
		return slices.ContainsFunc(list, func(p *Compiled) bool { return p.Name() == x.Policy && p.Version == x.Version })
	})
	for _, s := range r.state.Shifts {
		if s.State == ShiftRunning {
			r.abort(s, fmt.Sprintf("rollback to version %d", to), by)
		}
	}
	r.state.Shifts = nil
	r.state.Pin = &Pin{To: to, Time: time.Now().UTC(), By: by, Folder: digestOf(r.folder)}
	r.pinned = list
	r.metrics.Rollbacks.WithLabelValues("asked").Inc()
	r.log.Named("audit").Info("rollback", zap.Int("to", to), zap.Int("from", r.current), zap.String("by", by))
	r.enter(fmt.Sprintf("rollback to %d", to), to)
	return r.store.Latest(), nil
}

// previous is the version that a rollback without a number goes to; 0: none.
func (r *Rollout) previous() int {
	now := digestOf(r.served)
	from := r.current
	if v := r.store.Find(from); v != nil && v.Of > 0 {
		from = v.Of
	}
	for _, v := range slices.Backward(r.store.Versions()) {
		refused := slices.ContainsFunc(v.Policies, func(p history.Policy) bool { return r.rejected(p.Name, p.Version) != nil })
		if v.Number < from && v.Digest != now && !refused {
			return v.Number
		}
	}
	return 0
}

// Release ends a rollback and forgets what sidecars have refused: the folder is
// served as it is.
func (r *Rollout) Release(by string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.Pin == nil && len(r.state.Rejected) == 0 {
		return fmt.Errorf("%w: no rollback holds, and no policy is rejected", ErrNothing)
	}
	r.state.Pin, r.pinned, r.state.Rejected = nil, nil, nil
	r.log.Named("audit").Info("rollback released", zap.Int("from", r.current), zap.String("by", by))
	r.enter("released: the folder is served", 0)
	return nil
}

package models

import (
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy/telemetry"
)

// decide steps through all models. What is loaded ahead of demand comes one after the
// other, in the order of priority; what is asked for waits for nobody but for room.
func (f *fleet) decide(now time.Time) {
	ahead := false // something is being brought up that nobody has asked for yet
	for _, m := range f.ordered {
		ahead = ahead || m.current != nil && m.current.job != nil && m.current.state != ready && !m.asked()
	}
	f.waiting = slices.DeleteFunc(f.waiting, func(v *version) bool { return v.state != unloaded || !v.model.wants(v) || v.model.removed.Load() })
	for _, m := range f.ordered {
		f.goOn(m, now)
		if v := m.next; v != nil {
			f.bringUp(v, now)
		}
		v := m.current
		switch {
		case v == nil:
		case v.state == ready:
			f.look(v, now)
		case m.wants(v) && (m.asked() || !ahead):
			f.bringUp(v, now)
			ahead = ahead || v.job != nil && !m.asked()
		}
	}
	f.refuse()
	for name, m := range *f.models.Load() {
		if m.removed.Load() && len(m.going) == 0 {
			rest := maps.Clone(*f.models.Load())
			delete(rest, name)
			f.store(rest)
			f.tell(m)
		}
	}
}

// asked says whether somebody waits for the model.
func (m *model) asked() bool { return m.fleet.queue.heldFor(m) > 0 }

// wants says whether a version is to be brought up.
func (m *model) wants(v *version) bool {
	return v == m.next || v == m.current && (v.eager || m.required || m.asked())
}

// bringUp does what comes next for a version that is to be ready.
func (f *fleet) bringUp(v *version, now time.Time) {
	if v.job != nil {
		return
	}
	if now.Before(v.retryAt) {
		f.at(v.retryAt)
		return
	}
	switch v.state {
	case unknown, failed:
		f.probe(v)
	case unloaded:
		f.load(v, now)
	default: // draining: it has to be let go of before; in the others there is a job
	}
}

// load fetches, makes room and loads.
func (f *fleet) load(v *version, now time.Time) {
	m := v.model
	current, others := m.inTheWay(v)
	beside := !current && !others
	if !v.fetched && (beside || m.current != v && !samePath(m, v)) {
		f.fetch(v)
		return
	}
	if m.next == v && (current || !f.fits(v)) {
		// The server cannot hold both: the old one goes first, and callers wait.
		m.shut()
		m.drop(m.current, "replaced")
		m.current, m.next, v.eager = v, nil, true
		f.log.Info("the server cannot hold both versions: requests wait while they are exchanged",
			zap.String(telemetry.FieldModel, m.name), zap.String(telemetry.FieldVersion, v.name))
		f.goOn(m, now)
		return
	}
	if !beside {
		v.set(unloaded, "waits for the version before it to be unloaded")
		return
	}
	if !v.fetched {
		f.fetch(v)
		return
	}
	if f.room(v, now) {
		f.start(v)
	}
}

// samePath says whether v's source would take the place of one that is loaded.
func samePath(m *model, v *version) bool {
	return slices.ContainsFunc(m.versions(), func(o *version) bool { return o != v && o.resident && o.name == v.name })
}

// look sees after a version that is ready: who has asked about it, whether it is idle, and
// whether all servers have it.
func (f *fleet) look(v *version, now time.Time) {
	m := v.model
	if v.job != nil {
		return
	}
	if len(v.asking) > 0 || m.required && now.Sub(v.checked) >= watched {
		f.probe(v)
		return
	}
	if idle := m.idleTTL; idle > 0 && !m.required && !f.fixed {
		last := time.Unix(0, m.lastUsed.Load())
		if v.readyAt.After(last) {
			last = v.readyAt
		}
		switch until := last.Add(idle); {
		case v.inFlight.Load() > 0:
			f.at(now.Add(idle))
		case !now.Before(until):
			f.drain(v, "idle")
			f.goOn(m, now)
			return
		default:
			f.at(until)
		}
	}
	if f.newServers(v) {
		f.start(v)
	}
	f.at(now.Add(time.Second))
}

// newServers says whether there are servers that are not known to have v.
func (f *fleet) newServers(v *version) bool {
	return slices.ContainsFunc(f.servers(), func(e endpoint) bool { return !v.at[e] })
}

// drain lets no request in any more.
func (f *fleet) drain(v *version, why string) {
	v.why = why
	v.model.shut()
	v.set(draining, "")
}

// goOn goes on with versions that are to be unloaded: those of m.going, and the current
// one where it is draining.
func (f *fleet) goOn(m *model, now time.Time) {
	all := m.going
	if v := m.current; v != nil && v.state == draining {
		all = append(slices.Clone(all), v)
	}
	for _, v := range all {
		switch {
		case v.job != nil:
		case now.Before(v.leaveAt):
			f.at(v.leaveAt)
		case now.Before(v.retryAt) && v.state == draining:
			f.at(v.retryAt)
		case v.inFlight.Load() > 0: // who leaves last says so
			v.set(draining, "waits for requests in flight")
		default:
			v.set(draining, "")
			f.unload(v)
		}
	}
}

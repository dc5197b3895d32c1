package models

import (
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// How a model changes. Where the server can hold the new version beside the old one, the
// new one is fetched, loaded and warmed while the old one serves; then requests go to the
// new one, and the old one is kept for a while and unloaded. Where it cannot, the order is:
// fetch the new, let nobody in, wait for the old to be idle, unload it, load and warm the
// new, let everybody in.

// want makes mc what the model is to be.
func (m *model) want(mc *ModelConfig) {
	m.required, m.priority, m.idleTTL = mc.Required, mc.Priority, mc.IdleTTL
	m.records.bound(mc.Record)
	for _, v := range m.versions() {
		if v.id == mc.id {
			v.spec = mc
			if mc.Bytes > 0 {
				v.bytes = mc.Bytes
			}
		}
	}
	if m.next != nil && m.next.id == mc.id {
		return
	}
	m.drop(m.next, "replaced") // a change that is taken back before it has come
	m.next = nil
	switch old := m.resident(mc.id); {
	case m.current != nil && m.current.id == mc.id:
	case old != nil && m.serving.Load() != nil:
		m.going = slices.DeleteFunc(m.going, func(v *version) bool { return v == old })
		old.leaving.Store(false)
		m.shift(old)
	case m.serving.Load() != nil:
		m.next = m.newVersion(mc)
	default:
		m.drop(m.current, "replaced")
		m.current = m.newVersion(mc)
		m.current.eager = mc.Preload || mc.Required
	}
	if m.required && m.current.state != ready {
		m.current.eager = true
	}
}

// resident is the version of that id that still answers, though another serves.
func (m *model) resident(id string) *version {
	for _, v := range m.going {
		if v.id == id && v.state == ready && v.job == nil {
			return v
		}
	}
	return nil
}

func (m *model) newVersion(mc *ModelConfig) *version {
	v := &version{
		model: m, id: mc.id, name: mc.Version, spec: mc, state: unknown, since: time.Now(), bytes: mc.Bytes,
		at: map[*proxy.Endpoint]bool{},
	}
	repository := m.fleet.config.Load().Repository
	switch {
	case mc.Source == nil:
		v.fetched = true
	case repository != "":
		v.ours, v.path = true, filepath.Join(repository, m.name, v.name)
	default: // the server is told where it is
		if v.fetched, v.path = true, mc.Source.Local(); v.path == "" {
			v.path = mc.Source.String()
		}
	}
	m.fleet.tell(m)
	return v
}

// versions are all that there are.
func (m *model) versions() []*version {
	all := slices.Clone(m.going)
	for _, v := range []*version{m.current, m.next} {
		if v != nil {
			all = append(all, v)
		}
	}
	return all
}

// shift lets requests go to v from now on. What served before stays for a while.
func (m *model) shift(v *version) {
	old := m.current
	m.current = v
	m.open()
	old.leaving.Store(true)
	old.why, old.leaveAt = "replaced", time.Now().Add(m.fleet.config.Load().KeepPrevious)
	m.going = append(m.going, old)
	m.fleet.log.Info("model switched", zap.String(telemetry.FieldModel, m.name), zap.String("from", old.name), zap.String("to", v.name))
}

// open lets requests go to the current version, which is ready.
func (m *model) open() {
	v := m.current
	v.eager = false
	v.leaving.Store(false)
	m.refusal.Store(nil)
	m.serving.Store(v)
	m.fleet.world.note(m.fleet.cluster, m.name, record{Version: v.id, Name: v.name})
	m.fleet.queue.wakeAll(map[string]*model{m.name: m})
	m.fleet.tell(m)
}

// shut lets no request go to the current version.
func (m *model) shut() {
	if v := m.serving.Swap(nil); v != nil {
		v.leaving.Store(true)
	}
	m.fleet.tell(m)
}

// drop gets rid of a version, once it is idle.
func (m *model) drop(v *version, why string) {
	if v == nil {
		return
	}
	if v.job != nil {
		v.job.cancel()
		v.job = nil
	}
	m.fleet.answer(v, false)
	v.why, v.leaveAt = why, time.Time{}
	v.leaving.Store(true)
	if v.resident {
		m.going = append(m.going, v)
	}
}

// remove takes the model out of what is looked after. Requests for it pass.
func (m *model) remove() {
	m.removed.Store(true)
	m.shut()
	for _, v := range m.going {
		v.leaveAt = time.Time{}
	}
	m.drop(m.next, "removed")
	m.drop(m.current, "removed")
	m.next, m.current = nil, nil
	m.fleet.world.note(m.fleet.cluster, m.name, record{})
	m.fleet.queue.wakeAll(map[string]*model{m.name: m})
}

// crowded says whether there are versions that v cannot be beside.
func (m *model) crowded(v *version) bool {
	current, others := m.inTheWay(v)
	return current || others
}

// inTheWay says whether v can only be loaded once the version that serves has been
// unloaded, or those that are going.
func (m *model) inTheWay(v *version) (current, others bool) {
	a := m.fleet.api.Load()
	for _, o := range m.versions() {
		if o == v || !o.resident || a != nil && (*a).Versions() && v.name != "" && o.name != "" && v.name != o.name {
			continue
		}
		if o == m.current {
			current = true
		} else {
			others = true
		}
	}
	return current, others
}

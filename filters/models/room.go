package models

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Room is given in the order in which models are asked for, so that a large one is not
// passed over for ever by small ones. Those give way that have been asked for least
// recently, are not required and have been ready for min_residence; first those that are
// idle, then those with requests in flight, which are waited for. What nobody has asked
// for yet gives nobody's place to itself.

// used is how much memory is taken by all versions but v, and how much of it is about to
// become free.
func (f *fleet) used(but *version) (used, freeing uint64) {
	for _, m := range f.ordered {
		for _, v := range m.versions() {
			if v == but || !v.resident {
				continue
			}
			used += v.bytes
			if v.state == draining || v.leaving.Load() && !time.Now().Before(v.leaveAt) {
				freeing += v.bytes
			}
		}
	}
	return used, freeing
}

// fits says whether v finds room beside all that is there, but for what only waits to be
// called back.
func (f *fleet) fits(v *version) bool {
	budget := f.config.Load().Budget
	if budget == 0 {
		return true
	}
	used, _ := f.used(v)
	for _, m := range f.ordered {
		for _, o := range m.going {
			if o.resident {
				used -= o.bytes
			}
		}
	}
	return used+v.bytes <= budget
}

// room says whether v may be loaded; else it sees to it that it may be, later.
func (f *fleet) room(v *version, now time.Time) bool {
	budget := f.config.Load().Budget
	if budget == 0 || v.bytes == 0 {
		return true
	}
	if v.bytes > budget {
		v.fail(fmt.Errorf("it takes %d bytes of a memory budget of %d", v.bytes, budget))
		return false
	}
	demand := v.model.asked() || v.model.required || v == v.model.next
	place := slices.Index(f.waiting, v)
	if place < 0 && demand {
		f.waiting = append(f.waiting, v)
		place = len(f.waiting) - 1
	}
	first := place == 0 || place < 0 && len(f.waiting) == 0
	used, freeing := f.used(v)
	if first && used+v.bytes <= budget {
		return true
	}
	v.set(unloaded, "waits for room")
	if first && demand {
		f.free(used-freeing+v.bytes, budget, now)
	}
	return false
}

// free has models give way until need fits into the budget, or none is left.
func (f *fleet) free(need, budget uint64, now time.Time) {
	for _, m := range f.ordered { // those that are only kept to be called back
		for _, v := range m.going {
			if need > budget && v.resident && now.Before(v.leaveAt) {
				v.leaveAt = now
				need -= v.bytes
				f.goOn(m, now)
			}
		}
	}
	residence := f.config.Load().MinResidence
	var victims []*version
	for _, m := range f.ordered {
		v := m.serving.Load()
		if v == nil || v != m.current || m.required || f.fixed || v.bytes == 0 || v.job != nil {
			continue
		}
		if until := v.readyAt.Add(residence); now.Before(until) {
			f.at(until)
			continue
		}
		victims = append(victims, v)
	}
	slices.SortFunc(victims, func(a, b *version) int {
		return cmp.Or(cmp.Compare(min(a.inFlight.Load(), 1), min(b.inFlight.Load(), 1)), cmp.Compare(a.model.lastUsed.Load(), b.model.lastUsed.Load()))
	})
	for _, v := range victims {
		if need <= budget {
			return
		}
		f.drain(v, "room")
		need -= min(need, v.bytes)
		f.goOn(v.model, now)
	}
}

package models

import (
	"time"

	"github.com/fridaymesh/friday/proxy"
)

// status is what is known of the fleet's models.
func (f *fleet) status() []proxy.ModelStatus {
	if !f.begun.Load() {
		return nil
	}
	answer := make(chan []proxy.ModelStatus, 1)
	f.post(func() {
		var all []proxy.ModelStatus
		for _, m := range f.ordered {
			for _, v := range m.versions() {
				all = append(all, f.statusOf(v))
			}
		}
		answer <- all
	})
	select {
	case all := <-answer:
		return all
	case <-f.over:
		return nil
	}
}

func (f *fleet) statusOf(v *version) proxy.ModelStatus {
	m := v.model
	s := proxy.ModelStatus{
		Cluster: f.cluster, Model: m.name, Version: v.name, State: string(v.state), Since: v.since.UTC(), Serving: m.serving.Load() == v,
		Required: m.required && v == m.current, Detail: v.detail, LastError: v.reason, Attempts: v.attempts, InFlight: v.inFlight.Load(),
		Bytes: v.bytes, Fetched: v.progress.Done.Load(), Size: v.progress.Size.Load(), Loads: v.loads, Unloads: v.unloads,
	}
	if a := f.api.Load(); a != nil {
		s.API = (*a).Name()
	}
	if v == m.current {
		s.Held = f.queue.heldFor(m)
	}
	if v.leaving.Load() && v.state == ready && time.Now().Before(v.leaveAt) {
		s.Detail = "kept to be called back until " + v.leaveAt.UTC().Format(time.RFC3339)
	}
	if v.attempts > 0 && !v.retryAt.IsZero() {
		at := v.retryAt.UTC()
		s.RetryAt = &at
	}
	return s
}

// tell has the metrics tell the state of a model: that of the version that serves, or
// is to.
func (f *fleet) tell(m *model) {
	s, name := "", ""
	if v := m.current; v != nil {
		s = string(v.state)
	}
	if v := m.serving.Load(); v != nil {
		name = v.name
	}
	if m.toldState != s {
		if m.toldState != "" {
			f.metrics.ModelState.DeleteLabelValues(f.cluster, m.name, m.toldState)
		}
		if m.toldState = s; s != "" {
			f.metrics.ModelState.WithLabelValues(f.cluster, m.name, s).Set(1)
		}
	}
	if m.toldVersion != name {
		if m.toldVersion != "" {
			f.metrics.ModelVersion.DeleteLabelValues(f.cluster, m.name, m.toldVersion)
		}
		if m.toldVersion = name; name != "" {
			f.metrics.ModelVersion.WithLabelValues(f.cluster, m.name, name).Set(1)
		}
	}
}

package control

import (
	"context"
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/xds/control/history"
	"github.com/fridaymesh/friday/xds/resource"
)

// fakeMeter says what a test wants.
type fakeMeter struct {
	read func(from []Sidecar) Reading
}

func (m *fakeMeter) Read(_ context.Context, from []Sidecar) Reading {
	if m.read == nil {
		out := Reading{Of: len(from), Nodes: map[string]map[string]Sample{}}
		for _, s := range from {
			out.Nodes[s.Key] = map[string]Sample{}
		}
		return out
	}
	return m.read(from)
}

func keep(t *testing.T, dir string) *history.Store {
	t.Helper()
	store, skipped, err := history.Open(dir)
	require.NoError(t, err)
	require.Empty(t, skipped)
	t.Cleanup(func() { store.Close() })
	return store
}

func rollout(t *testing.T, s *Server, store *history.Store) (*Rollout, *fakeMeter) {
	t.Helper()
	meter := &fakeMeter{}
	r, err := NewRollout(compiler(), s, store, meter, zap.NewNop(), NewMetrics(prometheus.NewRegistry()))
	require.NoError(t, err)
	return r, meter
}

func silent() *Server { return NewServer(nil, zap.NewNop(), NewMetrics(prometheus.NewRegistry())) }

// run runs a Rollout until the test's end.
func (r *Rollout) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// timeouts are those of the served policies, by name, to tell versions apart.
func (s *Server) timeouts() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var parts []string
	for _, p := range s.policies {
		parts = append(parts, p.Name()+" "+p.Spec().GetTimeout().AsDuration().String())
	}
	return strings.Join(parts, ", ")
}

func (r *Rollout) origins() (list []string) {
	for _, v := range r.store.Versions() {
		list = append(list, v.Origin)
	}
	return list
}

const (
	one   = "  timeout: 1s\n"
	two   = "  timeout: 2s\n"
	three = "  timeout: 3s\n"
)

func TestRollback(t *testing.T) {
	dir := t.TempDir()
	store := keep(t, dir)
	s := silent()
	r, _ := rollout(t, s, store)
	_, err := r.Rollback(0, "")
	require.ErrorIs(t, err, ErrNothing)
	for _, spec := range []string{one, two, three} {
		r.Update(compiled(t, doc("digits", spec)))
	}
	require.Equal(t, "digits 3s", s.timeouts())
	_, err = r.Rollback(9, "")
	require.EqualError(t, err, "version 9: is not kept: there are 1 to 3")
	_, err = r.Rollback(3, "")
	require.ErrorIs(t, err, ErrNothing)
	require.ErrorIs(t, r.Release(""), ErrNothing)

	v, err := r.Rollback(0, "me")
	require.NoError(t, err)
	require.Equal(t, 2, v.Of)
	require.Equal(t, "digits 2s", s.timeouts())
	_, err = r.Rollback(0, "me") // one more step back, not to and fro
	require.NoError(t, err)
	require.Equal(t, "digits 1s", s.timeouts())
	require.InDelta(t, 1, testutil.ToFloat64(r.metrics.RolledBack), 0)
	require.Equal(t, "me", r.History().Rollback.By)
	require.True(t, r.History().Versions[0].InForce)

	// It holds while the folder says the same, and over a restart.
	r.Update(compiled(t, "# a comment\n"+doc("digits", three)))
	require.Equal(t, "digits 1s", s.timeouts())
	status := r.Policies([]PolicyStatus{{Name: "digits", Version: r.folder[0].Version, State: StateCurrent}})
	require.Equal(t, StateHeld, status[0].State)
	require.Equal(t, r.served[0].Version, status[0].Served)
	require.NoError(t, store.Close())
	store = keep(t, dir)
	s = silent()
	r, _ = rollout(t, s, store)
	r.Update(compiled(t, doc("digits", three)))
	require.Equal(t, "digits 1s", s.timeouts())
	require.Len(t, store.Versions(), 5, "a restart is no new version")

	require.NoError(t, r.Release("me"))
	require.Equal(t, "digits 3s", s.timeouts())
	_, err = r.Rollback(1, "")
	require.NoError(t, err)
	r.Update(compiled(t, doc("digits", "  timeout: 4s\n"))) // and then the folder changes
	require.Equal(t, "digits 4s", s.timeouts())
	require.Nil(t, r.History().Rollback)
	require.Equal(t, []string{
		"folder", "folder", "folder", "rollback to 2", "rollback to 1", "released: the folder is served", "rollback to 1",
		"folder changed, which ends the rollback",
	}, r.origins())

	text, err := r.Diff(0, 0)
	require.NoError(t, err)
	require.Contains(t, text, "-  timeout: 1s\n+  timeout: 4s\n")
	text, err = r.Diff(1, 2)
	require.NoError(t, err)
	require.Contains(t, text, "-  timeout: 1s\n+  timeout: 2s\n")
	_, err = r.Diff(1, 99)
	require.ErrorIs(t, err, ErrUnknownVersion)
}

func TestQuorum(t *testing.T) {
	for of, want := range map[int]int{0: 0, 1: 1, 2: 2, 3: 2, 20: 2, 21: 3, 30: 3, 1000: 100} {
		require.Equal(t, want, quorum(of), of)
	}
}

func TestMentions(t *testing.T) {
	for words, want := range map[string]bool{
		`listener "digits": address already in use`:        true,
		`cluster "digits.blue": no`:                        false,
		"Error adding/updating listener(s) digits: in use": true,
		"digits":              true,
		"digits-2: no":        false,
		"my-digits: no":       false,
		"digits2, digits":     true,
		"digits.blue: no":     false,
		"":                    false,
		"the digit is odd":    false,
		"(digits)":            true,
		"prefix digitsdigits": false,
	} {
		require.Equal(t, want, mentions(words, "digits"), words)
	}
}

// refuse answers the next routes with a refusal.
func (c *client) refuse(before map[string]string, words string) {
	c.t.Helper()
	c.nack(c.next(resource.RouteType), before["rds"], words, "digits", "words")
}

// What two of three sidecars refuse is taken back for all, and the other policies
// are as they should be.
func TestAutomaticRollback(t *testing.T) {
	h := serve(t)
	r, _ := rollout(t, h.Server, keep(t, ""))
	r.run(t)
	both := func(digits, words string) []*Compiled {
		return compiled(t, doc("digits", digits)+"---\n"+doc("words", "  port: 1\n"+words))
	}
	r.Update(both(one, one))
	nodes := []*client{h.client(t, "n1", ""), h.client(t, "n2", ""), h.client(t, "n3", "")}
	var before []map[string]string
	for _, c := range nodes {
		before = append(before, c.start("digits", "words"))
	}
	r.Update(both(two, two))
	nodes[0].refuse(before[0], `route "digits": odd`)
	nodes[1].ack(nodes[1].next(resource.RouteType), "digits", "words")
	require.Eventually(t, func() bool { return h.Nodes()[0].Running[0].State == RunsRefused }, patient, time.Millisecond)
	require.Equal(t, "digits 2s, words 2s", h.timeouts(), "one of three has no say")
	require.Equal(t, `route "digits": odd`, h.Nodes()[0].Running[0].Error)
	require.Equal(t, r.store.Versions()[0].Policies[0].Version, h.Nodes()[0].Running[0].Version, "the one before")
	require.Equal(t, RunsCurrent, h.Nodes()[0].Running[1].State, "what it does not name it has taken")
	require.Equal(t, RunsBehind, h.Nodes()[2].Running[1].State)
	require.Eventually(t, func() bool { return h.Nodes()[1].Running[0].State == RunsCurrent }, patient, time.Millisecond)

	nodes[2].refuse(before[2], `route "digits": odd`)
	require.Eventually(t, func() bool { return h.timeouts() == "digits 1s, words 2s" }, patient, time.Millisecond)
	for _, c := range nodes {
		c.ack(c.next(resource.RouteType), "digits", "words")
	}
	require.Eventually(t, func() bool {
		for _, n := range h.Nodes() {
			for _, run := range n.Running {
				if run.State != RunsCurrent {
					return false
				}
			}
		}
		return true
	}, patient, time.Millisecond)
	view := r.History()
	require.Len(t, view.Versions, 3)
	require.Equal(t, map[string]string{"digits": `refused by 2 of 3 sidecars, as n3: route "digits": odd`}, view.Versions[1].Rejected)
	require.Contains(t, view.Versions[0].Origin, "automatic rollback: digits ")
	require.Empty(t, view.Versions[0].Rejected)
	status := r.Policies([]PolicyStatus{{Name: "digits", Version: r.folder[0].Version, State: StateCurrent}, {Name: "words", Version: r.folder[1].Version, State: StateCurrent}})
	require.Equal(t, StateRejected, status[0].State)
	require.Contains(t, status[0].Error, "odd")
	require.Equal(t, StateCurrent, status[1].State)
	require.InDelta(t, 1, testutil.ToFloat64(r.metrics.Rejected), 0)
	require.InDelta(t, 1, testutil.ToFloat64(r.metrics.Rollbacks.WithLabelValues("automatic")), 0)

	// It stays so while others change, until the policy itself does.
	r.Update(both(two, three))
	require.Equal(t, "digits 1s, words 3s", h.timeouts())
	r.Update(both(three, three))
	require.Equal(t, "digits 3s, words 3s", h.timeouts())
	require.InDelta(t, 0, testutil.ToFloat64(r.metrics.Rejected), 0)
	r.Update(both(two, three))
	require.Equal(t, "digits 3s, words 3s", h.timeouts(), "the last good one")
	require.NoError(t, r.Release(""))
	require.Equal(t, "digits 2s, words 3s", h.timeouts())
}

// A policy that has no good version yet is not served; who refuses it alone is
// the only one.
func TestAutomaticRollbackOfTheFirst(t *testing.T) {
	dir := t.TempDir()
	store := keep(t, dir)
	h := serve(t)
	r, _ := rollout(t, h.Server, store)
	r.run(t)
	r.Update(compiled(t, doc("digits", one)))
	c := h.client(t, "n1", "")
	c.subscribe(resource.ListenerType)
	c.nack(c.next(resource.ListenerType), "", "cannot")
	require.Eventually(t, func() bool { return h.timeouts() == "" }, patient, time.Millisecond)
	require.Empty(t, held(t, c.next(resource.ListenerType)))
	require.Len(t, r.History().Rejected, 1) // which waits until it is kept

	require.NoError(t, store.Close())
	again, _ := rollout(t, silent(), keep(t, dir))
	again.Update(compiled(t, doc("digits", one)))
	require.Empty(t, again.served, "what was refused stays so over a restart")
}

// Who refuses and then accepts after all has no more say.
func TestRefusalForgotten(t *testing.T) {
	h := serve(t)
	r, _ := rollout(t, h.Server, keep(t, ""))
	r.run(t)
	r.Update(compiled(t, doc("digits", one)))
	a, b := h.client(t, "a", ""), h.client(t, "b", "")
	first, second := a.start("digits"), b.start("digits")
	r.Update(compiled(t, doc("digits", one+"  port: 7\n")))
	listeners := a.next(resource.ListenerType)
	a.ack(a.next(resource.RouteType), "digits")
	a.nack(listeners, first["lds"], "address already in use")
	require.Eventually(t, func() bool { return h.Nodes()[0].Running[0].State == RunsRefused }, patient, time.Millisecond)
	a.send(&discoveryv3.DiscoveryRequest{TypeUrl: resource.ListenerType, VersionInfo: listeners.GetVersionInfo(), ResponseNonce: listeners.GetNonce()})
	require.Eventually(t, func() bool { return h.Nodes()[0].Running[0].State == RunsCurrent }, patient, time.Millisecond)
	listeners = b.next(resource.ListenerType)
	b.ack(b.next(resource.RouteType), "digits")
	b.nack(listeners, second["lds"], "address already in use")
	require.Eventually(t, func() bool { return h.Nodes()[1].Running[0].State == RunsRefused }, patient, time.Millisecond)
	require.Empty(t, r.History().Rejected)
}

package control

import (
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// twoServers is a policy with a blue and a green group.
func twoServers(weights, extra string) string {
	return strings.Replace(doc("digits", ""), "  server: {endpoints: [\"127.0.0.1:8080\"]}\n",
		"  servers:\n    blue: {endpoints: [\"127.0.0.1:1\"]}\n    green: {endpoints: [\"127.0.0.1:2\"]}\n  weights: "+weights+"\n"+extra, 1)
}

// pretend makes a node known without a stream.
func (s *Server) pretend(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &node{types: map[string]*TypeStatus{}, runs: map[string][]item{}}
	n.ID = id
	s.nodes[key("", id)] = n
	s.serve(key("", id), n)
}

// weights are those that are served of the policy itself.
func (s *Server) weights(prefix string) map[string]uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.policies[0].Weights(prefix)
}

// traffic makes a meter whose counts are set by the test.
type traffic struct {
	mu          sync.Mutex
	blue, green Sample
	err         error
}

func (f *traffic) read(from []Sidecar) Reading {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := Reading{Of: len(from), Nodes: map[string]map[string]Sample{}, Err: f.err}
	if f.err != nil {
		return out
	}
	for _, s := range from {
		blue, green := f.blue, f.green
		blue.Buckets, green.Buckets = maps.Clone(blue.Buckets), maps.Clone(green.Buckets)
		out.Nodes[s.Key] = map[string]Sample{"digits.blue": blue, "digits.green": green}
	}
	return out
}

func serving(n uint64, seconds float64) Sample {
	return Sample{Requests: n, Buckets: map[float64]uint64{seconds / 2: 0, seconds: n}}
}

// slope is a shift's way under one kind of traffic, as (time, green's weight).
func TestShift(t *testing.T) {
	ask := ShiftRequest{Route: "digits", To: map[string]uint32{"green": 100}, Over: 100, Steps: 4, MaxErrors: .01}
	for name, c := range map[string]struct {
		ask    func(*ShiftRequest)
		at     func(f *traffic, second int)
		state  string
		reason string
		step   int
	}{
		"goes on": {at: func(f *traffic, s int) { f.green = serving(uint64(s)*50, .01) }, state: ShiftDone, step: 4},
		"errors": {
			at: func(f *traffic, s int) {
				f.green, f.blue = serving(uint64(s)*50, .01), serving(uint64(s)*50, .01)
				f.green.Errors = uint64(max(0, s-30))
			},
			state: ShiftAborted, reason: "failed (", step: 2,
		},
		"errors of both": {
			at: func(f *traffic, s int) {
				f.green, f.blue = serving(uint64(s)*50, .01), serving(uint64(s)*50, .01)
				f.green.Errors, f.blue.Errors = uint64(s)*2, uint64(s)*2
			},
			state: ShiftDone, step: 4,
		},
		"two errors are no trend": {
			at:    func(f *traffic, s int) { f.green = Sample{Requests: uint64(s), Errors: uint64(min(s, 2))} },
			state: ShiftDone, step: 4,
		},
		"slower": {
			at: func(f *traffic, s int) {
				f.blue, f.green = serving(uint64(s)*500, .1), serving(uint64(s)*500, .5)
			},
			state: ShiftAborted, reason: "more than 3 times", step: 1,
		},
		"slower than allowed": {
			ask:   func(q *ShiftRequest) { q.MaxP99 = .2 },
			at:    func(f *traffic, s int) { f.green = serving(uint64(s)*500, .25) },
			state: ShiftAborted, reason: "more than 200 ms", step: 1,
		},
		"no slower than allowed": {
			ask: func(q *ShiftRequest) { q.MaxP99 = 3 },
			at: func(f *traffic, s int) {
				f.blue, f.green = serving(uint64(s)*500, .1), serving(uint64(s)*500, 2)
			},
			state: ShiftDone, step: 4,
		},
		"blind": {
			at: func(f *traffic, s int) {
				if s > 30 {
					f.err = errors.New("no route to host")
				}
			},
			state: ShiftAborted, reason: "no route to host", step: 2,
		},
		"blind for a while": {
			at: func(f *traffic, s int) {
				if f.err = nil; s > 30 && s < 80 {
					f.err = errors.New("no route to host")
				}
			},
			state: ShiftDone, step: 4,
		},
		"unwatched": {
			ask:   func(q *ShiftRequest) { q.Unwatched = true },
			at:    func(f *traffic, _ int) { f.err = errors.New("no route to host") },
			state: ShiftDone, step: 4,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := silent()
				r, meter := rollout(t, s, keep(t, ""))
				f := &traffic{}
				meter.read = f.read
				s.pretend("n")
				r.Update(compiled(t, twoServers("{blue: 100}", "")))
				r.run(t)
				q := ask
				if c.ask != nil {
					c.ask(&q)
				}
				_, err := r.Shift(t.Context(), q, "me")
				require.NoError(t, err)
				require.Equal(t, map[string]uint32{"blue": 75, "green": 25}, s.weights(""))
				time.Sleep(time.Second / 2) // so that nothing is read while it changes
				for second := range 200 {
					f.mu.Lock()
					c.at(f, second)
					f.mu.Unlock()
					time.Sleep(time.Second)
					synctest.Wait()
				}
				got := r.Shifts()[0]
				require.Equal(t, c.state, got.State, got.Reason)
				require.Contains(t, got.Reason, c.reason)
				require.Equal(t, c.step, got.Step)
				want := map[string]uint32{"blue": 0, "green": 100}
				origins := []string{"folder", "shift: digits to blue=0,green=100"}
				if c.state == ShiftAborted {
					want, origins = map[string]uint32{"blue": 100}, origins[:1]
				}
				require.Equal(t, want, s.weights(""))
				require.Equal(t, origins, r.origins())
			})
		})
	}
}

func TestShiftRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		store := keep(t, dir)
		s := silent()
		r, _ := rollout(t, s, store)
		r.Update(compiled(t, twoServers("{blue: 100}", "")))
		_, err := r.Shift(t.Context(), ShiftRequest{Route: "digits", To: map[string]uint32{"green": 100}, Over: 100, Steps: 4}, "")
		require.NoError(t, err)
		require.NoError(t, store.Close())

		s = silent()
		r, _ = rollout(t, s, keep(t, dir))
		r.Update(compiled(t, twoServers("{blue: 100}", "")))
		require.Equal(t, map[string]uint32{"blue": 75, "green": 25}, s.weights(""))
		r.run(t)
		time.Sleep(110 * time.Second)
		synctest.Wait()
		require.Equal(t, ShiftDone, r.Shifts()[0].State)
		require.Equal(t, map[string]uint32{"blue": 0, "green": 100}, s.weights(""))

		// Its weights stay while the folder changes elsewhere, until the folder has other weights.
		r.Update(compiled(t, twoServers("{blue: 100}", "  timeout: 1s\n")))
		require.Equal(t, map[string]uint32{"blue": 0, "green": 100}, s.weights(""))
		r.Update(compiled(t, twoServers("{blue: 1, green: 1}", "  timeout: 1s\n")))
		require.Equal(t, map[string]uint32{"blue": 1, "green": 1}, s.weights(""))
		require.Empty(t, r.Shifts())
		// A rollback brings them back.
		_, err = r.Rollback(2, "")
		require.NoError(t, err)
		require.Equal(t, map[string]uint32{"blue": 0, "green": 100}, s.weights(""))
		text, err := r.Diff(1, 2)
		require.NoError(t, err)
		require.Contains(t, text, "+# shifted: digits: blue=0,green=100\n")
	})
}

func TestShiftEnds(t *testing.T) {
	q := ShiftRequest{Route: "digits/v1", To: map[string]uint32{"digits.green": 10}, Over: 60, Steps: 2}
	routes := "  routes:\n  - prefix: /v1\n"
	for name, c := range map[string]struct {
		end  func(t *testing.T, r *Rollout)
		left int
	}{
		"abort": {func(t *testing.T, r *Rollout) {
			_, err := r.AbortShift("", "me")
			require.NoError(t, err)
			require.Equal(t, ShiftAborted, r.Shifts()[0].State)
			_, err = r.AbortShift("digits/v1", "me")
			require.ErrorIs(t, err, ErrNothing)
		}, 1},
		"rollback": {func(t *testing.T, r *Rollout) {
			r.Update(compiled(t, twoServers("{blue: 100}", routes+"  timeout: 1s\n")))
			_, err := r.Rollback(1, "")
			require.NoError(t, err)
			_, err = r.Shift(t.Context(), q, "")
			require.ErrorContains(t, err, "the rollback to version 1 holds")
		}, 0},
		"server gone": {func(t *testing.T, r *Rollout) {
			r.Update(compiled(t, strings.Replace(twoServers("{blue: 100}", routes), "    green: {endpoints: [\"127.0.0.1:2\"]}\n", "", 1)))
		}, 0},
		"policy gone, and back": {func(t *testing.T, r *Rollout) {
			r.Update(nil)
			r.Update(compiled(t, twoServers("{blue: 100}", routes)))
		}, 0},
		"refused": {func(t *testing.T, r *Rollout) {
			r.reject(Veto{Policy: "digits", Version: r.served[0].Version, Node: "n", Words: "no", Refused: 1, Of: 1})
			require.Equal(t, "refused by 1 of 1 sidecars: no", r.Shifts()[0].Reason)
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := silent()
			r, _ := rollout(t, s, keep(t, ""))
			r.Update(compiled(t, twoServers("{blue: 100}", routes)))
			_, err := r.Shift(t.Context(), q, "")
			require.NoError(t, err)
			require.Equal(t, map[string]uint32{"blue": 95, "green": 5}, s.weights("/v1"))
			require.Equal(t, map[string]uint32{"blue": 100}, s.weights(""))
			c.end(t, r)
			require.Equal(t, map[string]uint32{"blue": 100}, s.weights("/v1"))
			require.Len(t, r.Shifts(), c.left)
		})
	}
}

func TestShiftRefused(t *testing.T) {
	for says, q := range map[string]ShiftRequest{
		`there is no policy "words"; there are: digits, one`: {Route: "words", To: map[string]uint32{"green": 1}, Steps: 1},
		"the policy has one server":                          {Route: "one", To: map[string]uint32{"green": 1}, Steps: 1},
		`"red" is none of the policy's servers: blue, green`: {Route: "digits", To: map[string]uint32{"red": 1}, Steps: 1},
		"no such route":                   {Route: "digits/v9", To: map[string]uint32{"green": 100}, Over: 1, Steps: 1},
		"120 in all: must be at most 100": {Route: "digits", To: map[string]uint32{"green": 100, "blue": 20}, Steps: 1},
		"60 percent remain":               {Route: "digits", To: map[string]uint32{"blue": 40}, Steps: 1},
		"these are the weights in force":  {Route: "digits", To: map[string]uint32{"blue": 100}, Steps: 1},
		"steps: 0":                        {Route: "digits", To: map[string]uint32{"green": 100}},
		"to: names no server":             {Route: "digits", Steps: 1},
		"over: -1 s":                      {Route: "digits", To: map[string]uint32{"green": 100}, Steps: 1, Over: -1},
		"max_errors: 2":                   {Route: "digits", To: map[string]uint32{"green": 100}, Steps: 1, MaxErrors: 2},
		`the metrics of 1 of its 1 sidecars cannot be read, the first: closed`: {Route: "digits", To: map[string]uint32{"green": 100}, Steps: 1, Over: 9},
	} {
		t.Run(says, func(t *testing.T) {
			s := silent()
			r, meter := rollout(t, s, keep(t, ""))
			meter.read = (&traffic{err: errors.New("closed")}).read
			s.pretend("n")
			r.Update(compiled(t, twoServers("{blue: 100}", "")+"---\n"+doc("one", "  port: 1\n")))
			_, err := r.Shift(t.Context(), q, "")
			require.ErrorIs(t, err, ErrShift)
			require.ErrorContains(t, err, says)
			require.Empty(t, r.Shifts())
		})
	}
}

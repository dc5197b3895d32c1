package simulate_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/simulate"
	"github.com/fridaymesh/friday/filters/batch/schedule"
)

// TestNearTheOptimum: virtual time, the same figures on every machine.
func TestNearTheOptimum(t *testing.T) {
	for _, test := range []struct {
		simulate.Scenario

		least float64 // share of the optimum
		p99   time.Duration
	}{
		{Scenario: simulate.Closed("accelerator", simulate.Accelerator, 1, 32), least: .999},
		{Scenario: simulate.Closed("accelerator", simulate.Accelerator, 2, 32), least: .98},
		{Scenario: simulate.Closed("accelerator", simulate.Accelerator, 8, 32), least: .97},
		{Scenario: simulate.Closed("accelerator", simulate.Accelerator, 64, 32), least: .98, p99: 62 * time.Millisecond},
		{Scenario: simulate.Closed("accelerator", simulate.Accelerator, 256, 32), least: .97},
		{Scenario: simulate.Closed("accelerator", simulate.Accelerator, 64, 64), least: .97},
		{Scenario: simulate.Closed("four accelerators", simulate.Accelerator.Times(4), 8, 32), least: .96},
		{Scenario: simulate.Closed("four accelerators", simulate.Accelerator.Times(4), 64, 32), least: .97},
		{Scenario: simulate.Closed("linear", simulate.Linear, 8, 32), least: .97},
		{Scenario: simulate.Closed("linear", simulate.Linear, 64, 32), least: .96},
		{Scenario: simulate.Closed("quick", simulate.Quick, 8, 32), least: .97},
		{Scenario: simulate.Closed("batches itself", simulate.Batcher, 64, 32), least: .97},
		{Scenario: simulate.Open("accelerator", simulate.Accelerator, 861), least: .97, p99: 47 * time.Millisecond},
		{Scenario: simulate.Open("forest", simulate.Forest, 300), least: .97, p99: 40 * time.Millisecond},
		{Scenario: simulate.Closed("accelerator", simulate.Accelerator, 1600, 32).Endpoints(100), least: .97},
	} {
		t.Run(test.Name, func(t *testing.T) {
			t.Parallel()
			o := simulate.Run(test.Scenario, schedule.NewPool())
			require.GreaterOrEqual(t, o.Rate/test.Optimum(), test.least, "%+v", o)
			if test.p99 > 0 {
				require.LessOrEqual(t, o.P99, test.p99)
			}
		})
	}
}

// TestNoWorseThanOthers: in an open loop the mean time is within a tenth of the best
// of what the usual batchers reach with the best setting for that very load.
func TestNoWorseThanOthers(t *testing.T) {
	for _, s := range []simulate.Scenario{
		simulate.Open("accelerator", simulate.Accelerator, 20),
		simulate.Open("accelerator", simulate.Accelerator, 400),
		simulate.Open("accelerator", simulate.Accelerator, 861),
		simulate.Open("four accelerators", simulate.Accelerator.Times(4), 1000),
		simulate.Open("four accelerators", simulate.Accelerator.Times(4), 2500),
		simulate.Open("forest", simulate.Forest, 300),
	} {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			ours := simulate.Run(s, schedule.NewPool())
			for name, policy := range simulate.Others(s) {
				other := simulate.Run(s, policy())
				if other.Rate < 0.9*s.Optimum() {
					continue // it was overwhelmed
				}
				require.LessOrEqual(t, ours.Mean.Seconds(), 1.1*other.Mean.Seconds(), "%s: %v", name, other.Mean)
			}
		})
	}
}

// TestNoticesAChange: a server that becomes slower, or loses its parallelism, or gets
// it, is served as one that always was like that, a few seconds later.
func TestNoticesAChange(t *testing.T) {
	slow := simulate.Accelerator
	slow.Fixed *= 4
	for _, test := range []struct {
		name     string
		from, to simulate.Server
	}{
		{"slower", simulate.Accelerator, slow},
		{"quicker", slow, simulate.Accelerator},
		{"four in place of one", simulate.Accelerator, simulate.Accelerator.Times(4)},
		{"one in place of four", simulate.Accelerator.Times(4), simulate.Accelerator},
		{"batching begins to pay", simulate.Linear, simulate.Accelerator},
		{"batching ceases to pay", simulate.Accelerator, simulate.Linear},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := simulate.Closed("", test.from, 32, 32)
			s.For, s.Warm = 120*time.Second, 100*time.Second
			s.At, s.Then = 10*time.Second, test.to
			o := simulate.Run(s, schedule.NewPool())
			s.Servers[0] = test.to
			require.GreaterOrEqual(t, o.Rate/s.Optimum(), .9, "%+v", o)
		})
	}
}

// TestTenantsShareTheServer by its time: eight callers beside 56 get what they would
// get beside eight.
func TestTenantsShareTheServer(t *testing.T) {
	s := simulate.Closed("", simulate.Accelerator, 0, 32)
	s.Tenants = []simulate.Load{{Callers: 56}, {Callers: 8}}
	o := simulate.Run(s, schedule.NewPool())
	require.Greater(t, o.Tenants[1], 160.0, "%+v", o)
	require.Greater(t, o.Tenants[0], 700.0, "%+v", o)
}

// TestObjective: under more than can be borne, who is answered is answered in time.
func TestObjective(t *testing.T) {
	s := simulate.Open("", simulate.Accelerator, 3000)
	s.Rules.Objective = 60 * time.Millisecond
	o := simulate.Run(s, schedule.NewPool())
	require.Less(t, o.P99, 60*time.Millisecond)
	require.Positive(t, o.Refused)
	require.Greater(t, o.Rate, 0.9*simulate.Accelerator.Capacity(32))
}

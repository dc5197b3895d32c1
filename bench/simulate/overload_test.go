package simulate_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/simulate"
	"github.com/fridaymesh/friday/filters/admission/gate"
)

// overload is the stand-in (10 ms and 0.5 ms an item, calls of up to 32) with tenants that
// ask for so many times what it can do.
func overload(objective time.Duration, times ...float64) (simulate.Overload, float64) {
	rules := simulate.Usual(32)
	o := simulate.Overload{
		Server: simulate.Accelerator, Rules: gate.Rules{MaxQueue: 1024, Objective: objective}, Batch: &rules,
		For: 12 * time.Second, Warm: 4 * time.Second, Seed: 1,
	}
	capacity := o.Server.Capacity(32)
	for _, n := range times {
		o.Tenants = append(o.Tenants, simulate.Arrivals{Rate: simulate.Steady(n * capacity)})
	}
	return o, capacity
}

// TestOverload: virtual time, the same figures on every machine.
func TestOverload(t *testing.T) {
	const objective = 250 * time.Millisecond
	t.Run("four times what it can do", func(t *testing.T) {
		t.Parallel()
		o, capacity := overload(objective, 4)
		p := o.Play()
		t.Logf("%.3f of capacity, %+v", p.Rate/capacity, p)
		require.GreaterOrEqual(t, p.Rate/capacity, .95)
		require.LessOrEqual(t, p.P99, objective)
		require.LessOrEqual(t, p.Waited, o.Rules.MaxQueue)
	})
	t.Run("without an objective the queue is the bound", func(t *testing.T) {
		t.Parallel()
		o, capacity := overload(0, 4)
		o.Rules.MaxQueue = 128
		p := o.Play()
		t.Logf("%.3f of capacity, %+v", p.Rate/capacity, p)
		require.GreaterOrEqual(t, p.Rate/capacity, .95)
		require.Equal(t, o.Rules.MaxQueue, p.Waited)
	})
	t.Run("a small tenant beside one of ten times its rate", func(t *testing.T) {
		t.Parallel()
		alone, _ := overload(objective, .35)
		quiet := alone.Play().Tenants[0]
		o, capacity := overload(objective, .35, 3.5)
		p := o.Play()
		t.Logf("alone %+v, %.3f of capacity, %+v", quiet, p.Rate/capacity, p)
		small, large := p.Tenants[0], p.Tenants[1]
		require.GreaterOrEqual(t, small.Rate, .97*quiet.Rate, "it asks for less than half, and gets all of it, by other dice")
		require.Zero(t, small.Refused)
		require.LessOrEqual(t, small.P99, objective/2)
		require.Positive(t, large.Refused)
		require.GreaterOrEqual(t, p.Rate/capacity, .95)
	})
	t.Run("two that both ask for too much share evenly", func(t *testing.T) {
		t.Parallel()
		o, capacity := overload(objective, .8, 8)
		p := o.Play()
		t.Logf("%.3f of capacity, %+v", p.Rate/capacity, p)
		require.InEpsilon(t, p.Tenants[1].Rate, p.Tenants[0].Rate, .1)
		require.LessOrEqual(t, p.P99, objective)
	})
	t.Run("by tokens, not by requests", func(t *testing.T) {
		t.Parallel()
		o, capacity := overload(objective, 2, 2)
		o.Tenants[0].Tokens, o.Tenants[1].Tokens = 100, 1000
		p := o.Play()
		t.Logf("%.3f of capacity, %+v", p.Rate/capacity, p)
		require.InEpsilon(t, 10, p.Tenants[0].Rate/p.Tenants[1].Rate, .15)
	})
	t.Run("what is urgent goes first", func(t *testing.T) {
		t.Parallel()
		o, capacity := overload(objective, .5, 4)
		o.Tenants[0].Priority, o.Tenants[1].Priority = gate.High, gate.Low
		p := o.Play()
		t.Logf("%.3f of capacity, %+v", p.Rate/capacity, p)
		require.Zero(t, p.Tenants[0].Refused)
		require.Less(t, p.Tenants[0].P99, p.Tenants[1].P50)
	})
	t.Run("no batcher, four units: by the least time seen", func(t *testing.T) {
		t.Parallel()
		server := simulate.Server{Fixed: 20 * time.Millisecond, Units: 4, Noise: .1}
		capacity := server.Capacity(1)
		o := simulate.Overload{
			Server: server, Rules: gate.Rules{MaxQueue: 1024, Objective: objective},
			Tenants: []simulate.Arrivals{{Rate: simulate.Steady(4 * capacity)}},
			For:     4 * time.Minute, Warm: 4 * time.Second, Seed: 1,
		}
		p := o.Play()
		t.Logf("%.3f of capacity, %+v", p.Rate/capacity, p)
		require.GreaterOrEqual(t, p.Rate/capacity, .95)
		require.LessOrEqual(t, p.P99, objective)
		require.Less(t, p.Level, 24, "the least time seen does not creep up")
	})
}

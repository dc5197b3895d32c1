package policy

import (
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy"
)

func endpoints(n int) []*proxy.Endpoint {
	out := make([]*proxy.Endpoint, n)
	for i := range out {
		out[i] = &proxy.Endpoint{Address: fmt.Sprint("e", i)}
	}
	return out
}

func keyed(weights ...float64) []Keyed {
	out := make([]Keyed, len(weights))
	for i, w := range weights {
		out[i] = Keyed{Key: fmt.Sprintf("10.0.0.%d:80", i+1), Weight: w}
	}
	return out
}

// drawn counts n picks, each of another hash.
func drawn(p Policy, of, n int) []int {
	counts := make([]int, of)
	for i := range n {
		counts[p.Pick(xxhash.Sum64String(fmt.Sprint("key", i)), 0)]++
	}
	return counts
}

// requireShares is a chi-square test at p = 10^-6 or less, for up to eight endpoints.
func requireShares(t *testing.T, counts []int, weights ...float64) {
	t.Helper()
	total, n := 0.0, 0
	for i, w := range weights {
		total += w
		n += counts[i]
	}
	chi := 0.0
	for i, w := range weights {
		want := float64(n) * w / total
		chi += (float64(counts[i]) - want) * (float64(counts[i]) - want) / want
	}
	require.Less(t, chi, 40.0, "%v, want %v", counts, weights)
}

// The hashes are libstdc++'s, so a ring is the same everywhere.
func TestMurmur2(t *testing.T) {
	t.Parallel()
	require.Equal(t, uint64(9631199822919835226), murmur2([]byte("foo")))
	require.Equal(t, uint64(11474628671133349555), murmur2([]byte("bar")))
}

func TestRingSize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		weights     []float64
		least, most uint64
		want        []int
	}{
		{[]float64{1, 1, 1}, 1024, 8 << 20, []int{342, 342, 342}},
		{[]float64{1, 1, 1}, 3, 8 << 20, []int{1, 1, 1}},
		{[]float64{1, 2}, 12, 8 << 20, []int{4, 8}},
		{[]float64{1, 5}, 3, 8 << 20, []int{1, 5}},
		{[]float64{1, 999}, 1024, 500, []int{1, 499}},
	} {
		r := NewRing(keyed(c.weights...), c.least, c.most, false)
		got := make([]int, len(c.weights))
		for _, p := range r.points {
			got[p.endpoint]++
		}
		require.Equal(t, c.want, got, "%v", c)
	}
}

func TestConsistentPoliciesShareByWeight(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]Policy{
		"ring":   NewRing(keyed(1, 2, 5), 80000, 8<<20, false),
		"murmur": NewRing(keyed(1, 2, 5), 80000, 8<<20, true),
		"maglev": NewMaglev(keyed(1, 2, 5), MaglevSize),
	} {
		t.Run(name, func(t *testing.T) { requireShares(t, drawn(p, 3, 20000), 1, 2, 5) })
	}
}

// An endpoint that goes takes no other endpoint's keys with it (ring), or few (maglev).
func TestConsistentPoliciesMoveLittle(t *testing.T) {
	t.Parallel()
	all := keyed(1, 1, 1, 1, 1, 1, 1, 1)
	rest := all[:7]
	for name, c := range map[string]struct {
		make func(e []Keyed) Policy
		most float64 // of the keys that need not move
	}{
		"ring":   {func(e []Keyed) Policy { return NewRing(e, uint64(512*len(e)), 8<<20, false) }, 0.001},
		"maglev": {func(e []Keyed) Policy { return NewMaglev(e, MaglevSize) }, 0.10},
	} {
		before, after := c.make(all), c.make(rest)
		moved, stay := 0, 0
		for i := range 10000 {
			h := xxhash.Sum64String(fmt.Sprint(i))
			if b := before.Pick(h, 0); b < 7 {
				stay++
				if after.Pick(h, 0) != b {
					moved++
				}
			}
		}
		require.Less(t, float64(moved)/float64(stay), c.most, name)
	}
}

// The order of the configuration changes nothing.
func TestMaglevIsStable(t *testing.T) {
	t.Parallel()
	a, b := keyed(1, 2, 3), keyed(1, 2, 3)
	b[0], b[2] = b[2], b[0]
	one, other := NewMaglev(a, 1009), NewMaglev(b, 1009)
	for h := range uint64(1009) {
		require.Equal(t, a[one.Pick(h, 0)].Key, b[other.Pick(h, 0)].Key)
	}
}

func TestAttemptsGoElsewhere(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]Policy{
		"ring": NewRing(keyed(1, 1, 1), 1024, 8<<20, false), "maglev": NewMaglev(keyed(1, 1, 1), MaglevSize),
	} {
		seen := map[int]bool{}
		for attempt := range 16 {
			seen[p.Pick(12345, attempt)] = true
		}
		require.Len(t, seen, 3, name)
	}
}

func TestBounded(t *testing.T) {
	t.Parallel()
	eps := endpoints(4)
	active := func() (n int64) {
		for _, e := range eps {
			n += e.Active.Load()
		}
		return n
	}
	inner := NewRing(keyed(1, 1, 1, 1), 1024, 8<<20, false)
	p := NewBounded(inner, eps, keyed(1, 1, 1, 1), 150, active)
	const hash = 42
	first := inner.Pick(hash, 0)
	require.Equal(t, first, p.Pick(hash, 0), "while it has room")
	for range 100 { // one hash: its requests pile up no higher than half above the average
		eps[p.Pick(hash, 0)].Active.Add(1)
	}
	for _, e := range eps {
		require.LessOrEqual(t, e.Active.Load(), int64(38), "100 / 4 * 1.5")
	}
	second := p.Pick(hash, 0)
	require.NotEqual(t, first, second)
	require.Equal(t, second, p.Pick(hash, 0), "the same order for the same hash")
	for _, e := range eps {
		e.Active.Store(1000)
	}
	require.NotPanics(t, func() { p.Pick(hash, 0) }, "all full: the least loaded")
}

func TestLeastRequest(t *testing.T) {
	t.Parallel()
	eps := endpoints(4)
	requireShares(t, drawn(NewLeastRequest(eps, 2), 4, 20000), 1, 1, 1, 1)
	eps[2].Active.Store(10)
	// Of so many drawn with replacement, the busiest is taken only where all are it.
	requireShares(t, drawn(NewLeastRequest(eps, 2), 4, 20000), 5, 5, 1, 5)
	requireShares(t, drawn(NewLeastRequest(eps, 3), 4, 64000), 21, 21, 1, 21)
	all := NewLeastRequest(eps, 0)
	require.Zero(t, drawn(all, 4, 1000)[2], "a full scan never takes it")
	eps[0].Active.Store(1)
	eps[1].Active.Store(1)
	require.Equal(t, 3, all.Pick(0, 0))
}

func TestBusySchedule(t *testing.T) {
	t.Parallel()
	for bias, want := range map[float64][]float64{0: {1, 2, 5}, 1: {1, 2, 1}, 2: {1, 2, 0.2}} {
		eps := endpoints(3)
		eps[2].Active.Store(4)
		weights := []float64{1, 2, 5}
		s := NewSchedule(3, Busy(eps, func(i int) float64 { return weights[i] }, bias))
		requireShares(t, drawn(s, 3, 9000), want...)
	}
}

func TestSlowStart(t *testing.T) {
	t.Parallel()
	s := SlowStart{Window: time.Minute, Aggression: 1, Min: 0.1}
	for age, want := range map[time.Duration]float64{0: 0.1, 3 * time.Second: 0.1, 30 * time.Second: 0.5, time.Minute: 1, time.Hour: 1} {
		require.InDelta(t, want, s.Share(age), 1e-9, age.String())
	}
	s.Aggression = 2
	require.InDelta(t, math.Sqrt(0.5), s.Share(30*time.Second), 1e-9)
	s.Min = 0
	require.Positive(t, s.Share(0))
}

func TestPicksDoNotAllocate(t *testing.T) {
	eps, weights := endpoints(8), []uint32{1, 2, 3, 4, 5, 6, 7, 8}
	turn := new(atomic.Uint64)
	e := keyed(1, 2, 3, 4, 5, 6, 7, 8)
	ring := NewRing(e, 1024, 8<<20, false)
	for name, p := range map[string]Policy{
		"round robin": NewRoundRobin(weights, turn), "random": NewRandom(weights), "least request": NewLeastRequest(eps, 2),
		"schedule": NewSchedule(8, Busy(eps, func(i int) float64 { return float64(weights[i]) }, 1)),
		"ring":     ring, "maglev": NewMaglev(e, 1009), "bounded": NewBounded(ring, eps, e, 100, func() int64 { return 0 }),
	} {
		h := uint64(0)
		require.Zero(t, testing.AllocsPerRun(100, func() { h += 1 << 60; p.Pick(h, 0) }), name)
	}
}

func BenchmarkPick(b *testing.B) {
	e := make([]Keyed, 1000)
	weights := make([]uint32, 1000)
	for i := range e {
		e[i], weights[i] = Keyed{fmt.Sprint("10.0.0.", i), 1}, uint32(i%7+1)
	}
	eps := endpoints(1000)
	for name, p := range map[string]Policy{
		"round robin": NewRoundRobin(weights, new(atomic.Uint64)), "random": NewRandom(weights), "least request": NewLeastRequest(eps, 2),
		"schedule": NewSchedule(1000, Busy(eps, func(i int) float64 { return float64(weights[i]) }, 1)),
		"ring":     NewRing(e, 1<<16, 8<<20, false), "maglev": NewMaglev(e, MaglevSize),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			h := uint64(0)
			for b.Loop() {
				h += 0x9e3779b97f4a7c15
				p.Pick(h, 0)
			}
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	e := make([]Keyed, 10000)
	for i := range e {
		e[i] = Keyed{fmt.Sprint("10.0.0.", i, ":8000"), 1}
	}
	b.Run("ring", func(b *testing.B) {
		for b.Loop() {
			NewRing(e, 1024, 8<<20, false)
		}
	})
	b.Run("maglev", func(b *testing.B) {
		for b.Loop() {
			NewMaglev(e, MaglevSize)
		}
	})
}

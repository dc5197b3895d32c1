package simulate

import (
	"fmt"
	"time"

	"github.com/fridaymesh/friday/filters/batch/schedule"
)

// The servers of the scenarios.
var (
	// Accelerator takes one call at a time, 10 ms and 0.5 ms an item.
	Accelerator = Server{Fixed: 10 * time.Millisecond, PerItem: 500 * time.Microsecond, Units: 1} //nolint:gochecknoglobals // a constant
	// Forest is about what MLServer with a random forest costs: items are nearly free.
	Forest = Server{Fixed: 11 * time.Millisecond, PerItem: 50 * time.Microsecond, Units: 1, Noise: .1} //nolint:gochecknoglobals // a constant
	// Linear gains nothing from batches.
	Linear = Server{PerItem: 5 * time.Millisecond, Units: 1} //nolint:gochecknoglobals // a constant
	// Quick answers at once, whatever is asked.
	Quick = Server{Fixed: 200 * time.Microsecond, Units: 1000} //nolint:gochecknoglobals // a constant
	// Batcher batches by itself: any number of calls at the same time.
	Batcher = Server{Fixed: 20 * time.Millisecond, PerItem: 100 * time.Microsecond, Units: 1000} //nolint:gochecknoglobals // a constant
)

// Times has n units in place of one.
func (s Server) Times(n int) Server {
	s.Units *= n
	return s
}

// Usual are a batcher's rules with nothing configured, but for the size of a call.
func Usual(most int) schedule.Rules {
	return schedule.Rules{MaxItems: most, MaxBytes: 1 << 30, MaxDelay: 5 * time.Millisecond}
}

// Closed is a scenario of callers in a closed loop.
func Closed(name string, s Server, callers, most int) Scenario {
	return scenario(fmt.Sprintf("%s, %d callers", name, callers), s, most, Load{Callers: callers})
}

// Open is a scenario of a Poisson process.
func Open(name string, s Server, rate float64) Scenario {
	return scenario(fmt.Sprintf("%s, Poisson %.0f/s", name, rate), s, 32, Load{Rate: Steady(rate)})
}

func scenario(name string, s Server, most int, loads ...Load) Scenario {
	return Scenario{
		Name: name, Servers: []Server{s}, Tenants: loads, Rules: Usual(most),
		Return: 300 * time.Microsecond, For: 12 * time.Second, Warm: 2 * time.Second, Seed: 1,
	}
}

// Endpoints is s with so many equal servers.
func (s Scenario) Endpoints(n int) Scenario {
	one := s.Servers[0]
	s.Servers = nil
	for range n {
		s.Servers = append(s.Servers, one)
	}
	return s
}

// brief plays s for a fourth of the time: it has many events.
func brief(s Scenario) Scenario {
	s.For, s.Warm = s.For/4, s.Warm/4
	return s
}

// All are the scenarios that "make bench" plays.
func All() []Scenario {
	all := make([]Scenario, 0, 64)
	for _, c := range []int{1, 2, 4, 8, 16, 64, 256} {
		all = append(all, Closed("accelerator", Accelerator, c, 32))
	}
	all = append(all, Closed("accelerator, batches of 64", Accelerator, 64, 64))
	for _, c := range []int{1, 8, 64, 256} {
		all = append(all, Closed("four accelerators", Accelerator.Times(4), c, 32))
	}
	for _, s := range []struct {
		name string
		Server
	}{{"linear", Linear}, {"quick", Quick}, {"batches itself", Batcher}} {
		for _, c := range []int{1, 8, 64} {
			all = append(all, Closed(s.name, s.Server, c, 32))
		}
	}
	for _, rate := range []float64{20, 80, 400, 861, 1100} {
		all = append(all, Open("accelerator", Accelerator, rate))
	}
	for _, rate := range []float64{80, 300, 1000, 2500} {
		all = append(all, Open("four accelerators", Accelerator.Times(4), rate))
	}
	for _, rate := range []float64{10, 40, 300} {
		all = append(all, Open("forest", Forest, rate))
	}
	all = append(all, Open("linear", Linear, 160), Open("batches itself", Batcher, 300),
		scenario("accelerator, bursts of 20, 400/s", Accelerator, 32, Load{Rate: Steady(400), Burst: 20}),
		scenario("accelerator, 50/s to 1000/s and back", Accelerator, 32, Load{Rate: Diurnal(50, 1000, 10*time.Second)}),
		scenario("accelerator, tenants of 56 and 8", Accelerator, 32, Load{Callers: 56}, Load{Callers: 8}),
		brief(scenario("accelerator, 1600 callers", Accelerator, 32, Load{Callers: 1600}).Endpoints(100)),
		brief(scenario("accelerator, 2000 callers", Accelerator, 32, Load{Callers: 2000}).Endpoints(1000)),
	)
	return all
}

// Optimum is the most answers a second that is possible: of callers in a closed loop
// what calls of equal size to all units would give, without any loss between them, of
// an open loop what is asked.
func (s Scenario) Optimum() float64 {
	server, units, callers, rate := s.Servers[0], 0, 0, 0.0
	for _, m := range s.Servers {
		units += m.Units
	}
	for _, l := range s.Tenants {
		callers += l.Callers
		if l.Rate != nil {
			for t := s.Warm; t < s.For; t += 10 * time.Millisecond {
				rate += l.Rate(t) * 0.01 / (s.For - s.Warm).Seconds()
			}
		}
	}
	best := 0.0
	for n := 1; n <= min(s.Rules.MaxItems, max(1, callers)); n++ {
		calls := min(float64(units), float64(callers)/float64(n))
		// Whoever is answered is away for a while.
		cycle := (server.Time(n) + s.Return).Seconds()
		best = max(best, min(calls*float64(n)/server.Time(n).Seconds(), float64(callers)/cycle))
	}
	return best + rate
}

// Others are what the scheduler is compared with: nothing at all, whoever sends as soon as
// a server is free, and fixed windows.
func Others(s Scenario) map[string]func() Policy {
	most, units := s.Rules.MaxItems, s.Servers[0].Units
	others := map[string]func() Policy{
		"direct": func() Policy { return &Simple{Most: 1} },
		"greedy": func() Policy { return &Simple{Most: most, Flights: units} },
	}
	for _, window := range []time.Duration{time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond} {
		others[fmt.Sprintf("window of %d ms", window.Milliseconds())] = func() Policy {
			return &Simple{Most: most, Window: window, Flights: units}
		}
	}
	return others
}

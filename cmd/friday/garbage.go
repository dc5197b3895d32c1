package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// leastGarbage is how many bytes of garbage there are before Go collects it, however
	// little lives. Of what lives, which is Go's measure, a sidecar has a few MiB: at ten
	// thousand requests a second it would be collecting dozens of times a second, and who
	// comes meanwhile waits.
	leastGarbage = 16 << 20
	// leastLive is what Go takes for alive at least.
	leastLive = 4 << 20
)

// boundGarbage has Go collect when there is as much garbage as lives, as it does by
// itself, and at least leastGarbage. What the environment says (GOGC, see package
// runtime) stays, and a limit (GOMEMLIMIT) goes before all of it.
func boundGarbage() {
	if os.Getenv("GOGC") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	percent := 0
	var look func(struct{})
	look = func(struct{}) {
		metrics.Read(live)
		if now := percentFor(live[0].Value.Uint64()); now > percent+percent/8 || now < percent-percent/8 {
			percent = now
			debug.SetGCPercent(percent) // which stops everything for some microseconds
		}
		runtime.AddCleanup(new([4]uint64), look, struct{}{}) // nothing refers to it: after the next collection
	}
	look(struct{}{})
}

// percentFor is the garbage that there may be, in percent of live bytes.
func percentFor(live uint64) int {
	return int(max(leastGarbage*100/max(live, leastLive), 100)) // #nosec G115 -- 400 at most
}

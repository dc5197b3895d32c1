//go:build !linux

package clock

import "time"

// Now is the wall clock in nanoseconds, which all processes share; a step of
// the clock during a measurement spoils it.
func Now() int64 { return time.Now().UnixNano() }

// precise is as good as the runtime's timers.
func precise(d time.Duration) { time.Sleep(d) }

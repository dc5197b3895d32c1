// Package gate decides who may send a request on, and when: a [Gate] lets so many requests
// at once to a server as it can bear, and has the others wait in a bounded queue that
// tenants share fairly; an [Allowance] is what a tenant may ask for in a minute.
//
// It is pure. It has no clock, lock, timer or goroutine and knows nothing of requests, so
// that the same code runs in the filter and, in virtual time, in bench/simulate.
//
// Begin with gate.go. Its parts: how many at once (limit.go), what a request takes on a
// server that is not full (baseline.go), and whose turn it is (queue.go). allowance.go
// stands by itself.
package gate

import "time"

// Instant is a moment, as the time since one that is the same for all of a Gate.
type Instant = time.Duration

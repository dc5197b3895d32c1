// Package simulate drives the batcher's scheduler through traces of callers in
// virtual time, in front of servers of known cost, and tells how far it stays from
// what is possible. It has no clock and no goroutine: the same seed gives the same
// figures on every machine.
package simulate

// Package schedule decides what the batcher sends when: a [Pool] has the queues of one
// operation of one model at a cluster, and hands out calls to its servers.
//
// It is pure. It has no clock, lock, timer or goroutine and knows nothing of requests,
// so that the same code runs in the filter and, in virtual time, in bench/simulate,
// where its figures are the same on every machine.
//
// Begin with pool.go, which has the algorithm in outline. Its parts: what a call costs
// (cost.go), whether to wait for callers who are about to return (linger.go), how many
// calls at once (limit.go), and whether batching pays at all (aside.go).
package schedule

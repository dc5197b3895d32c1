// Package shared is the cache's second tier: one Redis or Valkey (or a cluster of them)
// that several Fridays share. It keeps bytes under keys; what they mean is its caller's.
//
// Nothing of it may ever fail or hold up a request. Package proxy/redis sees to that for
// what is asked; and writing happens behind everybody's back, from a queue that drops what
// it has no room for (write.go).
//
// # Purging
//
// Deleting keys one by one would race with those who write them, and has to find them
// first. So what an entry is found under depends on two marks, of all models and of its
// own, which are keys of the store like others (mark.go). Purging is putting another mark
// there: what was written under the old one cannot be found any more, also what somebody
// writes later who began before, and goes when its time has passed. A mark that is not
// there (the store is new, or was emptied, or had no room) makes everything a miss, until
// whoever writes next puts a new one.
//
// Marks are read for every look-up and change hardly ever: they are what client-side
// caching is for. The store tells every Friday of each change of a mark (CLIENT TRACKING
// with BCAST, Redis 6), so they cost no round trip, and a Friday whose neighbour purges a
// model drops its own copies, too. Where the server cannot do that, marks are read each
// time, and a neighbour's purge is noticed at the next look-up.
//
// The first tier is the client-side cache of the entries themselves: it is bounded by
// max_bytes, which a second copy in the client library would not be.
package shared

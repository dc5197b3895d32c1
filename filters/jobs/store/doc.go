// Package store keeps jobs, their files and their results in one SQLite file.
//
// Everything is written by one goroutine (writer.go): what has come in while the disk was
// busy is committed together, each piece in a savepoint of its own, so that a hundred
// writers cost about as many waits for the disk as one. Nothing is acknowledged before the
// write-ahead log has been synchronised. Reads have connections of their own and wait for
// nobody.
//
// What belongs to a tenant is read and changed through a [Tenant], and tenant.go is the one
// place that puts such statements together: each begins with the tenant's condition. All
// values are parameters.
//
// A line runs under a lease (lines.go). The claim hands out a fencing token, and the
// transaction that takes a result in asks whether the line still has it: a worker that was
// stopped for longer than its lease comes too late, whatever it believes. The result's
// primary key is the line, so that there is never a second one. Validating a batch and
// putting its output together are done under such a lease, too (care.go).
//
// The audit trail (audit.go) is a chain of hashes.
package store

// Package store keeps jobs, their files and their results in one SQLite file, or in a
// PostgreSQL database that several sidecars share.
//
// There is one set of statements. dialect.go has the few words in which the two databases
// differ, session.go how a change is made and by whom, and an engine runs it:
//
// On SQLite everything is written by one goroutine (writer.go): what has come in while the
// disk was busy is committed together, each piece in a savepoint of its own, so that a
// hundred writers cost about as many waits for the disk as one. Nothing is acknowledged
// before the write-ahead log has been synchronised. Reads have connections of their own and
// wait for nobody.
//
// On PostgreSQL (postgres.go) each change is a transaction of its own, and may be made
// again after it has met another. Every transaction acts as one of two roles, neither of
// which owns anything: for one tenant (friday_runtime), or handing work out
// (friday_worker), without rights on the columns that hold what callers have sent. Row-level
// security sees to the first, rights on columns to the second, whatever a statement says.
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
//
// # A new table
//
// It is made by a file in migrations and by its twin of the same number in
// migrations/postgres, which has
//
//   - the same columns, INTEGER as bigint, BLOB as bytea, and a last one, tenant text NOT NULL
//     DEFAULT current_setting('friday.tenant', true), CHECKed not to be empty, so name the columns
//     in INSERT; a foreign key to jobs (seq, tenant) where rows are a job's;
//   - ENABLE and FORCE ROW LEVEL SECURITY, the policies of_tenant for friday_runtime and
//     for_backup for friday_backup, for_worker where the worker needs it, as the DO block
//     of 00001 makes them;
//   - GRANTs: what friday_runtime does to rows, SELECT for friday_backup, and for
//     friday_worker single columns that hold nothing of callers'.
//
// TestPostgres/rights (make interop) refuses a table that lacks any of it. A change runs in a
// tenant's name by Tenant.write, in the worker's by Store.write, and goes over to the other by
// tx.as; it may be made more than once, so that it sets what it returns anew, and leaves to
// tx.then what must happen once. Behaviour is shown on both: write the test as one of
// behaviours. The names of columns and the numbers of rows are for both to agree on: ids come
// from RETURNING, and what is read before it is changed ends in tx.locked.
package store

// Package jobs is the filter friday.filters.http.jobs: OpenAI's Batch API (/v1/files,
// /v1/batches) and "Prefer: respond-async" (RFC 7240) in front of any server.
//
// Begin with jobs.go: what is the API's is answered there and in api*.go, all else passes
// and is counted. What has been accepted stands in a store (package store) before anybody
// is told, and is done by workers (worker.go), which live as long as the store is
// configured: they claim lines under leases, send each through what stands behind the
// filter in the chain of the line's own route (line.go), and hand the results to the store
// in groups (collect.go). What is done to a whole job, validating it and putting its output
// together, is in care.go.
//
// How many lines run at once follows from what the server gains by more of them, less what
// callers who wait need (pace.go). docs/jobs.md tells all this to those who run it.
package jobs

// Package jobs is a client of the Batch API and a server without cost behind it, for tests
// and measurements of the filter friday.filters.http.jobs.
package jobs

// Package models is the filter friday.filters.http.models: it has models fetched, loaded,
// warmed, switched and unloaded by the model server's own API, and holds the requests for
// one that is not ready.
//
// A request (filter.go) that names a model of the configuration (name.go) is counted at the
// version that serves it, one atomic load and one addition, and goes on. Where none serves
// it waits in a bounded queue (hold.go). An answer that may mean that the server has lost
// the model is held against what the server says of it, and the request is sent again.
//
// All models of a cluster are a [fleet]: one goroutine that alone decides (fleet.go), by
// stepping through the states of each version (version.go, step.go, room.go). What takes
// time is done by jobs (jobs.go), of which a version has at most one, and which report back
// to that goroutine. How servers are spoken to is in folder api, how models are fetched in
// folder artefact.
//
// A fleet outlives configurations. A configuration's wishes for a cluster are a [claim]
// (claim.go), which is heeded from when its snapshot is in force until another is: equal
// configurations are one claim, so that pushing one again does nothing.
package models

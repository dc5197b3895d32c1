// Package batch is the filter friday.filters.http.batch: it puts concurrent
// requests of one model and equal options into one upstream call, and cuts the
// answer apart again.
//
// Requests that may share a call form a group (key.go, group.go). The groups of one
// operation of one model at a cluster are a model (model.go), which drives a scheduler:
// folder schedule decides what is sent when, to which endpoint, how much of it
// together, and whether batching pays at all. Where it does not, the model stands
// aside, and requests to a path all of whose models do pass unread (bypass.go).
//
// A request that ends up alone goes on as its original bytes, in its caller's
// goroutine (single.go); several are merged and sent by a goroutine of their own
// (call.go, merged.go). Either way a slot (slot.go) is held for the server's part only,
// not for a caller who reads slowly (slotbody.go). What goes wrong with a merged call
// harms only the guilty (fallback.go), also where gRPC says it behind an HTTP 200
// (grpc.go). A request larger than a batch may be is cut into pieces (pieces.go), unless
// they would repeat so much that it is cheaper whole.
//
// What a server says of its limits is asked for beside the requests (limits.go), on
// the way and with the credentials of one of them (errand.go); so are, together with a call whose
// answer reports usage, the tokens of its texts (tokens.go).
//
// A model whose answers cannot be shared out is not batched for five minutes, nor
// is what waits for it by then: those that do not hold one result for each item,
// are encoded, or set a cookie, which would be one caller's.
//
// Queues and what was learned outlive configurations: they live in a state that
// is kept beside the snapshots (state.go). A group is keyed by its configuration
// too, so that after a change new requests form new groups while the old ones
// drain; they are of the same model, and what it has learned stays.
//
// docs/batching.md tells all this to those who run it.
package batch

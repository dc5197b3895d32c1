// Package proxy holds the contracts of the data plane, and nothing that acts on
// them: what a [Handler] and a [Filter] are, what a [Request], a [Response] and
// a [Body] promise, how an [Endpoint] is picked, and which [Error] becomes which
// status. Every other package of the house imports this one; it imports none of
// them.
package proxy

// Package client gets a sidecar's configuration from a control plane by ADS, in
// either variant of the protocol
// (https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol), and secrets
// from servers of their own (SDS). wire.go has what differs between the variants;
// behind it everything is an update.
//
// The problem: responses of six types arrive in any order, each may be partly
// wrong, the stream breaks when it likes, and out of all this one configuration
// has to be made that is whole at every moment. So what was received, and what is
// made of it, is one value, state, that does no I/O and knows no clock but the
// one it is told. A response makes a changed copy of it; only when the data plane
// has taken what follows from the copy does the copy become the state. Whatever
// else looks at the state (the config dump, the state file) sees a value that
// never changes.
//
// What holds at every moment:
//
//  1. What is in force is whole: a listener has its routes, and these do not
//     name a cluster that waits for its first endpoints.
//  2. A refused resource changes nothing: its last good version goes on, and its
//     good siblings apply.
//     What the data plane as a whole did not take (a port was busy) is tried again
//     until it does, or something newer comes.
//  3. Make before break: an older version serves until the newer one is warm, and
//     a removed cluster stays while routes in force name it (for 15 s at most).
//  4. Nothing is given up because the control plane is away, and without it no
//     waiting times out; but what was sent with a TTL goes when that is over.
//
// What was not done: the routes of a response are not applied one by one as
// Envoy does it, since then a route could lead to a cluster that is still
// warming, and requests would fail for a moment at each shift of traffic.
package client

// Package load asks a server for answers, many callers at once, checks every one
// of them and says how long they took.
//
// In a closed loop ([Options.Rate] 0) each caller asks again once it has its
// answer, so the callers' number is the load. In an open loop requests come at
// random (Poisson) moments at a given rate, whether or not the server keeps up,
// and a request's time counts from the moment at which it was due, so that a
// server which stalls cannot hide it.
//
// Answers are checked against what the request deserves, see [Workload]: an answer
// that belongs to somebody else counts as wrong, however fast it was.
package load

// Package span is how a request's way is traced: a [Span] hangs on the request, and
// whoever does something of its own for it (waits in a queue, sends it on) begins a child.
//
// A nil *Span is that of a request that is not traced, and one that was not sampled only
// has its decision carried on to the server (https://www.w3.org/TR/trace-context/). With
// either, every method returns at once, so that nobody needs to ask first.
//
// Where spans go, and which requests are sampled, is package tracing's.
package span

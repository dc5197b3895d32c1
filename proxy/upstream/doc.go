// Package upstream makes the round trip to one endpoint, over HTTP/1.1 ([Transport])
// or HTTP/2 ([Multiplexer]), as each request needs ([Pair]).
//
// A [Transport] keeps the connections of one address. A round trip takes the
// warmest idle connection, or dials; sends the request and reads while it still
// sends, so that an early answer is heard; and returns when the answer's head is
// there. The answer's body is read straight from the connection, which goes back
// to the pool once the body has been read to its end, and is closed where the
// body is closed before: closing the connection is how HTTP/1.1 cancels. A
// [Multiplexer] keeps the same contract on net/http's frames: all round trips share a
// connection, and cancelling resets one stream of it.
//
// Nothing is sent twice here. Where it is certain that the server cannot have
// acted on the request, the error says so (proxy.Error.Unsent) and whoever
// called may try again. Certain is: the connection could not be made, or the
// connection had been idle and the server had closed it before the request reached
// it (see acked_linux.go), or an HTTP/2 server has said that it did not process it.
package upstream

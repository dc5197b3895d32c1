// Package h2 is the HTTP/2 codec towards callers, in cleartext and with prior
// knowledge (RFC 9113 section 3.3), and gRPC's way in.
//
// The frames are net/http's. A request becomes a [proxy.Request] whose head is what
// the HTTP/1.1 codec would have made of it, so that nothing behind the codec knows
// the difference; its body is pulled, and so is the answer's: one read is one DATA
// frame that goes out at once, and HTTP/2's flow control is the back-pressure. An
// answer that is cut short resets its stream.
//
// A gRPC caller is told of Friday's own errors in gRPC's words: status 200, and
// grpc-status and grpc-message in the one block of headers ("Trailers-Only").
package h2

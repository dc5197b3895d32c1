// Package http2 is one HTTP/2 connection (RFC 9113), from either end: frames, settings,
// flow control and the life of streams. What a request and an answer are, the codec
// and the upstream know.
//
// Problem: net/http's server and client keep several goroutines for each connection
// and each stream, which hand every frame to each other; a gRPC call through a proxy
// paid for that four times.
//
// Way taken: one goroutine reads, and whoever has something to say writes it.
//
//   - One mutex guards a connection. It is held for copying and encoding, never for
//     waiting.
//   - Frames are appended to one buffer. Who has appended what must go out sends the
//     buffer, with one system call that does not wait; meanwhile others append and their
//     frames go with the next. What the socket does not take at once is left to a
//     goroutine that may wait. So nobody who writes waits for the peer but in flow
//     control, and there whoever waits can be woken.
//   - Who waits for a stream is woken when everything has been read that had arrived:
//     head, body and trailers that came together are found together.
//   - A stream's window is credited when a quarter of it has been read, not for each
//     read, and a short stream's never.
//
// Invariants: what is received and not read is bounded by the windows, what is written
// and not sent by highWater (data) and maxControl (the rest); a peer that has frames
// made for it for nothing is cut off (see abuse).
package http2

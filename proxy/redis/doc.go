// Package redis is one Redis or Valkey, or a cluster of them, through which several
// Fridays share something: one connection, made again with growing pauses whenever it was
// lost.
//
// Nothing of it may ever fail or hold up a request. So a question has a deadline, and
// where the server fails, or is late several times in a row, the connection is cut at once
// and nobody asks until a probe of its own has found the server well again.
package redis

// Package exchange is what the codecs towards callers have in common: one request
// and its answer, from the head that was read to the line in the access log, and
// what the exchanges of one listener share.
//
// A codec knows how a request is read and an answer is written. Everything else
// (the snapshot that is in force, the context that ends when the caller has gone, a
// panic that ends one request and no other, why an answer was cut short, metrics
// and log) is here, so that it is the same for all of them.
package exchange

// Package proxytest is what tests of the whole house stand on: a [Server] that
// plays a model server on a loopback socket, well or badly behaved by script; a
// [Client] that sends and reads HTTP/1.1 byte by byte; and [Leaks], which fails a
// test that leaves goroutines or descriptors behind.
//
// Both ends work on bare connections, so that they can do what net/http would
// not, and see what really went over the wire. Whatever does not happen within
// [Patience] fails the test. For tests only.
package proxytest

import "time"

// Patience is how long the package waits for anything before it fails the test.
const Patience = 10 * time.Second

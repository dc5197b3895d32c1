// Package friday is the root of the house: a sidecar that stands before a model
// server and makes it answer more, sooner, without the server or its clients
// knowing. The code lives in the folders below; docs/architecture.md is the way
// in. Here are only the tests that hold the house's own rules.
package friday

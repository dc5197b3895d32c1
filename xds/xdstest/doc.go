// Package xdstest has control planes that run in the test's own process, on real
// loopback sockets: [ControlPlane], which is go-control-plane with one
// configuration for everybody, and [Raw], which sends exactly what it is told
// and shows exactly what it got.
package xdstest

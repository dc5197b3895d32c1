// Package tcp relays connections as bytes, for what is no HTTP: Envoy's tcp_proxy. A
// side that has ended its sending is told to the other one, and the rest goes on.
package tcp
